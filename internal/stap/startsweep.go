package stap

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"go.uber.org/zap"
)

// pidsFile is a file in each work folder: the processes of the run that may
// have set probes, one id a line. A killed stapbpf leaves its probes, named by
// its process id only, and nobody else could tell them from a stranger's.
const pidsFile = ".pids"

// keepPIDs adds to a work folder's pidsFile. Nothing but the sweep after a
// crash depends on it.
func keepPIDs(work string, pids ...int) {
	f, err := os.OpenFile(filepath.Join(work, pidsFile), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return
	}
	for _, pid := range pids {
		_, _ = fmt.Fprintln(f, pid)
	}
	_ = f.Close()
}

// sweepEarlier removes, in bounded time, what an earlier exporter of the same
// identity left when both it and its guardian were killed: processes with a
// mark below Dir, work folders there, modules and FIFOs of a module name that
// has a work folder there or begins with ModulePrefix, and the probes of those
// processes. The caller holds the identity, so nobody alive owns any of it. It
// logs what it found.
func (h *Host) sweepEarlier() {
	runs := filepath.Join(h.cfg.Dir, "run")
	w := wanted{mark: func(work string) bool { return filepath.Dir(work) == runs }}
	ended, stay := w.end(min(guardianTerm, h.cfg.TermGrace), h.cfg.KillGrace, nil)
	left := names(stay)

	works := map[string]string{}
	var pids []int
	entries, _ := os.ReadDir(runs) // none at the first start
	for _, e := range entries {
		work := filepath.Join(runs, e.Name())
		works[e.Name()] = work
		pids = append(pids, deadPIDs(work)...)
	}
	for _, m := range ended {
		pids = append(pids, m.pid)
	}
	if h.cfg.ModulePrefix != "" {
		for _, name := range append(h.loadedModules(), h.fifoFolders()...) {
			if strings.HasPrefix(name, h.cfg.ModulePrefix) {
				works[name] = filepath.Join(runs, name)
			}
		}
	}
	h.removeTemporary()
	if len(works) == 0 && len(ended) == 0 {
		return
	}
	left = append(left, h.sweepAll(works, pids)...)
	h.cfg.Logger.Info(
		"removed what an earlier exporter left",
		zap.Strings("modules", slices.Sorted(maps.Keys(works))),
		zap.Strings("processes", names(ended)),
	)
	if len(left) > 0 {
		h.cfg.Logger.Warn("an earlier exporter left what cannot be removed", zap.Strings("left", left))
	}
}

// removeTemporary removes the files that an exporter was writing when it was
// killed, in Dir and in the module cache. The cache may be shared, but its
// writers hold its lock, so while that is held such files are nobody's.
func (h *Host) removeTemporary() {
	find := func(pattern ...string) []string {
		files, _ := filepath.Glob(filepath.Join(pattern...))
		return files
	}
	lost := find(h.cfg.Dir, "bpf-tree", ".new-*")
	if h.cache != nil && len(find(h.cache.dir, temporary+"*")) > 0 {
		if unlock, err := h.cache.lock(cacheSweepWait); err == nil {
			defer unlock()
			lost = append(lost, find(h.cache.dir, temporary+"*")...)
		}
	}
	for _, path := range lost {
		_ = os.RemoveAll(path) // what cannot be removed does no harm
	}
}

// deadPIDs are the processes of a work folder's pidsFile that have ended. An id
// that lives again is a stranger's by now, and so are its probes.
func deadPIDs(work string) (pids []int) {
	text, _ := os.ReadFile(filepath.Join(work, pidsFile))
	for line := range strings.Lines(string(text)) {
		pid, err := strconv.Atoi(strings.TrimSpace(line))
		if err != nil {
			continue
		}
		if _, err := os.Stat("/proc/" + strconv.Itoa(pid)); err != nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

func (h *Host) loadedModules() (names []string) {
	text, _ := os.ReadFile(h.cfg.Modules)
	for line := range bytes.Lines(text) {
		name, _, _ := strings.Cut(string(line), " ")
		names = append(names, name)
	}
	return names
}

// fifoFolders are the folders in the FIFO root, where that is this user's:
// others may have made anything.
func (h *Host) fifoFolders() (names []string) {
	if !ownFolder(h.cfg.Roots.FIFO) {
		return nil
	}
	entries, _ := os.ReadDir(h.cfg.Roots.FIFO)
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}
