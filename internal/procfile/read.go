package procfile

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// MaxBody is the length of the longest body that Read returns, in bytes.
// SystemTap's own tapset stops at 64 KiB.
const MaxBody = 16 << 20

var (
	// ErrEmpty means that the script's probe prints nothing: all answers of the
	// file were empty, until the pauses between them added up to emptyTimeout
	// (or emptyAgainTimeout), or until the context ended without a second of
	// silence. A file that another process has open gives empty answers too;
	// Read reports that as a different error.
	ErrEmpty = errors.New("only empty answers")
	// ErrTooLarge means that the file holds more than MaxBody bytes.
	ErrTooLarge = fmt.Errorf("text is longer than %d bytes", MaxBody)
)

// Results of one attempt. The caller of Read sees only their texts.
var (
	errNoAnswer = errors.New("no answer")
	errCutShort = errors.New("deadline passed during the read")
	errNoWriter = errors.New("no writer")
)

const (
	checkInterval = 20 * time.Millisecond // the longest wait between two checks of the context
	// sum of the pauses after empty answers, before ErrEmpty
	emptyTimeout      = time.Second
	emptyAgainTimeout = emptyTimeout / 10     // the same with File.WasEmpty
	firstPause        = 50 * time.Microsecond // between two attempts; doubled up to checkInterval
)

// Read opens the file, reads one whole snapshot and closes the file. The body
// is never empty, is freshly allocated and belongs to the caller. There must be
// one Read at a time per file.
//
// An empty answer does not count as a body. The kernel's file is empty while it
// is busy (with O_NONBLOCK its open succeeds even then, and without it the open
// could not be cancelled). A FIFO is empty when it is opened before stapbpf has
// noticed that the previous reader has closed it. Read tries again after a
// short, growing pause. It returns ErrEmpty when the pauses add up to one
// second, or to 100 ms with WasEmpty, so that a script without samples does not
// delay every request by a second. Only the pauses count: on a busy machine
// stapbpf may get no CPU for a second, and one empty answer after a second
// proves nothing. While another process has the file open, Read tries until ctx
// ends.
//
// Read also tries again while the file is missing or its module is being
// unloaded (ENOENT, EIO, ENXIO). The caller learns from the process that the
// script has ended. Read returns other errors at once.
//
// When ctx ends, Read returns within about 20 ms and without a body. The error
// wraps ctx.Err(), and its text has the result of the last attempt. A FIFO is
// then closed early, see File.Abandonable. Its writer may be in the middle of
// the probe, and writes the rest to the next reader: the first body after a
// cancelled Read may come from a probe that ran before it.
//
// A body longer than MaxBody is ErrTooLarge, at once for an abandonable file
// and at the end of the text for others.
//
// A FIFO whose writer was killed during a write ends early, and nothing in the
// body shows it. A caller that knows of the writer's end must treat the body as
// truncated.
//
// Once abandon is closed (nil: never), Read does not open the file again. It
// returns after the current attempt, which reads a FIFO to its end. Use it to
// give up a file that is not abandonable.
func (f File) Read(ctx context.Context, abandon <-chan struct{}) ([]byte, error) {
	s := getScratch()
	defer s.release()

	// last is the result of the latest attempt; empty and other count attempts.
	last, empty, other := errNoAnswer, 0, 0
	timeout := emptyTimeout
	if f.WasEmpty {
		timeout = emptyAgainTimeout
	}
	pause, paused := firstPause, time.Duration(0) // paused: sum of the pauses after empty answers
	for ctx.Err() == nil {
		n, err := f.attempt(ctx, s, f.FIFO && f.Abandonable && empty > 1)
		switch {
		case err == nil && n > 0:
			return s.body(), nil
		case err == nil:
			last = ErrEmpty
			empty++
		case errors.Is(err, errCutShort), errors.Is(err, errNoWriter):
		case ctx.Err() != nil || isTransient(err):
			last = err
			other++
		default:
			return nil, fmt.Errorf("read procfs file %q: %w", f.Path, err)
		}
		if empty > 0 && other == 0 && paused > timeout {
			holder := f.holder()
			if holder == "" {
				return nil, fmt.Errorf("read procfs file %q: %w", f.Path, ErrEmpty)
			}
			last = fmt.Errorf("file is held open by %s", holder)
			other++
		}
		select {
		case <-abandon:
			return nil, fmt.Errorf("read procfs file %q: abandoned, last result: %w", f.Path, last)
		default:
		}
		if f.FIFO && empty == 1 && other == 0 {
			// Nearly always the writer needs a few microseconds to notice that
			// the previous reader has closed the FIFO. A sleep takes longer.
			continue
		}
		time.Sleep(pause)
		if err == nil {
			paused += pause
		}
		pause = min(2*pause, checkInterval)
	}
	if empty > 0 && other > 0 && errors.Is(last, ErrEmpty) {
		last = errors.New("empty answer")
	}
	return nil, fmt.Errorf("read procfs file %q: %w, last result: %w", f.Path, ctx.Err(), last)
}

