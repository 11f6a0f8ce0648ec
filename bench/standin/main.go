// Standin is the process of a stand-in script, for load on an exporter with
// very many scripts. The first line of such a script is "#!/path/standin", so
// the exporter runs standin SCRIPT -m MODULE. It makes the FIFO that a bpf
// script would make, and writes a text with a stamp for each read.
package main

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"

	"stap-exporter/bench/body"
	"stap-exporter/internal/procfile"
)

// size is the size of a text in bytes.
const size = 3 << 10

// pause is long enough for a reader to close the FIFO, and short compared with
// the time between two scrapes: a reader that opens it meanwhile gets no text
// and must read again.
var pause = syscall.Timespec{Nsec: 200_000}

func main() {
	runtime.GOMAXPROCS(1) // thousands of these run at the same time
	if len(os.Args) != 4 || os.Args[2] != "-m" {
		fmt.Fprintln(os.Stderr, "usage: standin SCRIPT -m MODULE")
		os.Exit(2)
	}
	if err := run(filepath.Join(procfile.DefaultRoots().FIFO, os.Args[3])); err != nil {
		fmt.Fprintln(os.Stderr, "standin:", err)
		os.Exit(1)
	}
}

// run serves the FIFO in dir until SIGTERM. It does what stapbpf's
// procfs_read_event_loop (stapbpf.cxx) does: open, which waits for a reader,
// write a text, close, and open without waiting until no reader is left.
func run(dir string) error {
	path := filepath.Join(dir, "__prometheus")
	if err := errors.Join(os.MkdirAll(dir, 0o755), syscall.Mkfifo(path, 0o444)); err != nil {
		return err
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	go func() {
		<-signals
		_ = os.RemoveAll(dir)
		os.Exit(0)
	}()
	template := body.NewTemplate(size)
	for number := int64(1); ; number++ {
		fd, err := open(path, 0)
		if err != nil {
			select {} // the directory is gone: the process is about to exit
		}
		if err := write(fd, template.Text(number, body.Monotonic())); err != nil {
			return fmt.Errorf("write %q: %w", path, err)
		}
		_ = syscall.Close(fd)
		// stapbpf does not pause here, which uses all CPU time while a reader is
		// slow.
		for {
			_ = syscall.Nanosleep(&pause, nil)
			fd, err := open(path, syscall.O_NONBLOCK)
			if err != nil {
				break
			}
			_ = syscall.Close(fd)
		}
	}
}

func open(path string, flags int) (fd int, err error) {
	for {
		fd, err = syscall.Open(path, syscall.O_WRONLY|syscall.O_CLOEXEC|flags, 0)
		if !errors.Is(err, syscall.EINTR) {
			return fd, err
		}
	}
}

func write(fd int, text []byte) error {
	for len(text) > 0 {
		n, err := syscall.Write(fd, text)
		if err != nil && !errors.Is(err, syscall.EINTR) {
			return err
		}
		text = text[max(n, 0):]
	}
	return nil
}
