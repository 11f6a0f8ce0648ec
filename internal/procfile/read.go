package procfile

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// MaxBody is the most that Read returns, in bytes. SystemTap's own tapset stops
// at 64 KiB.
const MaxBody = 16 << 20

var (
	// ErrEmpty is wrapped when there were only empty answers for emptyPatience
	// (or againPatience), not counting the time that they took, or up to the
	// end of the context without a silence of a second: the script's probe
	// prints nothing. A file that somebody else holds gives empty answers, too;
	// that is waited for, and then a different error.
	ErrEmpty = errors.New("nothing but empty answers")
	// ErrTooLarge is wrapped when the file holds more than MaxBody bytes.
	ErrTooLarge = fmt.Errorf("text is longer than %d bytes", MaxBody)
)

// What an attempt that the context cut off has to say; Read's caller sees the
// texts only.
var (
	errNoAnswer = errors.New("no answer")
	errCutShort = errors.New("no time to answer")
	errNoWriter = errors.New("nobody writes")
)

const (
	slice         = 20 * time.Millisecond // the longest wait without a look at the context
	emptyPatience = time.Second           // how long only empty answers are taken for accidents
	againPatience = emptyPatience / 10    // the same, where the read before was empty to its end
	firstPause    = 50 * time.Microsecond // between two attempts, doubled up to slice
)

// Read opens the file, reads one whole snapshot and closes it. The body is
// never empty, is freshly allocated and belongs to the caller. There must be
// one Read at a time per file.
//
// An empty answer is no answer. The kernel's file gives one when it is busy
// (with O_NONBLOCK its open succeeds even then, and without it the open could
// not be cancelled); the FIFO gives one when it is opened before stapbpf has
// seen the last reader leave. Read tries again after a short, growing pause,
// until the pauses come to emptyPatience (then ErrEmpty; againPatience where
// WasEmpty is set, so that those who ask for a script without samples do not
// wait for a second each), or until ctx ends where another process holds the
// file. Only the pauses count: on a busy machine stapbpf may get no processor
// for a second, and one empty answer after a second proves nothing. It does the
// same while the file is missing or its module is going away (ENOENT, EIO,
// ENXIO): that the script has died the caller learns from its process. Other
// errors are returned at once.
//
// When ctx ends Read returns within about 20 ms, without a body; errors.Is(err,
// ctx.Err()) holds, and the text says what was seen last. A FIFO is then left
// early: see File.Abandonable. Its writer may be in the middle of the probe,
// and what it writes afterwards goes to the next reader: the first body after a
// Read cut off by ctx can come from a probe that ran before.
//
// A body longer than MaxBody is ErrTooLarge, at once for an abandonable file,
// otherwise when it has been read to its end.
//
// A writer killed while it writes leaves a FIFO that ends early, and nothing in
// it tells: whoever knows that the process died throws away what was read
// meanwhile.
//
// Once enough is closed (nil: never), Read does not open the file again: it
// ends after the attempt under way, which reads a FIFO to its end. That is how
// to give up a file that is not abandonable.
func (f File) Read(ctx context.Context, enough <-chan struct{}) ([]byte, error) {
	s := getScratch()
	defer s.release()

	last, empty, other := errNoAnswer, 0, 0
	patience := emptyPatience
	if f.WasEmpty {
		patience = againPatience
	}
	pause, paused := firstPause, time.Duration(0) // paused: behind empty answers
	for ctx.Err() == nil {
		n, err := f.attempt(ctx, s, f.FIFO && f.Abandonable && empty > 1)
		switch {
		case err == nil && n > 0:
			return s.body(), nil
		case err == nil:
			last = ErrEmpty
			empty++
		case errors.Is(err, errCutShort), errors.Is(err, errNoWriter):
		case ctx.Err() != nil || passing(err):
			last = err
			other++
		default:
			return nil, fmt.Errorf("read procfs file %q: %w", f.Path, err)
		}
		if empty > 0 && other == 0 && paused > patience {
			who := f.holder()
			if who == "" {
				return nil, fmt.Errorf("read procfs file %q: %w", f.Path, ErrEmpty)
			}
			last = fmt.Errorf("file is held open by %s", who)
			other++
		}
		if isClosed(enough) {
			return nil, fmt.Errorf("read procfs file %q: given up, last seen: %w", f.Path, last)
		}
		if f.FIFO && empty == 1 && other == 0 {
			// Nearly always the writer needs a few microseconds to see that the
			// last reader has left; a sleep takes far longer.
			continue
		}
		time.Sleep(pause)
		if err == nil {
			paused += pause
		}
		pause = min(2*pause, slice)
	}
	if empty > 0 && other > 0 && errors.Is(last, ErrEmpty) {
		last = errors.New("empty answer")
	}
	return nil, fmt.Errorf("read procfs file %q: %w, last seen: %w", f.Path, ctx.Err(), last)
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// passing tells the errors of a file that is not there yet or is going away
// from those that stay.
func passing(err error) bool {
	return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EIO) || errors.Is(err, unix.ENXIO)
}

// attempt opens the file, reads it to its end into s and closes it. It returns
// the number of bytes, 0 for an empty answer.
// When ctx ends first it returns an error; that tells what was seen.
//
// With leave, a FIFO that nobody writes is left at once, with errNoWriter. A
// writer's open counts while it still waits for a reader, so nobody means that
// stapbpf has not seen the last reader leave, or is gone. Who waits for it with
// the FIFO open is taken for the last reader and gets nothing, again and again
// where processors are short: stapbpf gets one when the reader is back, and
// loses it to the reader that it wakes. The FIFO must be abandonable, since
// stapbpf may open it in the moment before it is left.
func (f File) attempt(ctx context.Context, s *scratch, leave bool) (int, error) {
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

	if f.FIFO && !leave {
		// Before its writer is there a read of a FIFO says 0, as at the end.
		if err := s.await(ctx, fifo); err != nil {
			return 0, err
		}
	}
	s.reset()
	tooLarge, written := false, !leave
	for {
		n, err := unix.Read(fd, s.room())
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EAGAIN) && f.FIFO:
			// Also after POLLHUP: the writer opens the FIFO again and again,
			// until its readers are gone.
			written = true
			if err := s.await(ctx, fifo); err != nil {
				return 0, cutOff(len(s.buf), tooLarge, err)
			}
			continue
		case errors.Is(err, unix.EAGAIN):
			return 0, nil
		case err != nil:
			return 0, fmt.Errorf("read: %w", err)
		case n == 0 && !written:
			return 0, errNoWriter
		case n == 0 && tooLarge:
			return 0, ErrTooLarge
		case n == 0:
			return len(s.buf), nil
		}
		s.took(n)
		written = true
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

// cutOff says how far an attempt got that ctx ended with err.
func cutOff(got int, tooLarge bool, err error) error {
	switch {
	case tooLarge:
		return ErrTooLarge
	case got > 0:
		return fmt.Errorf("%d bytes without an end", got)
	}
	return err
}

// open opens the file without ever blocking. The FIFO must not have become a
// symlink since Find looked at it.
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

// closeFD closes what was only read from: there is nothing that an error could
// mean to the caller.
func closeFD(fd int) { _ = unix.Close(fd) }
