package main

import (
	"os"
	"os/signal"
	"syscall"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"stap-exporter/httpfront"
)

// hangUps tells of SIGHUP, which is a wish to reload, or comes because the terminal has gone: see terminal. A SIGHUP that nohup keeps away stays away.
func hangUps() (signals chan os.Signal, stop func()) {
	signals = make(chan os.Signal, 1) // of several in a row one is enough
	if !signal.Ignored(syscall.SIGHUP) {
		signal.Notify(signals, syscall.SIGHUP)
	}
	return signals, func() { signal.Stop(signals) }
}

// terminal is whether the exporter was started in one.
type terminal bool

// gone tells whether it has been closed since: the kernel takes it away before the SIGHUP.
func (t terminal) gone() bool { return bool(t) && !hasTerminal() }

func hasTerminal() bool {
	fd, err := unix.Open("/dev/tty", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return false
	}
	_ = unix.Close(fd)
	return true
}

// reload reads again what can change while the exporter runs.
func reload(front *httpfront.Server, systemd notifier, log *zap.Logger) {
	systemd.reloading()
	status := "reloaded"
	if err := front.ReloadWebConfig(); err != nil {
		log.Error("reload failed", zap.Error(err))
		status = "reload failed: " + err.Error()
	} else {
		log.Info("reloaded")
	}
	systemd.ready(status)
}
