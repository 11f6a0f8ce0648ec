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

// Found is what All found and removed.
type Found struct {
	// names of modules with a work directory, a process, a FIFO or the module
	// itself
	Modules   []string
	Processes []string // that had to be ended
	Residue   []string // what could not be removed
}

// Nothing reports that there was nothing to remove.
func (f Found) Nothing() bool { return len(f.Modules) == 0 && len(f.Processes) == 0 }

// All removes, in bounded time, what an exporter with this Dir and Prefix has
// left when it is dead: processes with a run tag below Dir or in a recorded
// group, work directories there, modules and FIFOs of a name that has a work
// directory or begins with Prefix, probes of those processes, and temporary
// files. The caller holds the guardian's lock on Dir, so no living exporter
// owns any of it.
func (c *Cleaner) All() (found Found) {
	runs := filepath.Join(c.Dir, "run")
	works := map[string]string{} // by module
	entries, _ := os.ReadDir(runs)
	groups := map[int]bool{}
	for _, e := range entries {
		work := filepath.Join(runs, e.Name())
		works[e.Name()] = work
		led, _ := recorded(work)
		for _, id := range led {
			groups[id] = true
		}
	}
	w := proc.Selector{
		Tag:   func(work string) bool { return filepath.Dir(work) == runs },
		Group: func(id int) bool { return groups[id] },
	}
	ended, remaining := w.End(nil, c.TermGrace, c.KillGrace)
	pids := ids(ended)
	for _, work := range works {
		_, gone := recorded(work)
		pids = append(pids, gone...)
	}
	for _, p := range ended {
		if filepath.Dir(p.Tag) == runs { // the work directory may be gone
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

// prefixed are the loaded modules, and the modules with a directory in the FIFO
// root, whose names begin with Prefix.
func (c *Cleaner) prefixed() (names []string) {
	if c.Prefix == "" {
		return nil
	}
	all, _ := loadedModules(c.Modules)
	if ownDirectory(c.FIFORoot) { // otherwise others may have made anything
		entries, _ := os.ReadDir(c.FIFORoot)
		for _, e := range entries {
			all = append(all, e.Name())
		}
	}
	return slices.DeleteFunc(all, func(name string) bool { return !strings.HasPrefix(name, c.Prefix) })
}

// removeAll removes what many runs (work directories by module) left, all at
// the same time, and the probes of processes that have ended. It returns what
// it could not remove, by name.
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
// killed, in Dir and in the module cache.
func (c *Cleaner) removeTemporary() {
	lost, _ := filepath.Glob(filepath.Join(c.Dir, "bpf-tree", ".new-*"))
	for _, path := range lost {
		_ = os.RemoveAll(path) // what cannot be removed does no harm
	}
	if c.CacheDir != "" {
		modcache.RemoveTemporary(c.CacheDir)
	}
}

func ids(list []proc.Process) (pids []int) {
	for _, p := range list {
		pids = append(pids, p.PID)
	}
	return pids
}
