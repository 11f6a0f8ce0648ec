package actors

import "stap-exporter/internal/scrape"

// countReads counts a script's reads for its status, and hands all events on.
func countReads(reads *scrape.Reads, next func(scrape.Event)) func(scrape.Event) {
	return func(e scrape.Event) {
		if r, ok := e.(scrape.ReadEnded); ok {
			countRead(reads, r)
		}
		next(e)
	}
}

// lateRead is the problem of a read that takes too long.
var lateRead = "not done in time"

// countRead counts one read that ended.
func countRead(reads *scrape.Reads, e scrape.ReadEnded) {
	reads.Done.Add(1)
	reads.Nanos.Store(int64(e.Duration))
	if e.Replies > 1 {
		reads.Shared.Add(uint64(e.Replies - 1))
	}
	if e.Err != nil || e.Expired {
		reads.Failed.Add(1)
		problem := lateRead
		if e.Err != nil {
			problem = e.Err.Error()
		}
		reads.Problem.Store(&problem)
		return
	}
	var problem *string
	if e.Page.Invalid() {
		problem = new(noValidSamples(e.Page).Error())
	}
	reads.Problem.Store(problem)
	if first := e.Page.First; first != nil {
		reads.Dropped.Add(uint64(e.Page.Problems()))
		reads.FirstDropped.Store(first)
	}
	reads.Bytes.Store(uint64(e.Page.Size))
	reads.Samples.Store(uint64(e.Page.Samples))
	if e.Page.Size == 0 {
		reads.Empty.Add(1)
	}
}
