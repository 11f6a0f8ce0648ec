package procfs

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	scratchSize = 64 << 10 // fits the longest text of SystemTap's tapset, and a full pipe
	scratchKept = 1 << 20  // a longer buffer is not kept for the next Read

	quiet = time.Second // a FIFO silent for so long is one that does not answer; for less, ctx may just have ended at a bad moment
)

// scratch is what one Read works with. A Read holds one from start to end and copies the body out of it.
type scratch struct {
	buf  []byte // as long as it can be
	poll [1]unix.PollFd
}

var scratches = sync.Pool{New: func() any { return &scratch{buf: make([]byte, scratchSize)} }}

func getScratch() *scratch { return scratches.Get().(*scratch) }

func (s *scratch) release() {
	if len(s.buf) <= scratchKept {
		scratches.Put(s)
	}
}

// grow doubles the buffer and keeps what is in it. One byte more than MaxBody is enough to see that a text is too long.
func (s *scratch) grow() {
	bigger := make([]byte, min(2*len(s.buf), MaxBody+1))
	copy(bigger, s.buf)
	s.buf = bigger
}

// await waits until the FIFO fd has something to read or its writer has closed it. It looks at ctx at least every slice; when ctx has ended it returns errNoAnswer, or errCutShort when that was too soon to say so.
func (s *scratch) await(ctx context.Context, fd int) error {
	start := time.Now()
	for ctx.Err() == nil {
		wait := slice
		if deadline, ok := ctx.Deadline(); ok {
			wait = min(wait, time.Until(deadline))
		}
		// poll counts whole milliseconds; 0 would be a busy loop up to the moment the context's timer fires.
		ms := max(1, int((wait+time.Millisecond-1)/time.Millisecond))
		s.poll[0] = unix.PollFd{Fd: int32(fd), Events: unix.POLLIN}
		n, err := unix.Poll(s.poll[:], ms)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return fmt.Errorf("poll: %w", err)
		case n > 0:
			return nil
		}
	}
	if time.Since(start) < quiet {
		return errCutShort
	}
	return errNoAnswer
}
