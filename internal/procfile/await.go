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

// quiet is how long a FIFO is silent that does not answer; for less, the
// context may just have ended at a bad moment.
const quiet = time.Second

// pollable is an open FIFO that the runtime's poller knows. A poll(2) that
// blocks would keep a processor from all other goroutines until the runtime
// notices, which where little goes on takes it 10 ms.
type pollable struct {
	file *os.File
	conn syscall.RawConn
}

// newPollable takes over fd, which must not block.
func newPollable(fd int, path string) (pollable, error) {
	file := os.NewFile(uintptr(fd), path)
	conn, err := file.SyscallConn()
	return pollable{file, conn}, err
}

// there is nothing that an error could mean to a reader
func (p pollable) close() { _ = p.file.Close() }

// await waits until the FIFO has something to read or its writer has closed it.
// It looks at ctx at least every slice; when ctx has ended it returns
// errNoAnswer, or errCutShort when that was too soon to say so.
func (s *scratch) await(ctx context.Context, p pollable) error {
	if s.ready == nil {
		s.ready = s.isReady
	}
	start := time.Now()
	for ctx.Err() == nil {
		if err := p.file.SetReadDeadline(time.Now().Add(slice)); err != nil {
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
	if time.Since(start) < quiet {
		return errCutShort
	}
	return errNoAnswer
}

// isReady tells whether there is something to read, or an end. The poller asks
// it first, and then after each event, of which some are old.
func (s *scratch) isReady(fd uintptr) bool {
	s.poll[0] = unix.PollFd{Fd: int32(fd), Events: unix.POLLIN}
	n, err := unix.Poll(s.poll[:], 0)
	for errors.Is(err, unix.EINTR) {
		n, err = unix.Poll(s.poll[:], 0)
	}
	s.pollErr = err
	return n > 0 || err != nil
}
