package app

import (
	"context"
	"errors"
	"io"
	"os"
	"runtime/debug"

	"go.uber.org/zap"
)

// Serve is the subcommand serve: it runs the exporter until a signal or a
// failure ends it. Its error is the one line that says why the exporter did not
// start, why it failed, or which residue it left.
func Serve(opts Options, stderr io.Writer) error {
	// Go's default keeps as much garbage as there is live heap, which is much
	// with many connections. GOGC in the environment wins.
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(50)
	}
	out := newLogWriter(stderr)
	defer out.Close()
	log := NewLogger(opts, out)
	received := newSignals()
	defer received.close()

	a, err := New(opts, log)
	if err != nil {
		return err
	}
	running, stop := context.WithCancel(context.Background())
	defer stop()
	stopping, kill := context.WithCancel(context.Background())
	defer kill()
	done := make(chan struct{})
	defer close(done)
	go received.handle(handlers{
		stop:     stop,
		kill:     kill,
		reload:   func() { _ = a.Reload() }, // it logs its error
		stopping: func() bool { return running.Err() != nil },
		log:      log,
	}, done)

	failure := a.Run(running)
	if failure != nil {
		log.Error("stopping after a failure", zap.Error(failure))
	}
	stop() // from now on a signal kills
	return errors.Join(failure, a.Shutdown(stopping))
}
