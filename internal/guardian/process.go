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

// Run is the guardian: a small process that outlives its exporter by as long
// as it takes to clean up. It waits for the end of the exporter that started
// it, which shows in the end of the pipe that is its standard input, and then
// ends and removes everything that the exporter left, see Cleaner.All. It is
// called by this program when re-executed as Config.Guardian says, in the place
// of main. log gets a line at the end, and only when there was something to do.
// An error names what is left.
//
// It has a session of its own and ignores the signals that end whole groups of
// processes, so that what ends the exporter does not end it: only KILL does,
// and then the exporter starts another. Where the kernel ends everything at
// once (process 1 of a container dies, a cgroup is killed) the next exporter's
// start does its work.
func Run(log *zap.Logger) error {
	err := watchOver(log)
	if err != nil {
		say(func() { log.Error("guardian failed", zap.Error(err)) })
	}
	return err
}

// say writes to the log, which nobody may be reading any more.
func say(write func()) {
	said := make(chan struct{})
	go func() {
		defer close(said)
		write()
	}()
	select {
	case <-said:
	case <-time.After(logWait):
	}
}

func watchOver(log *zap.Logger) error {
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
	// Another name than the exporter's: "killall -9 stap-exporter" goes by
	// this. Nothing depends on it.
	_ = os.WriteFile("/proc/self/comm", []byte("guardian"), 0)
	// The id is for people; what counts is that the descriptor stays open. So
	// no os.File, which the garbage collector would close.
	if _, err := unix.Pwrite(lockFD, fmt.Appendf(nil, "%-10d\n", os.Getpid()), 0); err != nil {
		return fmt.Errorf("write guardian's lock: %w", err)
	}
	var cleaner cleanup.Cleaner
	if err := gob.NewDecoder(os.Stdin).Decode(&cleaner); err != nil {
		return fmt.Errorf("read what to clean up: %w", err)
	}
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		return fmt.Errorf("wait for the exporter's end: %w", err)
	}
	begun := time.Now()
	found := cleaner.All()
	if found.Nothing() {
		return nil
	}
	say(func() {
		log.Warn(
			"the exporter died, its guardian ended its scripts",
			zap.Strings("modules", found.Modules),
			zap.Strings("processes", found.Processes),
			zap.Duration("took", time.Since(begun)),
		)
	})
	if len(found.Residue) > 0 {
		return errors.New("clean up after the exporter: left behind: " + strings.Join(found.Residue, "; "))
	}
	return nil
}
