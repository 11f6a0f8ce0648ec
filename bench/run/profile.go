package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// profileTime is how long the profiled server is saturated.
const profileTime = 5 * time.Second

// profiled keeps the profiles of a saturated product as texts.
func (b *bench) profileServers(ctx context.Context) error {
	for _, form := range []struct {
		name    string
		headers []string
	}{{"plain", nil}, {"gzip", []string{gzipHeader}}} {
		base := filepath.Join(b.scratch, form.name)
		c, err := b.startServe(
			ctx,
			"product",
			"product",
			"-cpuprofile",
			base+".cpu",
			"-mutexprofile",
			base+".mutex",
			"-memprofile",
			base+".allocs",
		)
		if err != nil {
			return err
		}
		s, err := b.wrk(ctx, c, path, connections, profileTime, form.headers...)
		c.stop() // writes the profiles
		if err != nil {
			return err
		}
		var text []byte
		for _, what := range []string{"cpu", "mutex", "allocs"} {
			out, err := exec.CommandContext(ctx, "go", "tool", "pprof", "-top", "-nodecount=45", b.serve, base+"."+what).
				CombinedOutput()
			if err != nil {
				return fmt.Errorf("read %s profile: %w: %s", what, err, out)
			}
			text = append(
				fmt.Appendf(
					text,
					"== %s: %d connections, 3 KB, %s, %.0f requests/s with the profiler on\n",
					what,
					connections,
					form.name,
					s.Rate,
				),
				append(out, '\n')...)
		}
		if err := os.WriteFile(filepath.Join(b.out, "profile-"+form.name+".txt"), text, 0o644); err != nil {
			return err
		}
	}
	return nil
}
