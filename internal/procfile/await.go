package procfile

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// minSilence is how long a FIFO must be silent before Read reports that it does
// not answer. After less, the context may have ended too early.
const minSilence = time.Second

// pollable is an open FIFO, registered with the poller of the Go runtime. A
// blocking poll(2) would withhold a CPU from all other goroutines until the
// runtime notices, which takes up to 10 ms on an idle system.
type pollable struct {
	file *os.File
	conn syscall.RawConn
}

// newPollable takes ownership of fd, which must be non-blocking.
func newPollable(fd int, path string) (pollable, error) {
	file := os.NewFile(uintptr(fd), path)
	conn, err := file.SyscallConn()
	return pollable{file, conn}, err
}

// close ignores the error: a failed close means nothing to a reader.
func (p pollable) close() { _ = p.file.Close() }

// await waits until the FIFO has something to read or its writer has closed it.
// It checks ctx at least every checkInterval. When ctx has ended it returns
// errNoAnswer, or errCutShort if it waited for less than minSilence.
func (s *scratch) await(ctx context.Context, p pollable) error {
	if s.ready == nil {
		s.ready = s.isReady
	}
	start := time.Now()
	for ctx.Err() == nil {
		if err := p.file.SetReadDeadline(time.Now().Add(checkInterval)); err != nil {
			return fmt.Errorf("poll: %w", err)
		}
		switch err := p.conn.Read(s.ready); {
		case errors.Is(err, os.ErrDeadlineExceeded):
		case err != nil:
			return fmt.Errorf("poll: %w", err)
		case s.pollErr != nil:
			return fmt.Errorf("poll: %w", s.pollErr)
		default:
			return nil
		}
	}
	if time.Since(start) < minSilence {
		return errCutShort
	}
	return errNoAnswer
}

// isReady reports whether there is something to read, or an end. The poller
// calls it once at first and then after each event; an event may be out of
// date.
func (s *scratch) isReady(fd uintptr) bool {
	s.poll[0] = unix.PollFd{Fd: int32(fd), Events: unix.POLLIN}
	n, err := unix.Poll(s.poll[:], 0)
	for errors.Is(err, unix.EINTR) {
		n, err = unix.Poll(s.poll[:], 0)
	}
	s.pollErr = err
	return n > 0 || err != nil
}
