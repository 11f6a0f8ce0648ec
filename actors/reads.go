package actors

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"stap-exporter/internal/exposition"
	"stap-exporter/internal/scrape"
)

// patientStop is how long a stop waits for a read that its script would not
// survive being left; see Source.Patient.
const drainTimeout = 500 * time.Millisecond

// longestPause bounds the pause after a read, see Source.Pace.
const longestPause = 500 * time.Millisecond

// waiter is a request that has no answer yet.
type waiter struct {
	request *ReadMetrics
	number  uint64
}

// waiters are requests that wait for the same thing.
type waitList struct {
	list  []waiter
	forms exposition.Forms // that they want the page in
}

func (w *waitList) add(m *ReadMetrics) {
	w.list = append(w.list, waiter{m, m.number})
	w.forms = w.forms.With(m.Query.Form)
}

// drop forgets one, if it is there.
func (w *waitList) drop(one waiter) {
	if i := slices.Index(w.list, one); i >= 0 {
		w.list = slices.Delete(w.list, i, i+1)
	}
}

// dropExpired forgets those whose asker is gone: it was answered by its own
// deadline.
func (w *waitList) dropExpired(now time.Time) {
	kept := w.list[:0]
	for _, each := range w.list {
		if each.request.Query.Deadline.After(now) {
			kept = append(kept, each)
		}
	}
	clear(w.list[len(kept):])
	w.list = kept
}

// answer gives all of them the same answer and empties the list.
func (w *waitList) answer(answer scrape.Answer) {
	for _, each := range w.list {
		each.request.respond(each.number, answer)
	}
	w.empty()
}

func (w *waitList) empty() {
	clear(w.list)
	w.list, w.forms = w.list[:0], 0
}

// moveTo lets those of w wait for what other's wait for.
func (w *waitList) moveTo(other *waitList) {
	other.list = append(other.list, w.list...)
	other.forms |= w.forms
	w.empty()
}

// read is one read of the script's file, from before its open to after its
// close.
type read struct {
	number  uint64
	run     uint64
	begun   time.Time
	source  Source
	cancel  context.CancelFunc
	enough  chan struct{} // closed when expired
	stop    func()        // stops the timer
	done    chan struct{} // closed when the file is closed
	expired bool          // its time was up: what it brings is thrown away
}

// readNext begins a read for those who wait for one. One at a time: the one
// under way was opened before they came, so they wait for its end.
func (a *scriptActor) readNext() {
	if a.durable.read != nil || a.source == nil || a.pausing || len(a.nextRead.list) == 0 {
		return
	}
	if pause := a.durable.pausedUntil.Sub(a.cfg.Clock.Now()); pause > 0 {
		a.pausing = true
		due, tell := ReadDue{a.durable.reads}, a.tell
		a.cfg.Clock.AfterFunc(pause, func() { tell(due) })
		return
	}
	a.currentRead, a.nextRead = a.nextRead, a.currentRead
	a.durable.reads++
	ctx, cancel := context.WithCancel(context.Background())
	r := &read{
		number: a.durable.reads,
		run:    a.durable.run,
		begun:  a.cfg.Clock.Now(),
		source: a.source,
		cancel: cancel,
		enough: make(chan struct{}),
		done:   make(chan struct{}),
	}
	a.armRead(r)
	a.durable.read = r
	tell, forms := a.tell, a.currentRead.forms
	a.cfg.Go(func() {
		page, err := readSource(ctx, r, forms)
		close(r.done)
		tell(ReadFinished{r.number, page, err})
	})
}

// pause lets the source's Pace pass before the next read. Requests that come
// meanwhile share that read.
func (a *scriptActor) pause(r *read, now time.Time) {
	took := now.Sub(r.begun)
	a.durable.pausedUntil = now.Add(min(took*time.Duration(r.source.Pace()), longestPause))
}

func (a *scriptActor) readDue(m ReadDue) {
	if m.Read != a.durable.reads || a.state != scrape.Running {
		return
	}
	a.pausing = false
	a.readNext()
}

// readSource reads, and makes the forms that are wanted: it takes as long as
// the next requests wait, so that more of them share the next read where forms
// are costly. It turns a panic of the source into an error: in a goroutine of
// its own it would end the process.
func readSource(ctx context.Context, r *read, forms exposition.Forms) (page *exposition.Page, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("read metrics: panic: %v", p)
		}
	}()
	if page, err = r.source.Read(ctx, r.enough); err == nil {
		page.Prepare(forms)
	}
	return page, err
}

