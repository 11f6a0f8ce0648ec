package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	zaplogfmt "github.com/jsternberg/zap-logfmt"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"stap-exporter/httpfront"
	"stap-exporter/httpfront/webconfig"
	"stap-exporter/internal/instance"
	"stap-exporter/internal/procfile"
	"stap-exporter/internal/script"
	"stap-exporter/internal/stap"
	"stap-exporter/internal/telemetry"
	"stap-exporter/internal/trust"
	"stap-exporter/supervisor"
)

// Bounds of a shutdown.
const (
	drainAlone   = time.Second      // for requests in flight, before the scripts are ended
	drainTimeout = 5 * time.Second  // for all replies to be sent
	endTimeout   = 45 * time.Second // for all children: each has its own, shorter bounds
)

// Serve runs the exporter until a signal or a failure ends it. Its error is the
// one line that says why it did not start, or what it left behind.
func Serve(opts Options, stderr io.Writer) error {
	// Go's default keeps as much garbage as there is live heap, which with many
	// connections is much. GOGC in the environment wins.
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(50)
	}
	out := newLogWriter(stderr)
	defer out.Close()
	log := NewLogger(opts, out)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	defer signal.Stop(signals)
	reloads, stopReloads := hangUps()
	defer stopReloads()
	tty := terminal(hasTerminal())
	// A log that nobody reads any more is no reason to end. (Ignored, the
	// signal would be ignored in the children, too.)
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)

	// Everything that can be wrong with the command line's names is found
	// before anything runs.
	dir, err := scriptsDir(opts.scripts)
	if err != nil {
		return err
	}
	cacheDir, err := makeCacheDir(opts.cacheDir)
	if err != nil {
		return err
	}
	var web *webconfig.Config
	if opts.webConfig != "" {
		if web, err = webconfig.Load(opts.webConfig, log); err != nil {
			return misconfigured(err)
		}
	}
	systemd := newNotifier(log)
	var listeners []net.Listener
	if opts.systemdSocket {
		if listeners, err = systemdListeners(); err != nil {
			return misconfigured(err)
		}
		opts.listen = addresses(listeners)
	}
	instance := instance.New(os.Geteuid(), dir, opts.listen)
	lock, err := instance.Lock(lockDir(cacheDir))
	if err != nil {
		return err
	}
	defer lock.Release()
	// The folder as it was named: a symlink in its place may lead elsewhere
	// later.
	folder, err := filepath.Abs(opts.scripts)
	if err != nil {
		return fmt.Errorf("find scripts folder %q: %w", opts.scripts, err)
	}
	scan := func() (script.Catalogue, error) {
		return script.Scan(folder, instance, script.ScanOptions{AllowInsecure: opts.allowInsecure})
	}
	found, err := scan()
	if err != nil {
		return misconfigured(err)
	}
	// Before NewHost, which removes what a dead exporter of this identity left:
	// whoever listens is alive.
	if !opts.systemdSocket {
		if listeners, err = httpfront.Listen(opts.listen); errors.Is(err, syscall.EACCES) {
			return misconfigured(err)
		} else if err != nil {
			return err // the port may come free, the address or its name may come
		}
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program's own file: %w", err)
	}
	host, err := stap.NewHost(stap.Config{
		Stap:     opts.stap,
		Runtime:  opts.runtime,
		Dir:      filepath.Join(cacheDir, instance.ID),
		Roots:    procfile.DefaultRoots(),
		Launcher: []string{self, LaunchArg},
		Guardian: []string{
			self,
			GuardArg,
			"--log.format=" + opts.logFormat,
			"--log.level=" + opts.logLevel.String(),
		},
		ModulePrefix:  "stap_exporter_" + instance.ID + "_",
		Subreaper:     true,
		CacheDir:      cacheDir,
		AllowInsecure: opts.allowInsecure,
		StapRuntime:   opts.stapRuntime,
		Precompile:    opts.precompile,
		MaxParallel:   opts.maxParallel,
		StartTimeout:  opts.startTimeout,
		Logger:        log,
	})
	if err != nil {
		return explainNoStap(opts, err)
	}
	defer host.Close()

	logScripts(log, opts.version, dir, found)
	maxConnections := httpfront.DefaultMaxConnections()
	tree, err := supervisor.Start(supervisor.Config{
		MaxWaiting:  maxConnections / 4 * 3, // one script leaves room for the others
		Scripts:     found.Scripts,
		Refused:     found.Refused,
		Scan:        scan,
		Host:        host,
		Keepalive:   opts.keepalive,
		ReadTimeout: opts.readTimeout,
		Logger:      log,
		Version:     opts.version,
	})
	if err != nil {
		return err
	}
	host.Precompile(found.Scripts)
	watcher := watchScripts(folder, tree, log)
	defer watcher.Close()
	own := prometheus.NewRegistry()
	front := httpfront.New(httpfront.Config{
		MaxConnections: maxConnections,
		Scripts:        tree,
		ReadTimeout:    opts.readTimeout,
		StartTimeout:   opts.startTimeout,
		Version:        opts.version,
		Logger:         log,
		Web:            web,
		Runtime:        func() string { return host.Runtime().String() },
		ExternalURL:    opts.externalURL,
		Telemetry:      promhttp.HandlerFor(prometheus.Gatherers{tree.Gatherer(), own}, promhttp.HandlerOpts{}),
		TelemetryPath:  opts.telemetryPath,
		OSPIDs: func() func(int) []int {
			usage := stap.GroupUsage()
			return func(leader int) []int { return usage[leader].OSPIDs }
		},
		Events:          func() any { return tree.Events() },
		Lifecycle:       tree,
		EnableLifecycle: opts.lifecycle,
	})
	own.MustRegister(telemetry.NewHTTPCollector(func() telemetry.HTTP { return telemetry.HTTP(front.Stats()) }))
	ended := make(chan error, len(listeners))
	for _, l := range listeners {
		log.Info("listening", zap.Stringer("address", l.Addr()), zap.Bool("tls", front.TLS()))
		go func() { ended <- front.Serve(l) }()
	}

	systemd.ready(fmt.Sprintf("serving %d scripts", len(found.Scripts)))

	var failure error
	for running := true; running; {
		running = false
		select {
		case s := <-signals:
			log.Info("stopping", zap.Stringer("signal", s))
		case s := <-reloads:
			if tty.gone() {
				log.Info("stopping, the terminal has gone", zap.Stringer("signal", s))
				break
			}
			reload(front, tree, systemd, log)
			running = true
		case failure = <-tree.Fatal():
			log.Error("stopping after a failure", zap.Error(failure))
		case err := <-ended:
			failure = fmt.Errorf("serve: %w", err)
			log.Error("stopping after a failure", zap.Error(failure))
		}
	}
	systemd.stopping()
	return errors.Join(failure, shutdown(front, tree, signals, log))
}

