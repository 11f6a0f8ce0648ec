package app

import (
	"os"
	"os/signal"
	"syscall"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"
)

// signals are those that this process receives.
type signals struct {
	terminate chan os.Signal // SIGTERM and SIGINT
	hangUp    chan os.Signal // SIGHUP: a reload, or the terminal was closed
	terminal  bool           // the exporter was started in one
}

// newSignals begins to receive. A SIGHUP that is ignored, as under nohup, stays
// ignored.
func newSignals() signals {
	s := signals{
		terminate: make(chan os.Signal, 2),
		hangUp:    make(chan os.Signal, 1), // of several in a row one is enough
		terminal:  hasTerminal(),
	}
	signal.Notify(s.terminate, syscall.SIGTERM, syscall.SIGINT)
	if !signal.Ignored(syscall.SIGHUP) {
		signal.Notify(s.hangUp, syscall.SIGHUP)
	}
	// A log that nobody reads any more must not end the exporter. Children
	// would inherit an ignored SIGPIPE, so it is received.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	return s
}

func (s signals) close() {
	signal.Stop(s.terminate)
	signal.Stop(s.hangUp)
}

// handlers are what the signals do.
type handlers struct {
	stop, kill, reload func()
	stopping           func() bool // stop was called, or the exporter failed
	log                *zap.Logger
}

// handle calls the handlers until done is closed. A SIGTERM or SIGINT stops the
// exporter; another one, or one after a failure, kills the scripts' processes.
func (s signals) handle(h handlers, done <-chan struct{}) {
	for {
		select {
		case <-done:
			return
		case received := <-s.terminate:
			if h.stopping() {
				h.log.Warn("killing child processes", zap.Stringer("signal", received))
				h.kill()
				return
			}
			h.log.Info("stopping", zap.Stringer("signal", received))
			h.stop()
		case received := <-s.hangUp:
			switch {
			case h.stopping():
			case s.terminal && !hasTerminal():
				h.log.Info("stopping, the terminal was closed", zap.Stringer("signal", received))
				h.stop()
			default:
				h.reload()
			}
		}
	}
}

// hasTerminal reports whether this process has a controlling terminal. The
// kernel takes a closed one away before it sends the SIGHUP.
func hasTerminal() bool {
	fd, err := unix.Open("/dev/tty", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return false
	}
	_ = unix.Close(fd)
	return true
}
