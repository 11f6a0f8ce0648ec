package actors

import (
	"bytes"
	"context"
	"errors"
	"time"

	"stap-exporter/internal/exposition"
	"stap-exporter/internal/procfile"
	"stap-exporter/internal/script"
	"stap-exporter/internal/stap"
)

// OnHost starts the runs of scripts as processes of this host.
func OnHost(h *stap.Host) Starter { return hostStarter{h} }

type hostStarter struct{ host *stap.Host }

// Start hands the run's events on, a ready run with the source of its metrics.
func (s hostStarter) Start(sc script.Script, run uint64, report func(message any)) Process {
	return s.host.Start(sc, run, func(e stap.Event) {
		ready, ok := e.(stap.Ready)
		if !ok {
			report(e)
			return
		}
		report(ProcessReady{ready, &fileSource{
			name:       sc.Name,
			file:       ready.File,
			alive:      ready.Alive,
			directives: metadata(sc),
		}})
	})
}

// Validate compiles the script on the host.
func (s hostStarter) Validate(sc script.Script, validation uint64, report func(message any)) Process {
	run := s.host.Validate(sc, validation, func(e stap.Event) {
		if e, ok := e.(stap.Exited); ok {
			report(ValidationEnded(e))
		}
	})
	if run == nil {
		return nil
	}
	return run
}

// metadata is what the script's header says of its metrics. What is wrong with
// it "check" has named; the rest is used.
func metadata(sc script.Script) *exposition.Directives {
	list := make([]exposition.Metadata, 0, len(sc.Directives.Metrics))
	for _, m := range sc.Directives.Metrics {
		typ, _ := exposition.ParseType(m.Type)
		list = append(list, exposition.Metadata{Name: m.Name, Type: typ, Help: m.Help})
	}
	d, _ := exposition.NewDirectives(list)
	return d
}

// tornPause is how long a text without a newline at its end waits for the news
// that its script was dying: SystemTap ends a script after an error in its
// probe, with what the probe had written until then.
const truncatedPause = 100 * time.Millisecond

// errDied tells that the script ended while it was read. The actor hears of
// that from the process, with the reason, and answers with it.
var errDied = errors.New("script ended while it was read")

// fileSource is the file of one run. Its reads come one after the other, so it
// needs no lock.
type fileSource struct {
	name       string
	file       procfile.File
	alive      func() bool
	directives *exposition.Directives
	cut        bool // the last read was cut off

	text  []byte           // of the latest page
	page  *exposition.Page // made of text and ended, else nil
	ended bool
}

// Read reads the file and checks its text. After a FIFO was left in the middle
// its writer may hold the text of a probe that ran before: that text goes to
// the next reader, here to nobody.
// A text that stays empty gives a page that says so: an empty reply would make
// Prometheus forget every series of the script.
func (f *fileSource) Read(ctx context.Context, enough <-chan struct{}) (*exposition.Page, error) {
	if f.cut && f.file.FIFO {
		if _, err := f.file.Read(ctx, enough); err != nil && !errors.Is(err, procfile.ErrEmpty) {
			return nil, err
		}
	}
	text, err := f.file.Read(ctx, enough)
	// and it was not cut off
	f.file.WasEmpty = errors.Is(err, procfile.ErrEmpty) && ctx.Err() == nil && !isClosed(enough)
	f.cut = err != nil && (ctx.Err() != nil || !errors.Is(err, procfile.ErrEmpty))
	switch {
	case ctx.Err() != nil || f.cut:
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
		// past that the gate knows that it was cut
		select {
		case <-time.After(truncatedPause):
		case <-ctx.Done():
		}
		ended = !f.alive()
	}
	return f.check(text, ended), nil
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// check makes the page of a text. A quiet script gives the same text again and
// again: then it is the same page, with what was made of it.
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

// Patient is true for a FIFO whose writer would die of SIGPIPE.
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