// shutdown ends everything, in this order. A second signal KILLs the children
// at once.
func shutdown(front *httpfront.Server, tree *supervisor.Supervisor, signals <-chan os.Signal, log *zap.Logger) error {
	done := make(chan struct{})
	defer close(done)
	drain, cut := context.WithTimeout(context.Background(), drainTimeout)
	defer cut()
	go func() {
		select {
		case s := <-signals:
			log.Warn("killing the children", zap.Stringer("signal", s))
			cut()
			tree.Kill()
		case <-done:
		}
	}()

	// 1. Stop accepting, and let requests in flight end: most do so in no time.
	drained := make(chan error, 1)
	go func() { drained <- front.Shutdown(drain) }()
	select {
	case err := <-drained:
		drained <- err
	case <-time.After(drainAlone):
	case <-drain.Done():
	}
	// 2. End the scripts: each actor answers who still waits, ends its child
	//    and reports when nothing is left of it. Then the actors end.
	end, cancel := context.WithTimeout(context.Background(), endTimeout)
	defer cancel()
	left := tree.Shutdown(end)
	if err := <-drained; err != nil {
		log.Warn("requests were cut off", zap.Error(err))
	}
	// 3. Say what is left, if anything.
	if len(left) > 0 {
		return fmt.Errorf("left behind: %s", strings.Join(left, "; "))
	}
	log.Info("stopped")
	return nil
}

func NewLogger(opts Options, w io.Writer) *zap.Logger {
	cfg := zap.NewProductionEncoderConfig()
	cfg.TimeKey, cfg.EncodeTime = "ts", zapcore.RFC3339NanoTimeEncoder
	cfg.EncodeDuration = zapcore.StringDurationEncoder
	encoder := zaplogfmt.NewEncoder(cfg)
	if opts.logFormat == "json" {
		encoder = zapcore.NewJSONEncoder(cfg)
	}
	return zap.New(zapcore.NewCore(encoder, zapcore.Lock(zapcore.AddSync(w)), opts.logLevel))
}

