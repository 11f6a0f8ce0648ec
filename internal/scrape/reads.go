package scrape

import (
	"sync/atomic"

	"stap-exporter/internal/exposition"
)

// Reads counts the reads of one script's metrics. The script actor's goroutine
// writes it; any goroutine may read it.
type Reads struct {
	Done    atomic.Uint64          // reads that ended, in whatever way
	Failed  atomic.Uint64          // of them, failed or timed out
	Empty   atomic.Uint64          // of them, returned no text
	Shared  atomic.Uint64          // requests answered with the read of another request
	Bytes   atomic.Uint64          // size of the last text
	Samples atomic.Uint64          // samples in it
	Nanos   atomic.Int64           // duration of the last read
	Problem atomic.Pointer[string] // why the last read returned no page; nil when it did
	Dropped atomic.Uint64          // lines dropped from all texts

	// FirstDropped is the first line dropped from the latest text that had
	// such lines; nil: no text had any.
	FirstDropped atomic.Pointer[exposition.Problem]
}
