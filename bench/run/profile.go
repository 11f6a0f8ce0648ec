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

// profileServers writes the profiles of a saturated product as texts.
func (b *bench) profileServers(ctx context.Context) error {
	for _, f := range forms {
		base := filepath.Join(b.scratch, f.name)
		c, err := b.startServe(
			ctx, "product", "product",
			"-cpuprofile", base+".cpu", "-mutexprofile", base+".mutex", "-memprofile", base+".allocs",
		)
		if err != nil {
			return err
		}
		r, err := b.wrk(ctx, c, path, connections, profileTime, f.headers...)
		c.stop() // writes the profiles
		if err != nil {
			return err
		}
		var text []byte
		for _, kind := range []string{"cpu", "mutex", "allocs"} {
			pprof := exec.CommandContext(ctx, "go", "tool", "pprof", "-top", "-nodecount=45", b.serve, base+"."+kind)
			out, err := pprof.CombinedOutput()
			if err != nil {
				return fmt.Errorf("read %s profile: %w: %s", kind, err, out)
			}
			text = fmt.Appendf(text, "== %s: %d connections, 3 KB, %s, %.0f requests/s with the profiler on\n%s\n",
				kind, connections, f.name, r.Rate, out)
		}
		if err := os.WriteFile(filepath.Join(b.out, "profile-"+f.name+".txt"), text, 0o644); err != nil {
			return err
		}
	}
	return nil
}
