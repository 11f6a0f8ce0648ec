package runner

import (
	"os"

	"stap-exporter/internal/cleanup"
	"stap-exporter/internal/toolchain"
)

// Launch becomes a command of a run, see toolchain.Launch. Before, it removes
// the probes of a killed stapbpf that had this process id: they would fail the
// start of the next, or count with its own. (Process ids wrap, and begin at 1
// in each container.) This program calls it instead of main when it was
// re-executed as Config.Launcher says. It returns only when it fails.
func Launch(args []string) error {
	if toolchain.LaunchesStapbpf(args) {
		(&cleanup.Cleaner{Tracing: toolchain.TracingDir}).RemoveProbes([]int{os.Getpid()}, 0)
	}
	return toolchain.Launch(args)
}