// scriptsDir returns the real path of the scripts folder. Its errors are the
// configuration's, unless their cause may pass.
func scriptsDir(dir string) (string, error) {
	path, err := filepath.EvalSymlinks(dir)
	if err == nil {
		path, err = filepath.Abs(path)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return "", ConfigError{
			fmt.Errorf("scripts folder %q does not exist: make it, or name another with --scripts", dir),
		}
	}
	if err != nil {
		return "", misconfigured(fmt.Errorf("open scripts folder %q: %w: name another with --scripts", dir, err))
	}
	return path, nil
}

// stapPath is what stap's own tools take for the path of their temporary files
// (seen with 4.8: "Safety pattern mismatch for TMPDIR").
var stapPath = regexp.MustCompile(`^[-/._0-9A-Za-z]+$`)

// lockDir is where exporters of one user find each other's locks, whatever
// their cache folders are: they would share the names of their modules.
func lockDir(cacheDir string) string {
	var places []string
	if os.Geteuid() == 0 {
		places = append(places, "/run/stap-exporter")
	} else {
		if own := os.Getenv("XDG_RUNTIME_DIR"); own != "" {
			places = append(places, filepath.Join(own, "stap-exporter"))
		}
		if own, err := os.UserCacheDir(); err == nil {
			places = append(places, filepath.Join(own, "stap-exporter"))
		}
	}
	for _, dir := range places {
		if os.MkdirAll(dir, 0o700) == nil && trust.Check(dir, trust.Self()) == nil {
			return dir
		}
	}
	return cacheDir
}

// makeCacheDir makes the exporter's own folder and returns its real path. Its
// errors are the configuration's, unless their cause may pass.
func makeCacheDir(dir string) (string, error) {
	err := os.MkdirAll(dir, 0o700)
	if err == nil {
		dir, err = filepath.Abs(dir)
	}
	if err == nil {
		dir, err = filepath.EvalSymlinks(dir)
	}
	if err != nil {
		return "", misconfigured(fmt.Errorf("make cache folder: %w: name another with --cache.dir", err))
	}
	if !stapPath.MatchString(dir) {
		return "", ConfigError{
			fmt.Errorf(
				"cache folder %q: SystemTap takes only letters, digits and -/._ in the path of its work folder: name another with --cache.dir",
				dir,
			),
		}
	}
	if err := trust.Check(dir, trust.Self()); err != nil {
		return "", misconfigured(fmt.Errorf("cache folder: %w, or name another with --cache.dir", err))
	}
	return dir, nil
}

func logScripts(log *zap.Logger, version, dir string, found script.Catalogue) {
	for _, r := range found.Refused {
		log.Warn("script refused", zap.String("script", r.Name), zap.Error(r.Err))
	}
	insecure := map[string]bool{}
	for _, each := range found.Scripts {
		if each.Refused != nil {
			log.Warn("script refused", zap.String("script", each.Name), zap.Error(each.Refused))
		}
		if each.Insecure != nil && !insecure[each.Insecure.Error()] {
			insecure[each.Insecure.Error()] = true // often the folder's, and so the same for all
			log.Warn("script allowed though not safe", zap.String("script", each.Name), zap.Error(each.Insecure))
		}
	}
	if len(found.Scripts) == 0 {
		log.Warn("no scripts yet: put files *.stp into the folder", zap.String("folder", dir))
	}
	log.Info(
		"serving scripts",
		zap.String("version", version),
		zap.String("folder", dir),
		zap.Int("scripts", len(found.Scripts)),
	)
}

// explainNoStap adds what to do when SystemTap is not there. That --stap names
// no program is the configuration's fault; that SystemTap is not installed, or
// only in part, is not.
func explainNoStap(opts Options, err error) error {
	if errors.Is(err, stap.ErrNoStap) {
		err = fmt.Errorf(
			"%w: install it (Debian, Ubuntu: apt install systemtap gcc; Fedora: dnf install systemtap), or name it with --stap",
			err,
		)
	}
	if opts.stap != defaultStap {
		if _, wrong := exec.LookPath(opts.stap); wrong != nil {
			return misconfigured(err)
		}
	}
	return err
}
