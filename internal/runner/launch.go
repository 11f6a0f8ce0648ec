package runner

import (
	"os"

	"stap-exporter/internal/cleanup"
	"stap-exporter/internal/toolchain"
)

// Launch becomes a command of a run, see toolchain.Launch, after it has removed
// the probes of a killed stapbpf that had the process id of this one: they
// would
// fail its start, or count with its own. (Process ids wrap, and begin anew in
// each container.) It is called by this program when re-executed as
// Config.Launcher says, in the place of main. It returns only when it fails.
func Launch(args []string) error {
	if toolchain.LaunchesStapbpf(args) {
		(&cleanup.Cleaner{Tracing: toolchain.TracingDir}).RemoveProbes([]int{os.Getpid()}, 0)
	}
	return toolchain.Launch(args)
}
