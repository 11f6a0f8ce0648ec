package runner

import (
	"time"

	"stap-exporter/internal/procfile"
)

// Event is what a Run reports: Progress, Ready or Exited.
type Event interface {
	// RunNumber is the number that Start was given.
	RunNumber() uint64
}

// Progress reports what a starting script is doing. Of several in quick
// succession only the last may be reported.
type Progress struct {
	Run       uint64
	OSPID     int
	Activity  string // a few words: "pass 4: compile the module"
	Position  int    // in the start queue, from 1; 0: it does not wait for a slot
	Length    int    // of the start queue
	Compiling bool

	// Output returns the useful tail of what the child has written so far. Any
	// goroutine may call it; nil without a child.
	Output func() []string
}

// Ready reports that the script's procfs file exists.
type Ready struct {
	Run   uint64
	OSPID int
	File  procfile.File

	// Alive reports whether the process that writes the file exists and has not
	// begun to end. Any goroutine may call it.
	Alive func() bool

	// Compiled is false when the start loaded a module from the cache, which
	// takes a fraction of the time.
	Compiled bool

	Output func() []string // as in Progress
	Queued time.Duration   // how long the run waited for its slot
}

// Exited is a run's last event.
type Exited struct {
	Run  uint64
	Exit Exit
}

// RunNumber returns Run.
func (p Progress) RunNumber() uint64 { return p.Run }

// RunNumber returns Run.
func (r Ready) RunNumber() uint64 { return r.Run }

// RunNumber returns Run.
func (e Exited) RunNumber() uint64 { return e.Run }
