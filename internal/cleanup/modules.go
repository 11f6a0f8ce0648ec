package cleanup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"stap-exporter/internal/proc"
	"stap-exporter/internal/stapout"
	"stap-exporter/internal/toolchain"
)

// Unload unloads the module if it is loaded. staprun -d fails while the module
// is in use, so Unload repeats it for at most c.Wait.
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
		out, err := toolchain.Output(ctx, c.Staprun, "-d", module)
		cancel()
		if err != nil && out == "" {
			out = err.Error() // not started, or timed out
		}
		// The list of modules shows the result more reliably than an exit code.
		if loaded, err := isLoaded(c.Modules, module); err == nil && !loaded {
			return nil
		}
		if time.Now().After(limit) {
			return fmt.Errorf("still loaded after staprun -d: %s", strings.Join(stapout.UsefulTail(out, 0), "; "))
		}
	}
}

func isLoaded(list, module string) (bool, error) {
	names, err := loadedModules(list)
	return slices.Contains(names, module), err
}

// loadedModules returns the first column of the kernel's list of modules, nil
// when there is no list: the kernel has no support for modules then.
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