// isTransient reports whether err belongs to a file that does not exist yet or
// is being removed.
func isTransient(err error) bool {
	return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EIO) || errors.Is(err, unix.ENXIO)
}

// attempt opens the file, reads it to its end into s and closes it. It returns
// the number of bytes, 0 for an empty answer. When ctx ends first, the error
// says how far the attempt got.
//
// With needWriter, attempt returns errNoWriter at once for a FIFO that has no
// writer. A writer that waits in open(2) for a reader counts as one, so a FIFO
// without a writer means that stapbpf has not noticed the end of the previous
// reader, or has ended. A reader that waits with the FIFO open would be taken
// for the previous one and get an empty answer. Where CPUs are scarce that
// repeats: stapbpf runs when the reader is back, and loses the CPU to the
// reader that it wakes. The FIFO must be abandonable, because stapbpf may open
// it just before it is closed here.
func (f File) attempt(ctx context.Context, s *scratch, needWriter bool) (int, error) {
	fd, err := f.open()
	if err != nil {
		return 0, fmt.Errorf("open: %w", err)
	}
	var fifo pollable
	if f.FIFO {
		if fifo, err = newPollable(fd, f.Path); err != nil {
			return 0, fmt.Errorf("open: %w", err)
		}
		defer fifo.close()
	} else {
		defer closeFD(fd)
	}

	if f.FIFO && !needWriter {
		// A read of a FIFO without a writer returns 0, as at the end of a text.
		if err := s.await(ctx, fifo); err != nil {
			return 0, err
		}
	}
	s.reset()
	tooLarge, hasWriter := false, !needWriter
	for {
		n, err := unix.Read(fd, s.free())
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EAGAIN) && f.FIFO:
			// This happens after POLLHUP too: the writer opens the FIFO again
			// and again until it has no reader.
			hasWriter = true
			if err := s.await(ctx, fifo); err != nil {
				return 0, cutOff(len(s.buf), tooLarge, err)
			}
			continue
		case errors.Is(err, unix.EAGAIN):
			return 0, nil
		case err != nil:
			return 0, fmt.Errorf("read: %w", err)
		case n == 0 && !hasWriter:
			return 0, errNoWriter
		case n == 0 && tooLarge:
			return 0, ErrTooLarge
		case n == 0:
			return len(s.buf), nil
		}
		s.add(n)
		hasWriter = true
		if len(s.buf) > MaxBody {
			if f.Abandonable {
				return 0, ErrTooLarge
			}
			tooLarge = true
		}
		if tooLarge {
			s.reset()
		}
		if ctx.Err() != nil {
			return 0, cutOff(len(s.buf), tooLarge, errNoAnswer)
		}
	}
}

// cutOff returns the error of an attempt that ctx ended with err, after so many
// bytes.
func cutOff(got int, tooLarge bool, err error) error {
	switch {
	case tooLarge:
		return ErrTooLarge
	case got > 0:
		return fmt.Errorf("no end of file after %d bytes", got)
	}
	return err
}

// open opens the file and never blocks. It fails if the FIFO has become a
// symlink since Find.
func (f File) open() (int, error) {
	flags := unix.O_RDONLY | unix.O_NONBLOCK | unix.O_CLOEXEC
	if f.FIFO {
		flags |= unix.O_NOFOLLOW
	}
	for {
		fd, err := unix.Open(f.Path, flags, 0)
		if !errors.Is(err, unix.EINTR) {
			return fd, err
		}
	}
}

// closeFD closes a descriptor and ignores the error, which means nothing to a
// reader.
func closeFD(fd int) { _ = unix.Close(fd) }
