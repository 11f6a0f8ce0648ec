package procfile

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

const standInEnv = "PROCFILE_TEST_STANDIN"

// standInOrder configures a stand-in stapbpf. The stand-in creates the FIFO and
// runs the loop of procfs_read_event_loop in stapbpf.cxx: wait for a reader,
// run the probe, write, close, then open without blocking until no reader is
// left.
type standInOrder struct {
	// Path is the FIFO to create, with mode 0644 instead of 0444, so that users
	// other than root can write to it.
	Path    string
	Size    int  // minimum length of a body in bytes
	Empty   int  // number of empty bodies at the start; below 0: all are empty
	Hold    bool // the probe prints "probe" and waits for proceed
	Half    bool // the write prints "half" in the middle and waits for proceed
	Endless bool // the write never ends
	// Stall prints "stalled" after each write and waits for proceed, before the
	// stand-in checks for readers.
	Stall bool
	// SIGPIPE makes a reader that closes early kill the stand-in, as it kills a
	// stapbpf below a stap. Otherwise SIGPIPE is ignored.
	SIGPIPE bool
}

// standIn runs a stand-in stapbpf. It prints its progress to stdout and waits
// for lines on stdin.
func standIn(order string) int {
	var o standInOrder
	if err := json.Unmarshal([]byte(order), &o); err != nil {
		panic(err)
	}
	if err := unix.Mkfifo(o.Path, 0o644); err != nil {
		panic(err)
	}
	stdin := bufio.NewReader(os.Stdin)
	wait := func(where string) {
		fmt.Println(where)
		if _, err := stdin.ReadString('\n'); err != nil {
			os.Exit(0)
		}
	}
	fmt.Println("up")
	for run := 1; ; run++ {
		fd := openWriter(o.Path, 0)
		if fd < 0 {
			return 1
		}
		if o.Hold {
			wait("probe")
		}
		var body []byte
		if o.Empty >= 0 && run > o.Empty {
			body = testBody(run, o.Size)
		}
		var err error
		switch {
		case o.Endless:
			for err == nil {
				err = writeAll(fd, body)
			}
		case o.Half:
			if err = writeAll(fd, body[:len(body)/2]); err == nil {
				wait("half")
				err = writeAll(fd, body[len(body)/2:])
			}
		default:
			err = writeAll(fd, body)
		}
		closeFD(fd)
		if errors.Is(err, unix.EPIPE) {
			fmt.Println("closed early")
			if o.SIGPIPE {
				return 128 + int(unix.SIGPIPE)
			}
			continue
		}
		if o.Stall {
			wait("stalled")
		}
		for {
			fd := openWriter(o.Path, unix.O_NONBLOCK)
			if fd < 0 {
				break
			}
			closeFD(fd)
		}
	}
}

func openWriter(path string, flags int) int {
	for {
		fd, err := unix.Open(path, unix.O_WRONLY|unix.O_CLOEXEC|flags, 0)
		if !errors.Is(err, unix.EINTR) {
			return fd
		}
	}
}

func writeAll(fd int, b []byte) error {
	for len(b) > 0 {
		n, err := unix.Write(fd, b)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return err
		}
		b = b[max(n, 0):]
	}
	return nil
}

// testBody returns a body of at least size bytes, from which bodyRun can tell
// the run and whether it is complete.
func testBody(run, size int) []byte {
	b := fmt.Appendf(nil, "begin %d\n", run)
	end := fmt.Appendf(nil, "end %d\n", run)
	if n := size - len(b) - len(end); n > 0 {
		b = append(b, bytes.Repeat([]byte("."), n)...)
	}
	return append(b, end...)
}

// bodyRun returns the run that wrote body. It fails the test unless body is
// exactly the body of that run.
func bodyRun(t testing.TB, body []byte, size int) int {
	t.Helper()
	var run int
	if _, err := fmt.Sscanf(string(body[:min(len(body), 40)]), "begin %d\n", &run); err != nil {
		t.Fatalf("body of %d bytes starts with %.40q: %v", len(body), body, err)
	}
	if !bytes.Equal(body, testBody(run, size)) {
		t.Fatalf("body of run %d is truncated or doubled: %d bytes", run, len(body))
	}
	return run
}

// writer is a running stand-in stapbpf.
type writer struct {
	t     testing.TB
	cmd   *exec.Cmd
	stdin interface{ Write([]byte) (int, error) }
	out   *bufio.Reader
	ended bool
}

// startWriter starts a stand-in stapbpf, waits for its FIFO and returns both.
// The stand-in ends with the test.
func startWriter(t testing.TB, o standInOrder) (*writer, File) {
	t.Helper()
	if o.Path == "" {
		o.Path = filepath.Join(t.TempDir(), fileName)
	}
	order, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), standInEnv+"="+string(order))
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w := &writer{t: t, cmd: cmd, stdin: stdin, out: bufio.NewReader(stdout)}
	t.Cleanup(w.kill)
	w.expect("up")
	return w, File{Path: o.Path, FIFO: true, Abandonable: !o.SIGPIPE}
}

// expect waits until the writer prints where.
func (w *writer) expect(where string) {
	w.t.Helper()
	line, err := w.out.ReadString('\n')
	if strings.TrimSpace(line) != where {
		w.t.Fatalf("stand-in printed %q (%v), want %q", line, err, where)
	}
}

// proceed lets a waiting writer continue.
func (w *writer) proceed() {
	w.t.Helper()
	if _, err := w.stdin.Write([]byte("\n")); err != nil {
		w.t.Fatal(err)
	}
}

// kill ends the writer with SIGKILL, so that its FIFO remains, and reaps it.
func (w *writer) kill() {
	if w.ended {
		return
	}
	w.ended = true
	_ = w.cmd.Process.Kill()
	_ = w.cmd.Wait()
}
