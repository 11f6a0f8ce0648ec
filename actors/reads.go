package actors

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"slices"
	"time"

	"stap-exporter/internal/exposition"
	"stap-exporter/internal/script"
)

// patientStop is how long a stop waits for a read that its script would not
// survive being left; see Source.Patient.
const patientStop = 500 * time.Millisecond

// Bounds of the pause after a read, see rest.
const (
	longestRest      = 500 * time.Millisecond
	longestGathering = 2 * time.Millisecond
	costly           = 100 * time.Microsecond
)

// waiter is a request that has no answer yet.
type waiter struct {
	request *ReadMetrics
	number  uint64
}

// waiters are requests that wait for the same thing.
type waiters struct {
	list  []waiter
	forms exposition.Forms // that they want the page in
}

func (w *waiters) add(m *ReadMetrics) {
	w.list = append(w.list, waiter{m, m.number})
	w.forms = w.forms.With(m.Query.Form)
}

// drop forgets one, if it is there.
func (w *waiters) drop(one waiter) {
	if i := slices.Index(w.list, one); i >= 0 {
		w.list = slices.Delete(w.list, i, i+1)
	}
}

// dropExpired forgets those whose asker is gone: it was answered by its own
// deadline.
func (w *waiters) dropExpired(now time.Time) {
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
func (w *waiters) answer(answer script.Answer) {
	for _, each := range w.list {
		each.request.respond(each.number, answer)
	}
	w.empty()
}

func (w *waiters) empty() {
	clear(w.list)
	w.list, w.forms = w.list[:0], 0
}

// moveTo lets those of w wait for what other's wait for.
func (w *waiters) moveTo(other *waiters) {
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
	waiting := len(a.next.list)
	if a.her.read != nil || a.source == nil || waiting == 0 || a.resting && waiting < a.her.quorum {
		return
	}
	if rest := a.her.restUntil.Sub(a.cfg.Clock.Now()); rest > 0 && waiting < a.her.quorum {
		a.resting = true
		due, tell := ReadDue{a.her.reads}, a.tell
		a.cfg.Clock.AfterFunc(rest, func() { tell(due) })
		return
	}
	a.resting = false
	a.current, a.next = a.next, a.current
	a.her.reads++
	ctx, cancel := context.WithCancel(context.Background())
	r := &read{
		number: a.her.reads,
		run:    a.her.run,
		begun:  a.cfg.Clock.Now(),
		source: a.source,
		cancel: cancel,
		enough: make(chan struct{}),
		done:   make(chan struct{}),
	}
	a.armRead(r)
	a.her.read = r
	tell, forms := a.tell, a.current.forms
	a.cfg.Go(func() {
		page, err := readSource(ctx, r, forms)
		close(r.done)
		tell(ReadFinished{r.number, page, err})
	})
}

// rest says when the next read may begin. That of a module keeps the source's
// Pace. After another one that costs something the next waits for those who are
// on their way, at most as long as the read took: three in four of those who
// were answered by it or came meanwhile. Clients that ask again and again then
// share reads, instead of taking turns in two groups that keep the script at
// work all the time; who is always alone never waits.
func (a *scriptActor) rest(r *read, now time.Time) {
	took := now.Sub(r.begun)
	if pace := r.source.Pace(); pace > 0 {
		a.her.restUntil, a.her.quorum = now.Add(min(took*time.Duration(pace), longestRest)), math.MaxInt
		return
	}
	a.her.quorum = 0
	if took >= costly {
		a.her.restUntil, a.her.quorum = now.Add(min(took, longestGathering)), (len(a.current.list)+len(a.next.list))*3/4
	}
}

func (a *scriptActor) readDue(m ReadDue) {
	if m.Read != a.her.reads || a.state != script.Running {
		return
	}
	a.resting = false
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
	r := a.her.read
	if r == nil || r.number != m.Read {
		return
	}
	a.her.read = nil
	r.stop()
	r.cancel()
	now := a.cfg.Clock.Now()
	a.rest(r, now)
	ended := ReadEnded{
		Script:   a.her.script.Name,
		Duration: now.Sub(r.begun),
		Page:     m.Page,
		Err:      m.Err,
		Expired:  r.expired,
	}
	if !r.expired {
		ended.Replies = len(a.current.list)
	}
	a.her.listen(ended)
	switch {
	case r.expired || r.run != a.her.run || a.state != script.Running:
		// Those who waited for it were answered; what it brought may be older
		// than those who wait now.
	case errors.Is(m.Err, errDied):
		a.current.moveTo(&a.next) // the process tells why in a moment
	case m.Err == nil && m.Page.Ruined():
		a.answer(&a.current, script.Answer{Err: ruined(m.Page)})
	case m.Err == nil:
		a.her.served = true
		a.answer(&a.current, script.Answer{Page: m.Page})
	default:
		a.answer(&a.current, script.Answer{Err: fmt.Errorf("%w: %w", script.ErrReadFailed, m.Err)})
	}
	a.next.dropExpired(now)
	if r.run == a.her.run && a.state == script.Running && errors.Is(m.Err, fs.ErrNotExist) {
		// Somebody removed the file under a living script: it never comes back.
		a.next.moveTo(&a.warming)
		a.becomeStopping(CauseFileGone)
		if len(a.warming.list) > 0 {
			a.wanted = CauseRequest
		}
		return
	}
	a.readNext()
}

// ruined says why a text of which nothing is left gives no metrics.
func ruined(page *exposition.Page) error { return fmt.Errorf("%w: %s", script.ErrRuined, page.First) }

// readExpired answers those who wait for a read that takes too long. The read
// itself goes on where its script would die of being left; those who come
// meanwhile wait for no longer than a read may take, either.
func (a *scriptActor) readExpired(m ReadExpired) {
	r := a.her.read
	if r == nil || r.number != m.Read {
		return
	}
	timeout := script.Answer{Err: script.ErrReadTimeout}
	a.answer(&a.current, timeout)
	if r.expired {
		a.answer(&a.next, timeout)
	}
	r.expire()
	if !r.source.Patient() {
		r.cancel()
	}
	if a.state == script.Running {
		a.armRead(r)
	}
}

// endRead ends the read under way, if any, and returns what tells that its file
// is closed. A living script that would die of it gets a moment to come to the
// end of its text.
func (a *scriptActor) endRead() (closed <-chan struct{}) {
	r := a.her.read
	if r == nil {
		return nil
	}
	r.expire()
	r.stop()
	if r.source.Patient() && a.her.process != nil {
		r.stop = a.cfg.Clock.AfterFunc(patientStop, r.cancel)
	} else {
		r.cancel()
	}
	return r.done
}

// answer adds the status to an answer and gives it to all of w.
func (a *scriptActor) answer(w *waiters, answer script.Answer) {
	if len(w.list) == 0 {
		return
	}
	answer.Status = a.her.board.Load()
	w.answer(answer)
}

// answerAll answers everybody who waits.
func (a *scriptActor) answerAll(err error) {
	for _, w := range []*waiters{&a.current, &a.next, &a.warming} {
		a.answer(w, script.Answer{Err: err})
	}
}
