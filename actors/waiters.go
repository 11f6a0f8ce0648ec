package actors

import (
	"slices"
	"time"

	"stap-exporter/internal/exposition"
	"stap-exporter/internal/scrape"
)

// waiter is a request without an answer.
type waiter struct {
	request *ReadMetrics
	number  uint64
}

// waitList holds requests that wait for the same thing.
type waitList struct {
	list  []waiter
	forms exposition.Forms // in which they want the page
}

func (w *waitList) add(m *ReadMetrics) {
	w.list = append(w.list, waiter{m, m.number})
	w.forms = w.forms.With(m.Query.Form)
}

// drop removes one waiter, if it is in the list.
func (w *waitList) drop(one waiter) {
	if i := slices.Index(w.list, one); i >= 0 {
		w.list = slices.Delete(w.list, i, i+1)
	}
}

// keep drops the waiters for which wanted is false.
func (w *waitList) keep(wanted func(waiter) bool) {
	w.list = slices.DeleteFunc(w.list, func(one waiter) bool { return !wanted(one) })
}

// dropExpired drops the waiters whose deadline has passed: Handle.Ask has
// answered them.
func (w *waitList) dropExpired(now time.Time) {
	w.keep(func(one waiter) bool { return one.request.Query.Deadline.After(now) })
}

// answer gives all waiters the same answer and empties the list.
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

// moveTo moves all waiters to the end of other.
func (w *waitList) moveTo(other *waitList) {
	other.list = append(other.list, w.list...)
	other.forms |= w.forms
	w.empty()
}
