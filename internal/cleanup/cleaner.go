package cleanup

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"stap-exporter/internal/proc"
)

// Cleaner removes the residue of runs. Exporter and guardian each have one with
// the same values. Its methods may be called from any goroutine.
type Cleaner struct {
	Staprun  string // path of staprun; empty: modules cannot be unloaded
	Modules  string // the kernel's list of loaded modules
	FIFORoot string // directory in which stapbpf makes a directory for each module
	Tracing  string // the tracefs that stapbpf uses
	Dir      string // the exporter's private directory
	CacheDir string // directory of the module cache; empty: none
	Prefix   string // with which the names of this exporter's modules begin; empty: unknown

	TermGrace time.Duration // between TERM and KILL
	KillGrace time.Duration // between KILL and reporting a process as residue
	Wait      time.Duration // limit for retries to unload a module or to remove a probe
}

// MaxTermGrace is the longest useful TermGrace: it is for processes outside of
// a child's group, and most of those have lost their leader already.
const MaxTermGrace = 1500 * time.Millisecond

// Run cleans up after the run of module in the work directory work. It ends the
// processes that carry the run's tag, in any group or session, and removes the
// rest of the residue. It sends KILL at once when kill is closed. The run's own
// child must have ended. Run returns by name what it could not remove.
func (c *Cleaner) Run(kill <-chan struct{}, module, work string) (residue []string) {
	ended, remaining := proc.Tagged(work).End(kill, c.TermGrace, c.KillGrace)
	residue = proc.Names(remaining)
	if len(ended) > 0 {
		residue = append(residue, c.RemoveProbes(pidsOf(ended), c.Wait)...)
	}
	return append(residue, c.remove(module, work)...)
}

// remove unloads the module, and removes the FIFO's directory and the work
// directory. No process of the run may be alive. It returns by name what it
// could not remove.
func (c *Cleaner) remove(module, work string) (residue []string) {
	if err := c.Unload(module); err != nil {
		residue = append(residue, fmt.Sprintf("module %s (%v)", module, err))
	}
	if err := c.removeFIFO(module); err != nil {
		residue = append(residue, fmt.Sprintf("FIFO directory %s (%v)", filepath.Join(c.FIFORoot, module), err))
	}
	if err := os.RemoveAll(work); err != nil {
		residue = append(residue, fmt.Sprintf("work directory %s (%v)", work, err))
	}
	return residue
}

func pidsOf(list []proc.Process) (pids []int) {
	for _, p := range list {
		pids = append(pids, p.PID)
	}
	return pids
}
