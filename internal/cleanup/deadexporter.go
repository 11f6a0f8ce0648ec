package cleanup

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"stap-exporter/internal/modcache"
	"stap-exporter/internal/proc"
)

// Found is what All found.
type Found struct {
	Modules   []string // names of the modules of all runs found
	Processes []string // processes that All had to end, by name
	Residue   []string // what All could not remove, by name
}

// Nothing reports that there was nothing to clean up.
func (f Found) Nothing() bool { return len(f.Modules) == 0 && len(f.Processes) == 0 }

// All cleans up after an exporter with this Dir and Prefix that is dead, in
// bounded time. It removes
//   - processes with a run tag below Dir, or in a recorded process group, and
//     their probes,
//   - work directories in Dir,
//   - modules and FIFOs whose name begins with Prefix or has a work directory,
//   - temporary files in Dir and in the module cache.
//
// The caller must hold the guardian's lock on Dir, so that no living exporter
// owns any of it.
func (c *Cleaner) All() (found Found) {
	runs := filepath.Join(c.Dir, "run")
	works := map[string]string{} // work directory by module
	groups := map[int]bool{}
	entries, _ := os.ReadDir(runs)
	for _, e := range entries {
		work := filepath.Join(runs, e.Name())
		works[e.Name()] = work
		leaders, _ := recorded(work)
		for _, id := range leaders {
			groups[id] = true
		}
	}
	selector := proc.Selector{
		Tag:   func(work string) bool { return filepath.Dir(work) == runs },
		Group: func(id int) bool { return groups[id] },
	}
	ended, remaining := selector.End(nil, c.TermGrace, c.KillGrace)
	pids := pidsOf(ended)
	for _, work := range works {
		_, gone := recorded(work)
		pids = append(pids, gone...)
	}
	for _, p := range ended {
		if filepath.Dir(p.Tag) == runs { // its work directory may not exist any more
			works[filepath.Base(p.Tag)] = p.Tag
		}
	}
	for _, name := range c.prefixed() {
		works[name] = filepath.Join(runs, name)
	}
	c.removeTemporary()
	found.Modules = slices.Sorted(maps.Keys(works))
	found.Processes = proc.Names(ended)
	found.Residue = append(proc.Names(remaining), c.removeAll(works, pids)...)
	return found
}

// prefixed returns the modules whose name begins with Prefix: those that are
// loaded, and those with a directory in the FIFO root.
func (c *Cleaner) prefixed() []string {
	if c.Prefix == "" {
		return nil
	}
	loaded, _ := loadedModules(c.Modules)
	names := append(loaded, c.fifoModules()...)
	return slices.DeleteFunc(names, func(name string) bool { return !strings.HasPrefix(name, c.Prefix) })
}

// removeAll removes the residue of many runs, given by module and work
// directory, at the same time, and the probes of processes that have ended. It
// returns by name what it could not remove.
func (c *Cleaner) removeAll(works map[string]string, pids []int) (residue []string) {
	var mu sync.Mutex
	var all sync.WaitGroup
	do := func(remove func() []string) {
		all.Go(func() {
			names := remove()
			mu.Lock()
			defer mu.Unlock()
			residue = append(residue, names...)
		})
	}
	do(func() []string { return c.RemoveProbes(pids, c.Wait) })
	for module, work := range works {
		do(func() []string { return c.remove(module, work) })
	}
	all.Wait()
	slices.Sort(residue)
	return residue
}

// removeTemporary removes the files that an exporter was writing when it was
// killed. It ignores errors: such files do no harm.
func (c *Cleaner) removeTemporary() {
	paths, _ := filepath.Glob(filepath.Join(c.Dir, "bpf-tree", ".new-*"))
	for _, path := range paths {
		_ = os.RemoveAll(path)
	}
	if c.CacheDir != "" {
		modcache.RemoveTemporary(c.CacheDir)
	}
}
