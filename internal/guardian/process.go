package guardian

import (
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"stap-exporter/internal/cleanup"
)

const (
	lockFD  = 3           // where a guardian has the lock of its exporter's directory
	logWait = time.Second // how long writing the last log line may take
)

// Run is the guardian process. It waits for the end of the exporter that
// started it, which ends the pipe that is its standard input, and then removes
// everything that the exporter left, see cleanup.Cleaner.All. This program
// calls it instead of main when it was re-executed by Start. log gets a line at
// the end, and only when there was something to do. An error names the residue.
//
// The process has a session of its own and ignores the signals that end whole
// groups of processes, so that what ends the exporter does not end it. Only
// KILL does, and then the exporter starts another. Where the kernel ends
// everything at once (process 1 of a container dies, a cgroup is killed) the
// start of the next exporter cleans up.
func Run(log *zap.Logger) error {
	err := run(log)
	if err != nil {
		write(func() { log.Error("guardian failed", zap.Error(err)) })
	}
	return err
}

// write calls log, which may block for ever: its reader may have ended.
func write(log func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		log()
	}()
	select {
	case <-done:
	case <-time.After(logWait):
	}
}

func run(log *zap.Logger) error {
	signal.Ignore(
		syscall.SIGTERM,
		syscall.SIGINT,
		syscall.SIGHUP,
		syscall.SIGPIPE,
		syscall.SIGQUIT,
		syscall.SIGUSR1,
		syscall.SIGUSR2,
	)
	unix.CloseOnExec(lockFD) // its own short-lived children must not hold it
	// With another name than the exporter's it survives "killall -9
	// stap-exporter". Nothing depends on it.
	_ = os.WriteFile("/proc/self/comm", []byte("guardian"), 0)
	// The id is for people. What counts is that the descriptor stays open, so
	// it is no os.File, which the garbage collector would close.
	if _, err := unix.Pwrite(lockFD, fmt.Appendf(nil, "%-10d\n", os.Getpid()), 0); err != nil {
		return fmt.Errorf("write guardian's lock: %w", err)
	}
	var cleaner cleanup.Cleaner
	if err := gob.NewDecoder(os.Stdin).Decode(&cleaner); err != nil {
		return fmt.Errorf("read settings of the cleanup: %w", err)
	}
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		return fmt.Errorf("wait for the exporter's end: %w", err)
	}
	begun := time.Now()
	found := cleaner.All()
	if found.Nothing() {
		return nil
	}
	write(func() {
		log.Warn(
			"exporter was killed, guardian stopped its scripts",
			zap.Strings("modules", found.Modules),
			zap.Strings("processes", found.Processes),
			zap.Duration("duration", time.Since(begun)),
		)
	})
	if len(found.Residue) > 0 {
		return errors.New("clean up after the exporter: left behind: " + strings.Join(found.Residue, "; "))
	}
	return nil
}
