package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	zaplogfmt "github.com/jsternberg/zap-logfmt"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"stap-exporter/httpfront"
	"stap-exporter/internal/procfs"
	"stap-exporter/internal/script"
	"stap-exporter/internal/stap"
	"stap-exporter/supervisor"
)

// Bounds of a shutdown.
const (
	drainAlone   = time.Second      // for requests in flight, before the scripts are ended
	drainTimeout = 5 * time.Second  // for all replies to be sent
	endTimeout   = 45 * time.Second // for all children: each has its own, shorter bounds
)

// serve runs the exporter until a signal or a failure ends it. Its error is the one line that says why it did not start, or what it left behind.
func serve(opts options, stderr io.Writer) error {
	log := newLogger(opts, stderr)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, endSignals()...)
	defer signal.Stop(signals)
	// A log that nobody reads any more is no reason to end. (Ignored, the signal would be ignored in the children, too.)
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)

	// Everything that can be wrong with the command line's names is found before anything runs.
	dir, err := scriptsDir(opts.scripts)
	if err != nil {
		return err
	}
	if err := makeCacheDir(opts.cacheDir); err != nil {
		return err
	}
	instance := script.NewInstance(os.Geteuid(), dir, opts.listen)
	lock, err := instance.Lock(opts.cacheDir)
	if err != nil {
		return err
	}
	defer lock.Release()
	found, err := script.Scan(dir, instance, script.ScanOptions{AllowInsecure: opts.allowInsecure})
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program's own file: %w", err)
	}
	host, err := stap.NewHost(stap.Config{
		Stap: opts.stap, Runtime: opts.runtime, Dir: filepath.Join(opts.cacheDir, instance.ID),
		Roots: procfs.DefaultRoots(), Launcher: []string{self, launchArg},
		StartTimeout: opts.startTimeout, Logger: log,
	})
	if errors.Is(err, stap.ErrNoStap) {
		return fmt.Errorf("%w: install it (Debian, Ubuntu: apt install systemtap gcc; Fedora: dnf install systemtap), or name it with --stap", err)
	}
	if err != nil {
		return err
	}
	defer host.Close()
	listeners, err := httpfront.Listen(opts.listen)
	if err != nil {
		return err
	}

	logScripts(log, dir, found)
	tree, err := supervisor.Start(supervisor.Config{
		Scripts: found.Scripts, Host: host,
		Keepalive: opts.keepalive, ReadTimeout: opts.readTimeout, Logger: log,
	})
	if err != nil {
		return err
	}
	front := httpfront.New(httpfront.Config{
		Scripts: tree, ReadTimeout: opts.readTimeout, StartTimeout: opts.startTimeout, Version: version, Logger: log,
	})
	ended := make(chan error, len(listeners))
	for _, l := range listeners {
		log.Info("listening", zap.Stringer("address", l.Addr()))
		go func() { ended <- front.Serve(l) }()
	}

	var failure error
	select {
	case s := <-signals:
		log.Info("stopping", zap.Stringer("signal", s))
	case failure = <-tree.Fatal():
		log.Error("stopping after a failure", zap.Error(failure))
	case err := <-ended:
		failure = fmt.Errorf("serve: %w", err)
		log.Error("stopping after a failure", zap.Error(failure))
	}
	return errors.Join(failure, shutdown(front, tree, signals, log))
}

// shutdown ends everything, in this order. A second signal KILLs the children at once.
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
	// 2. End the scripts: each actor answers who still waits, ends its child and reports when nothing is left of it. Then the actors end.
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

// endSignals are the signals that end the exporter. SIGHUP comes when its terminal goes; nohup keeps it away.
func endSignals() []os.Signal {
	list := []os.Signal{syscall.SIGTERM, syscall.SIGINT}
	if !signal.Ignored(syscall.SIGHUP) {
		list = append(list, syscall.SIGHUP)
	}
	return list
}

func newLogger(opts options, w io.Writer) *zap.Logger {
	cfg := zap.NewProductionEncoderConfig()
	cfg.TimeKey, cfg.EncodeTime = "ts", zapcore.RFC3339NanoTimeEncoder
	cfg.EncodeDuration = zapcore.StringDurationEncoder
	encoder := zaplogfmt.NewEncoder(cfg)
	if opts.logFormat == "json" {
		encoder = zapcore.NewJSONEncoder(cfg)
	}
	return zap.New(zapcore.NewCore(encoder, zapcore.Lock(zapcore.AddSync(w)), opts.logLevel))
}

// scriptsDir returns the real path of the scripts folder.
func scriptsDir(dir string) (string, error) {
	path, err := filepath.EvalSymlinks(dir)
	if err == nil {
		path, err = filepath.Abs(path)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("scripts folder %q does not exist: make it, or name another with --scripts", dir)
	}
	if err != nil {
		return "", fmt.Errorf("open scripts folder %q: %w: name another with --scripts", dir, err)
	}
	return path, nil
}

func makeCacheDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make cache folder: %w: name another with --cache.dir", err)
	}
	return nil
}

func logScripts(log *zap.Logger, dir string, found script.Catalogue) {
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
		log.Warn("no scripts: put files *.stp into the folder and start again", zap.String("folder", dir))
	}
	log.Info("serving scripts", zap.String("version", version), zap.String("folder", dir), zap.Int("scripts", len(found.Scripts)))
}
