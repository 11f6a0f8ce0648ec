package actors

import "stap-exporter/internal/scrape"

// admits counts a request for a script that does not run. false: it has its
// answer.
func (a *scriptActor) admits(m *ReadMetrics) bool {
	if err := a.barred(); err != nil {
		a.refuse(m, err)
		return false
	}
	if m.Query.Passive {
		a.refuse(m, scrape.ErrNotRunning)
		return false
	}
	a.noteRequest()
	return true
}

// noteRequest notes that a request came that starts the script, or renews its
// keepalive.
func (a *scriptActor) noteRequest() {
	a.lastRequest = a.cfg.Clock.Now()
	a.durable.requests.MarkReceived(a.lastRequest)
}

// startForRequest starts a run. The request is registered first, so that it is
// answered if that panics.
func (a *scriptActor) startForRequest(m *ReadMetrics) {
	a.startWaiters.add(m)
	a.becomeStarting(scrape.CauseRequest)
	if !m.Query.Wait {
		a.startWaiters.drop(waiter{m, m.number})
		a.refuse(m, scrape.ErrNotRunning)
	}
}

// waitForStart lets m wait until the script runs, if it wants to.
func (a *scriptActor) waitForStart(m *ReadMetrics) {
	switch {
	case !m.Query.Wait:
		a.refuse(m, scrape.ErrNotRunning)
	case a.underLimit(m):
		a.startWaiters.add(m)
	}
}

// underLimit refuses m if too many requests wait for the script already.
func (a *scriptActor) underLimit(m *ReadMetrics) bool {
	if a.waiting() < a.cfg.MaxWaiting {
		return true
	}
	a.refuse(m, scrape.ErrOverLimit)
	return false
}

// waitLists are the lists that a request can be in.
func (a *scriptActor) waitLists() [3]*waitList {
	return [...]*waitList{&a.reader.current, &a.reader.next, &a.startWaiters}
}

// waiting is how many requests have no answer yet.
func (a *scriptActor) waiting() (n int) {
	for _, w := range a.waitLists() {
		n += len(w.list)
	}
	return n
}

// requesterLeft frees the slot of a request whose requester left.
func (a *scriptActor) requesterLeft(m RequesterLeft) {
	for _, w := range a.waitLists() {
		w.drop(waiter(m))
	}
}

// waitForRun lets all waiters wait for the next run, and answers those that do
// not want to.
func (a *scriptActor) waitForRun() {
	a.reader.current.moveTo(&a.startWaiters)
	a.reader.next.moveTo(&a.startWaiters)
	a.startWaiters.keep(func(w waiter) bool {
		if w.request.Query.Wait {
			return true
		}
		// From here on the request may be in use again.
		w.request.respond(w.number, scrape.Answer{Err: scrape.ErrNotRunning, Status: a.durable.status.Load()})
		return false
	})
}

func (a *scriptActor) refuse(m *ReadMetrics, err error) {
	m.respond(m.number, scrape.Answer{Err: err, Status: a.durable.status.Load()})
}

// answer adds the status to an answer and gives it to all of w.
func (a *scriptActor) answer(w *waitList, answer scrape.Answer) {
	if len(w.list) == 0 {
		return
	}
	answer.Status = a.durable.status.Load()
	w.answer(answer)
}

// answerAll gives all waiters an answer without metrics.
func (a *scriptActor) answerAll(err error) {
	for _, w := range a.waitLists() {
		a.answer(w, scrape.Answer{Err: err})
	}
}
