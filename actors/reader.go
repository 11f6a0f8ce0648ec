package actors

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"stap-exporter/internal/exposition"
	"stap-exporter/internal/scrape"
)

// drainTimeout is how long a stop waits for a read that the script would not
// survive being abandoned; see Source.MustDrain.
const drainTimeout = 500 * time.Millisecond

// longestPause bounds the pause after a read, see Source.Pace.
const longestPause = 500 * time.Millisecond

// reader is what an incarnation knows about the reads of the running script.
// Requests that come together share a read, and no reply carries metrics of a
// read that was opened before its request came.
type reader struct {
	source  Source   // of the running script, else nil
	current waitList // wait for the read under way
	next    waitList // wait for a read that has not begun
	pausing bool     // the next read waits for a ReadDue
}

// read is one read of the script's file, from before its open to after its
// close.
type read struct {
	number  uint64
	run     uint64
	begun   time.Time
	source  Source
	cancel  context.CancelFunc
	abandon chan struct{} // closed when expired
	stop    func()        // stops the timer
	closed  chan struct{} // closed when the file is closed
	expired bool          // its time is up: its page is discarded
}

// waitForRead lets m wait for the next read of the running script.
func (a *scriptActor) waitForRead(m *ReadMetrics) {
	if a.underLimit(m) {
		a.reader.next.add(m)
		a.readNext()
	}
}

// readNext begins a read if requests wait for one. One at a time: the one under
// way was opened before they came, so they wait for its end.
func (a *scriptActor) readNext() {
	if a.durable.reads.open != nil || a.reader.source == nil || a.reader.pausing || len(a.reader.next.list) == 0 {
		return
	}
	if pause := a.durable.reads.pausedUntil.Sub(a.cfg.Clock.Now()); pause > 0 {
		a.reader.pausing = true
		due, send := ReadDue{a.durable.reads.number}, a.send
		a.cfg.Clock.AfterFunc(pause, func() { send(due) })
		return
	}
	a.reader.current, a.reader.next = a.reader.next, a.reader.current
	a.durable.reads.number++
	ctx, cancel := context.WithCancel(context.Background())
	r := &read{
		number:  a.durable.reads.number,
		run:     a.durable.run.number,
		begun:   a.cfg.Clock.Now(),
		source:  a.reader.source,
		cancel:  cancel,
		abandon: make(chan struct{}),
		closed:  make(chan struct{}),
	}
	a.armRead(r)
	a.durable.reads.open = r
	send, forms := a.send, a.reader.current.forms
	a.cfg.Go(func() {
		page, err := readSource(ctx, r, forms)
		close(r.closed)
		send(ReadFinished{
			Read: r.number,
			Page: page,
			Err:  err,
		})
	})
}

// readSource reads, and renders the forms that the waiters want. The next
// requests wait as long, so that more of them share a read where forms are
// costly. A panic of the source becomes an error: in a goroutine of its own it
// would end the process.
func readSource(ctx context.Context, r *read, forms exposition.Forms) (page *exposition.Page, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("read metrics: panic: %v", p)
		}
	}()
	if page, err = r.source.Read(ctx, r.abandon); err == nil {
		page.Prepare(forms)
	}
	return page, err
}

func (a *scriptActor) armRead(r *read) {
	send := a.send
	r.stop = a.cfg.Clock.AfterFunc(a.cfg.ReadTimeout, func() { send(ReadExpired{r.number}) })
}

// closeRead notes that the file of the read under way is closed, and returns
// that read; nil: m is of an earlier one.
func (a *scriptActor) closeRead(m ReadFinished) *read {
	r := a.durable.reads.open
	if r == nil || r.number != m.Read {
		return nil
	}
	a.durable.reads.open = nil
	r.stop()
	r.cancel()
	now := a.cfg.Clock.Now()
	took := now.Sub(r.begun)
	a.durable.reads.pausedUntil = now.Add(min(took*time.Duration(r.source.Pace()), longestPause))
	ended := scrape.ReadEnded{
		Script:   a.durable.script.Name,
		Duration: took,
		Page:     m.Page,
		Err:      m.Err,
		Expired:  r.expired,
	}
	if !r.expired {
		ended.Replies = len(a.reader.current.list)
	}
	a.durable.listen(ended)
	return r
}

// readFinished answers the waiters of a read of the running script.
func (a *scriptActor) readFinished(m ReadFinished) {
	r := a.closeRead(m)
	if r == nil {
		return
	}
	current := r.run == a.durable.run.number
	switch {
	case r.expired || !current:
		// Its waiters were answered; its page may be older than the requests
		// that wait now.
	case errors.Is(m.Err, errDied):
		a.reader.current.moveTo(&a.reader.next) // ProcessExited follows, with the reason
	case m.Err == nil && m.Page.Invalid():
		a.answer(&a.reader.current, scrape.Answer{Err: noValidSamples(m.Page)})
	case m.Err == nil:
		a.durable.run.served = true
		a.answer(&a.reader.current, scrape.Answer{Page: m.Page})
	default:
		a.answer(&a.reader.current, scrape.Answer{Err: fmt.Errorf("%w: %w", scrape.ErrReadFailed, m.Err)})
	}
	a.reader.next.dropExpired(a.cfg.Clock.Now())
	if current && errors.Is(m.Err, fs.ErrNotExist) {
		a.fileGone()
		return
	}
	a.readNext()
}

// fileGone starts the script again: its file was removed while it ran, and
// never comes back.
func (a *scriptActor) fileGone() {
	a.reader.next.moveTo(&a.startWaiters)
	a.becomeStopping(scrape.CauseFileGone)
	if len(a.startWaiters.list) > 0 {
		a.nextCause = scrape.CauseRequest
	}
}

// noValidSamples is why a text of which nothing is left gives no metrics.
func noValidSamples(page *exposition.Page) error {
	return fmt.Errorf("%w: %s", scrape.ErrNoValidSamples, page.First)
}

// readExpired answers the waiters of a read that takes too long. The read
// itself goes on where the script would die of its end; requests that come
// meanwhile wait for no longer than a read may take, either.
func (a *scriptActor) readExpired(m ReadExpired) {
	r := a.durable.reads.open
	if r == nil || r.number != m.Read {
		return
	}
	timeout := scrape.Answer{Err: scrape.ErrReadTimeout}
	a.answer(&a.reader.current, timeout)
	if r.expired {
		a.answer(&a.reader.next, timeout)
	}
	r.expire()
	if !r.source.MustDrain() {
		r.cancel()
	}
	a.armRead(r)
	a.durable.counted.Problem.Store(&lateRead)
}

// expire discards the page of r.
func (r *read) expire() {
	if !r.expired {
		r.expired = true
		close(r.abandon)
	}
}

// readInTime reports whether a request waits for a read that has not expired,
// or that begins in a moment.
func (a *scriptActor) readInTime() bool {
	if r := a.durable.reads.open; r != nil {
		return !r.expired
	}
	return len(a.reader.next.list) > 0
}

// endRead ends the read under way, if there is one; closed is closed when its
// file is. A living script that would die of an abandoned read gets a moment to
// reach the end of its text.
func (a *scriptActor) endRead() (closed <-chan struct{}) {
	r := a.durable.reads.open
	if r == nil {
		return nil
	}
	r.expire()
	r.stop()
	if r.source.MustDrain() && a.durable.run.process != nil {
		r.stop = a.cfg.Clock.AfterFunc(drainTimeout, r.cancel)
	} else {
		r.cancel()
	}
	return r.closed
}
