package app

import (
	"errors"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"stap-exporter/httpfront"
	"stap-exporter/internal/scrape"
	"stap-exporter/internal/script"
	"stap-exporter/internal/watch"
	"stap-exporter/supervisor"
)

// hangUps tells of SIGHUP, which is a wish to reload, or comes because the
// terminal has gone: see terminal. A SIGHUP that nohup keeps away stays away.
func hangUps() (signals chan os.Signal, stop func()) {
	signals = make(chan os.Signal, 1) // of several in a row one is enough
	if !signal.Ignored(syscall.SIGHUP) {
		signal.Notify(signals, syscall.SIGHUP)
	}
	return signals, func() { signal.Stop(signals) }
}

// terminal is whether the exporter was started in one.
type terminal bool

// gone tells whether it has been closed since: the kernel takes it away before
// the SIGHUP.
func (t terminal) gone() bool { return bool(t) && !hasTerminal() }

func hasTerminal() bool {
	fd, err := unix.Open("/dev/tty", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return false
	}
	_ = unix.Close(fd)
	return true
}

// watchScripts lets the tree follow the folder. What keeps the folder from
// being read is logged once.
func watchScripts(folder string, tree *supervisor.Supervisor, log *zap.Logger) *watch.Watcher {
	trouble := ""
	return watch.New(watch.Config{
		Directory: folder,
		Logger:    log,
		Match:     func(name string) bool { return strings.HasSuffix(name, script.Ext) && !strings.HasPrefix(name, ".") },
		Changed: func() {
			err := tree.Reload()
			switch {
			case errors.Is(err, scrape.ErrShuttingDown):
			case err == nil && trouble != "":
				log.Info("scripts folder can be read again", zap.String("folder", folder))
				trouble = ""
			case err != nil && err.Error() != trouble:
				log.Warn("scripts stay as they are, their folder cannot be read", zap.Error(err))
				trouble = err.Error()
			}
		},
	})
}

// reload reads again what can change while the exporter runs.
func reload(front *httpfront.Server, tree *supervisor.Supervisor, systemd notifier, log *zap.Logger) {
	systemd.reloading()
	status := "reloaded"
	if err := errors.Join(tree.Reload(), front.ReloadWebConfig()); err != nil {
		log.Error("reload failed", zap.Error(err))
		status = "reload failed: " + err.Error()
	} else {
		log.Info("reloaded")
	}
	systemd.ready(status)
}
