// Package app connects the parts of the exporter: flags, configuration,
// listeners, the host that runs SystemTap, the supervisor, the HTTP server,
// reload and systemd. It holds the subcommands serve, check and doctor.
package app

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"syscall"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.uber.org/zap"

	"stap-exporter/httpfront"
	"stap-exporter/httpfront/listen"
	"stap-exporter/httpfront/webconfig"
	"stap-exporter/internal/instance"
	"stap-exporter/internal/proc"
	"stap-exporter/internal/procfile"
	"stap-exporter/internal/runner"
	"stap-exporter/internal/script"
	"stap-exporter/internal/telemetry"
	"stap-exporter/internal/watch"
	"stap-exporter/supervisor"
)

// First arguments with which the exporter executes itself. Users do not call
// them.
const (
	// LaunchArg is for the launcher of a child process: it sets up the child,
	// and executes the command that follows.
	LaunchArg = "__launch"
	// GuardArg is for the guardian, which cleans up after an exporter that was
	// killed. Flags of the log follow.
	GuardArg = "__guard"
)

// App is an exporter: New, then Run, then Shutdown.
type App struct {
	opts Options
	log  *zap.Logger

	dirs       directories
	web        *webconfig.Config // nil: none
	systemd    notifier
	instance   instance.Instance
	listeners  []net.Listener
	scripts    int // found by New
	host       *runner.Host
	supervisor *supervisor.Supervisor
	server     *httpfront.Server

	closers []func() // in the order of opening
}

// New checks the options, takes the instance's lock, listens, and starts the
// supervisor, which starts the autostart scripts. Requests are answered once
// Run is called. On an error nothing stays open; the error is a ConfigError
// unless its cause is transient.
func New(opts Options, log *zap.Logger) (*App, error) {
	a := &App{opts: opts, log: log}
	if err := a.open(); err != nil {
		a.close()
		return nil, err
	}
	return a, nil
}

// Addresses returns the addresses that the exporter listens on.
func (a *App) Addresses() []net.Addr {
	var all []net.Addr
	for _, l := range a.listeners {
		all = append(all, l.Addr())
	}
	return all
}

func (a *App) open() (err error) {
	// All that can be wrong with the configuration is found before anything
	// runs.
	if a.dirs, err = findDirectories(a.opts); err != nil {
		return err
	}
	if a.opts.webConfig != "" {
		if a.web, err = webconfig.Load(a.opts.webConfig, a.log); err != nil {
			return misconfigured(err)
		}
	}
	a.systemd = newNotifier(a.log)
	if a.opts.systemdSocket {
		if a.listeners, err = systemdListeners(); err != nil {
			return misconfigured(err)
		}
		a.closers = append(a.closers, a.closeListeners)
		a.opts.listen = addresses(a.listeners)
	}
	if err := a.lock(); err != nil {
		return err
	}
	found, err := a.scan()
	if err != nil {
		return misconfigured(err)
	}
	// Before startHost, which removes the residue of an earlier exporter of
	// this instance: an exporter that listens is alive.
	if !a.opts.systemdSocket {
		if err := a.listen(); err != nil {
			return err
		}
	}
	if err := a.startHost(); err != nil {
		return err
	}
	a.scripts = len(found.Scripts)
	logScripts(a.log, a.opts.version, a.dirs.scripts, found)
	return a.startSupervisor(found)
}

func (a *App) lock() error {
	a.instance = instance.New(os.Geteuid(), a.dirs.scripts, a.opts.listen)
	lock, err := a.instance.Lock(lockDir(a.dirs.cache))
	if err != nil {
		return err
	}
	a.closers = append(a.closers, lock.Release)
	return nil
}

func (a *App) scan() (script.Catalogue, error) {
	return script.Scan(a.dirs.named, a.instance, script.ScanOptions{AllowInsecure: a.opts.allowInsecure})
}