func (a *scriptActor) armRead(r *read) {
	tell := a.tell
	r.stop = a.cfg.Clock.AfterFunc(a.cfg.ReadTimeout, func() { tell(ReadExpired{r.number}) })
}

// expire makes a read one whose text nobody gets.
func (r *read) expire() {
	if !r.expired {
		r.expired = true
		close(r.enough)
	}
}

func (a *scriptActor) readFinished(m ReadFinished) {
	r := a.durable.read
	if r == nil || r.number != m.Read {
		return
	}
	a.durable.read = nil
	r.stop()
	r.cancel()
	now := a.cfg.Clock.Now()
	a.pause(r, now)
	ended := scrape.ReadEnded{
		Script:   a.durable.script.Name,
		Duration: now.Sub(r.begun),
		Page:     m.Page,
		Err:      m.Err,
		Expired:  r.expired,
	}
	if !r.expired {
		ended.Replies = len(a.currentRead.list)
	}
	a.durable.listen(ended)
	switch {
	case r.expired || r.run != a.durable.run || a.state != scrape.Running:
		// Those who waited for it were answered; what it brought may be older
		// than those who wait now.
	case errors.Is(m.Err, errDied):
		a.currentRead.moveTo(&a.nextRead) // the process tells why in a moment
	case m.Err == nil && m.Page.Invalid():
		a.answer(&a.currentRead, scrape.Answer{Err: noValidSamples(m.Page)})
	case m.Err == nil:
		a.durable.served = true
		a.answer(&a.currentRead, scrape.Answer{Page: m.Page})
	default:
		a.answer(&a.currentRead, scrape.Answer{Err: fmt.Errorf("%w: %w", scrape.ErrReadFailed, m.Err)})
	}
	a.nextRead.dropExpired(now)
	if r.run == a.durable.run && a.state == scrape.Running && errors.Is(m.Err, fs.ErrNotExist) {
		// Somebody removed the file under a living script: it never comes back.
		a.nextRead.moveTo(&a.startWaiters)
		a.becomeStopping(scrape.CauseFileGone)
		if len(a.startWaiters.list) > 0 {
			a.nextCause = scrape.CauseRequest
		}
		return
	}
	a.readNext()
}

// ruined says why a text of which nothing is left gives no metrics.
func noValidSamples(page *exposition.Page) error {
	return fmt.Errorf("%w: %s", scrape.ErrNoValidSamples, page.First)
}

// readExpired answers those who wait for a read that takes too long. The read
// itself goes on where its script would die of being left; those who come
// meanwhile wait for no longer than a read may take, either.
func (a *scriptActor) readExpired(m ReadExpired) {
	r := a.durable.read
	if r == nil || r.number != m.Read {
		return
	}
	timeout := scrape.Answer{Err: scrape.ErrReadTimeout}
	a.answer(&a.currentRead, timeout)
	if r.expired {
		a.answer(&a.nextRead, timeout)
	}
	r.expire()
	if !r.source.MustDrain() {
		r.cancel()
	}
	if a.state == scrape.Running {
		a.armRead(r)
	}
}

// endRead ends the read under way, if any, and returns what tells that its file
// is closed. A living script that would die of it gets a moment to come to the
// end of its text.
func (a *scriptActor) endRead() (closed <-chan struct{}) {
	r := a.durable.read
	if r == nil {
		return nil
	}
	r.expire()
	r.stop()
	if r.source.MustDrain() && a.durable.process != nil {
		r.stop = a.cfg.Clock.AfterFunc(drainTimeout, r.cancel)
	} else {
		r.cancel()
	}
	return r.done
}

// answer adds the status to an answer and gives it to all of w.
func (a *scriptActor) answer(w *waitList, answer scrape.Answer) {
	if len(w.list) == 0 {
		return
	}
	answer.Status = a.durable.board.Load()
	w.answer(answer)
}

// answerAll answers everybody who waits.
func (a *scriptActor) answerAll(err error) {
	for _, w := range []*waitList{&a.currentRead, &a.nextRead, &a.startWaiters} {
		a.answer(w, scrape.Answer{Err: err})
	}
}
