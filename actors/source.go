package actors

import (
	"bytes"
	"context"
	"errors"
	"time"

	"stap-exporter/internal/exposition"
	"stap-exporter/internal/procfile"
)

// truncatedPause is how long a text without a newline at its end waits for the
// news that its script was dying. SystemTap ends a script after an error in its
// probe, with what the probe had written until then.
const truncatedPause = 100 * time.Millisecond

// errDied: the script ended during the read. ProcessExited follows, with the
// reason, and the actor answers with that.
var errDied = errors.New("script ended during the read")

// fileSource is the file of one run. Its reads come one after the other, so it
// needs no lock.
type fileSource struct {
	name       string
	file       procfile.File
	alive      func() bool
	directives *exposition.Directives
	abandoned  bool // the last read ended before the end of the text

	text  []byte           // of the latest page
	page  *exposition.Page // made of text and ended, else nil
	ended bool
}

// Read reads the file and sanitizes its text. After a FIFO was closed in the
// middle of a text its writer may hold the text of a probe that ran before:
// that goes to the next reader, and is discarded here.
// A text that stays empty gives a page with a comment: an empty reply would
// make Prometheus forget every series of the script.
func (f *fileSource) Read(ctx context.Context, abandon <-chan struct{}) (*exposition.Page, error) {
	if f.abandoned && f.file.FIFO {
		if _, err := f.file.Read(ctx, abandon); err != nil && !errors.Is(err, procfile.ErrEmpty) {
			return nil, err
		}
	}
	text, err := f.file.Read(ctx, abandon)
	select {
	case <-abandon:
		f.file.WasEmpty = false
	default:
		f.file.WasEmpty = errors.Is(err, procfile.ErrEmpty) && ctx.Err() == nil
	}
	f.abandoned = err != nil && (ctx.Err() != nil || !errors.Is(err, procfile.ErrEmpty))
	switch {
	case ctx.Err() != nil || f.abandoned:
		return nil, err
	case err != nil:
		return exposition.NoSamples(f.name + " has no samples yet"), nil
	}
	ended := f.file.FIFO && !f.alive()
	if ended {
		// A FIFO ends in the same way when its writer is killed in the middle
		// of the text.
		return nil, errDied
	}
	if text[len(text)-1] != '\n' && len(text) < exposition.MaxText {
		// beyond that the sanitizer knows that it is truncated
		select {
		case <-time.After(truncatedPause):
		case <-ctx.Done():
		}
		ended = !f.alive()
	}
	return f.check(text, ended), nil
}

// check makes the page of a text. A script without news gives the same text
// again and again: then the page is the same, with its rendered forms.
func (f *fileSource) check(text []byte, ended bool) *exposition.Page {
	if f.page != nil && f.ended == ended && bytes.Equal(f.text, text) {
		return f.page
	}
	f.page = exposition.Sanitize(text, exposition.Options{Truncated: ended, Directives: f.directives})
	if f.page.Empty() {
		f.page = exposition.NoSamples(f.name + " has no samples yet")
	}
	f.text, f.ended = text, ended
	return f.page
}

// MustDrain is true for a FIFO whose writer would die of SIGPIPE.
func (f *fileSource) MustDrain() bool { return !f.file.Abandonable }

// Pace keeps the script's own work going while clients read without end.
// A kernel module gets three quarters of the time without its prometheus probe:
// SystemTap ends a script whose probes take half of a CPU, and skips other
// probes while the text is made. bpf has neither limit, and gets half of the
// time: a read copies the script's maps, and stapbpf leaks memory at each one
// (observed with SystemTap 4.8).
func (f *fileSource) Pace() int {
	if f.file.FIFO {
		return 1
	}
	return 3
}