func (a *App) listen() (err error) {
	a.listeners, err = listen.Listen(a.opts.listen)
	switch {
	case errors.Is(err, syscall.EACCES):
		return misconfigured(err)
	case err != nil:
		return err // a port may become free, an address or a name may appear
	}
	a.closers = append(a.closers, a.closeListeners)
	return nil
}

func (a *App) closeListeners() {
	for _, l := range a.listeners {
		_ = l.Close() // the HTTP server may have closed it
	}
}

func (a *App) startHost() error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this executable: %w", err)
	}
	a.host, err = runner.NewHost(runner.Config{
		Stap:     a.opts.stap,
		Runtime:  a.opts.runtime,
		Dir:      filepath.Join(a.dirs.cache, a.instance.ID),
		Roots:    procfile.DefaultRoots(),
		Launcher: []string{self, LaunchArg},
		Guardian: []string{
			self,
			GuardArg,
			"--log.format=" + a.opts.logFormat,
			"--log.level=" + a.opts.logLevel.String(),
		},
		ModulePrefix:  "stap_exporter_" + a.instance.ID + "_",
		Subreaper:     a.opts.subreaper,
		CacheDir:      a.dirs.cache,
		AllowInsecure: a.opts.allowInsecure,
		StapRuntime:   a.opts.stapRuntimeDir,
		Precompile:    a.opts.precompile,
		MaxParallel:   a.opts.maxParallel,
		StartTimeout:  a.opts.startTimeout,
		Logger:        a.log,
	})
	if err != nil {
		return explainNoStap(a.opts, err)
	}
	a.closers = append(a.closers, a.host.Close)
	return nil
}

func (a *App) startSupervisor(found script.Catalogue) (err error) {
	maxConnections := httpfront.DefaultMaxConnections()
	a.supervisor, err = supervisor.Start(supervisor.Config{
		MaxWaiting:  maxConnections / 4 * 3, // so that one script cannot take all connections
		Scripts:     found.Scripts,
		Refused:     found.Refused,
		Scan:        a.scan,
		Host:        a.host,
		Keepalive:   a.opts.keepalive,
		ReadTimeout: a.opts.readTimeout,
		Logger:      a.log,
		Version:     a.opts.version,
	})
	if err != nil {
		return err
	}
	a.host.Precompile(found.Scripts)
	watcher := watch.New(watch.Config{
		Directory: a.dirs.named,
		Match:     isScriptName,
		Changed:   a.followDirectory(),
		Logger:    a.log,
	})
	a.closers = append(a.closers, watcher.Close)
	a.server = a.newServer(maxConnections)
	return nil
}

func (a *App) newServer(maxConnections int) *httpfront.Server {
	registry := prometheus.NewRegistry()
	server := httpfront.New(httpfront.Config{
		MaxConnections: maxConnections,
		MaxRequests:    a.opts.maxRequests,
		Scripts:        a.supervisor,
		ReadTimeout:    a.opts.readTimeout,
		StartTimeout:   a.opts.startTimeout,
		Version:        a.opts.version,
		Logger:         a.log,
		Web:            a.web,
		Runtime:        func() string { return a.host.Runtime().String() },
		ExternalURL:    a.opts.externalURL,
		Telemetry: promhttp.HandlerFor(
			prometheus.Gatherers{a.supervisor.Gatherer(), registry},
			promhttp.HandlerOpts{},
		),
		TelemetryPath: a.opts.telemetryPath,
		OSPIDs: func() func(int) []int {
			usage := proc.GroupUsage()
			return func(leader int) []int { return usage[leader].OSPIDs }
		},
		Events:          func() any { return a.supervisor.Events() },
		Lifecycle:       a.supervisor,
		EnableLifecycle: a.opts.lifecycle,
	})
	registry.MustRegister(telemetry.NewHTTPCollector(func() telemetry.HTTP { return telemetry.HTTP(server.Stats()) }))
	return server
}

// close closes what New opened, the last first. The supervisor has been shut
// down, or was never started.
func (a *App) close() {
	for len(a.closers) > 0 {
		last := len(a.closers) - 1
		a.closers[last]()
		a.closers = a.closers[:last]
	}
}
