package app

import (
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"go.uber.org/zap"

	"stap-exporter/internal/instance"
	"stap-exporter/internal/procfile"
	"stap-exporter/internal/runner"
)

// commandHost is the host of a subcommand that may run beside an exporter of
// the same instance. It works in a directory of its own.
type commandHost struct {
	*runner.Host
	instance instance.Instance
	remove   func()
}

func newCommandHost(opts Options) (*commandHost, error) {
	cfg, instance, err := commandConfig(opts)
	if err != nil {
		return nil, err
	}
	remove := removeAtEnd(cfg.Dir)
	host, err := runner.NewHost(cfg)
	if err != nil {
		remove()
		return nil, explainNoStap(opts, err)
	}
	return &commandHost{host, instance, remove}, nil
}

func (h *commandHost) close() {
	h.Close()
	h.remove()
}

// commandConfig returns the configuration of a command's host, whose work
// directory it creates.
func commandConfig(opts Options) (runner.Config, instance.Instance, error) {
	cacheDir, err := makeCacheDir(opts.cacheDir)
	if err != nil {
		return runner.Config{}, instance.Instance{}, err
	}
	self, err := os.Executable()
	if err != nil {
		return runner.Config{}, instance.Instance{}, fmt.Errorf("find this executable: %w", err)
	}
	scripts, err := scriptDir(opts.scripts)
	if err != nil {
		scripts = opts.scripts // where it matters the command reports the error
	}
	dir, err := os.MkdirTemp(cacheDir, "command-")
	if err != nil {
		return runner.Config{}, instance.Instance{}, fmt.Errorf(
			"create work directory: %w: name another place with --cache.dir",
			err,
		)
	}
	return runner.Config{
		Stap:          opts.stap,
		Runtime:       opts.runtime,
		StapRuntime:   opts.stapRuntimeDir,
		Dir:           dir,
		Roots:         procfile.DefaultRoots(),
		Launcher:      []string{self, LaunchArg},
		Guardian:      []string{self, GuardArg, "--log.level=error"},
		AllowInsecure: opts.allowInsecure,
		StartTimeout:  opts.startTimeout,
		ModulePrefix:  fmt.Sprintf("stap_exporter_%d_", os.Getpid()),
		Logger:        zap.NewNop(),
	}, instance.New(os.Geteuid(), scripts, opts.listen), nil
}

// removeAtEnd returns the function that removes a command's work directory. A
// signal removes it, too, and ends the command; the guardian then ends the
// processes that it had started.
func removeAtEnd(dir string) func() {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	go func() {
		<-signals
		os.RemoveAll(dir)
		os.Exit(1)
	}()
	return func() { os.RemoveAll(dir) }
}
