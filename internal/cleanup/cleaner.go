package cleanup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"stap-exporter/internal/proc"
	"stap-exporter/internal/stapout"
	"stap-exporter/internal/toolchain"
)

// Cleaner removes what runs leave behind: processes, the loaded module, the
// FIFO, probes, the work directory. Exporter and guardian each have one with
// the same values. Its methods may be called from any goroutine.
type Cleaner struct {
	Staprun  string // path of staprun; empty: modules cannot be unloaded
	Modules  string // the kernel's list of loaded modules
	FIFORoot string // directory in which stapbpf makes a directory for each module
	Tracing  string // the tracefs that stapbpf uses
	Dir      string // the exporter's private directory
	CacheDir string // directory of the module cache; empty: none
	Prefix   string // what the names of this exporter's modules begin with; empty: unknown

	TermGrace time.Duration // between TERM and KILL
	KillGrace time.Duration // how long after KILL a process counts as residue
	Wait      time.Duration // how long unloading a module, or removing a probe, is tried again
}

// MaxTermGrace is how long processes outside of a child's group get between
// TERM and KILL: most have lost their leader already.
const MaxTermGrace = 1500 * time.Millisecond

// Run ends the processes with the tag of the run that works in work, in
// whatever group or session, and removes what the run left. It sends KILL at
// once when kill is closed. It must be called only when the run's own child has
// ended. It returns what it could not remove, by name.
func (c *Cleaner) Run(kill <-chan struct{}, module, work string) (residue []string) {
	seen, remaining := proc.Tagged(work).End(kill, c.TermGrace, c.KillGrace)
	residue = proc.Names(remaining)
	if len(seen) > 0 {
		residue = append(residue, c.RemoveProbes(ids(seen), c.Wait)...)
	}
	return append(residue, c.remove(module, work)...)
}

// remove removes the loaded module, the FIFO's directory and the work directory
// (with .ko, .bo and stap's temporary files). It must be called only while no
// process of the run is left. It returns what it could not remove, by name.
func (c *Cleaner) remove(module, work string) (residue []string) {
	if err := c.Unload(module); err != nil {
		residue = append(residue, fmt.Sprintf("module %s (%v)", module, err))
	}
	if err := c.removeFIFO(module); err != nil {
		residue = append(residue, fmt.Sprintf("FIFO folder %s (%v)", filepath.Join(c.FIFORoot, module), err))
	}
	if err := os.RemoveAll(work); err != nil {
		residue = append(residue, fmt.Sprintf("work folder %s (%v)", work, err))
	}
	return residue
}

// Unload unloads the module if it is loaded. staprun -d refuses while it is in
// use, so it is tried again for at most Wait.
func (c *Cleaner) Unload(module string) error {
	limit := time.Now().Add(c.Wait)
	for p := proc.NewPauses(50*time.Millisecond, 500*time.Millisecond); ; time.Sleep(p.Next()) {
		loaded, err := isLoaded(c.Modules, module)
		if err != nil || !loaded {
			return err
		}
		if c.Staprun == "" {
			return fmt.Errorf("find staprun: %w", toolchain.ErrNoStap)
		}
		ctx, cancel := context.WithTimeout(context.Background(), toolchain.Timeout)
		// the list of modules tells whether it worked
		out, err := toolchain.Output(ctx, c.Staprun, "-d", module)
		cancel()
		if err != nil && out == "" {
			out = err.Error() // not started, or hanging
		}
		if loaded, err := isLoaded(c.Modules, module); err == nil && !loaded {
			return nil
		}
		if time.Now().After(limit) {
			return fmt.Errorf("still loaded after staprun -d: %s", strings.Join(stapout.UsefulTail(out, 0), "; "))
		}
	}
}

// loadedModules returns the first column of the kernel's list. A kernel without
// modules has no list.
func loadedModules(list string) (names []string, err error) {
	text, err := os.ReadFile(list)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read list of modules: %w", err)
	}
	for line := range bytes.Lines(text) {
		name, _, _ := strings.Cut(string(line), " ")
		names = append(names, name)
	}
	return names, nil
}

func isLoaded(list, module string) (bool, error) {
	names, err := loadedModules(list)
	return slices.Contains(names, module), err
}

// removeFIFO removes the directory that stapbpf made for module. /var/tmp is
// writable by everyone, so only a real directory of this process's user in a
// real directory of this process's user is touched.
func (c *Cleaner) removeFIFO(module string) error {
	path := filepath.Join(c.FIFORoot, module)
	if !ownDirectory(c.FIFORoot) {
		return nil // another user's, so nothing of ours is in it
	}
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if !ownDirectory(path) {
		return errors.New("not a folder of this user")
	}
	return os.RemoveAll(path)
}

// ownDirectory reports whether path is a real directory, no symlink, of this
// process's user.
func ownDirectory(path string) bool {
	var st syscall.Stat_t
	err := syscall.Lstat(path, &st)
	return err == nil && st.Mode&syscall.S_IFMT == syscall.S_IFDIR && int(st.Uid) == os.Geteuid()
}
