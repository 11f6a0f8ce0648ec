// Command misbehave is the child of a script in test/chaos, whose first line is
// "#!/path/misbehave ROLE". It creates the FIFO of a bpf script and serves it
// as stapbpf does. In most roles it does what no script should do.
//
// It is not the test binary, as other stand-ins are, because 200 processes run
// at once: it takes 2 MB of memory, the test binary with the race detector 22.
package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"os/user"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const usage = "usage: misbehave ROLE SCRIPT -m MODULE"

func main() {
	os.Exit(run(os.Args[1:]))
}

// roles have what happens before the FIFO exists, and the texts. Everything
// else is the same in all roles.
var roles = map[string]struct {
	before func(*child)
	text   func(*child) []byte
}{
	"healthy":   {nothing, (*child).good},
	"slow":      {(*child).compile, (*child).good},
	"crash":     {(*child).crashLater, (*child).good},
	"dies":      {nothing, (*child).half},
	"unready":   {func(*child) { forever() }, (*child).good},
	"hang":      {nothing, (*child).hang},
	"stubborn":  {func(*child) { signal.Ignore(syscall.SIGTERM) }, (*child).good},
	"flood":     {(*child).flood, (*child).good},
	"truncate":  {nothing, (*child).truncated},
	"empty":     {nothing, func(*child) []byte { return nil }},
	"huge":      {nothing, (*child).huge},
	"exits":     {func(c *child) { c.exitLater(0) }, (*child).good},
	"leaks":     {(*child).leak, (*child).good},
	"keeps":     {(*child).keep, (*child).good},
	"orphan":    {func(*child) { forever() }, nil},
	"obstinate": {func(*child) { signal.Ignore(syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP); forever() }, nil},
}

func nothing(*child) {}

func forever() {
	for {
		time.Sleep(time.Hour)
	}
}

// child is a process of a script.
type child struct {
	dir   string // the module's directory
	path  string // the FIFO in it
	id    int64  // of this process, in every text
	texts int    // written so far
}

func run(args []string) int {
	if len(args) < 1 {
		fmt.Fprintln(os.Stderr, usage)
		return 2
	}
	name, _, _ := strings.Cut(args[0], " ")
	role, ok := roles[name]
	if !ok || role.text != nil && (len(args) != 4 || args[2] != "-m") {
		fmt.Fprintln(os.Stderr, usage)
		return 2
	}
	c := &child{id: time.Now().UnixNano()}
	received := make(chan os.Signal, 1)
	if role.text != nil {
		c.dir = filepath.Join(root(), args[3])
		c.path = filepath.Join(c.dir, "__prometheus")
		signal.Notify(received, syscall.SIGTERM, syscall.SIGINT)
		go func() {
			<-received
			_ = os.RemoveAll(c.dir)
			os.Exit(0)
		}()
	}
	role.before(c)
	if err := os.MkdirAll(c.dir, 0o755); err != nil {
		fmt.Fprintln(os.Stderr, "misbehave:", err)
		return 1
	}
	if err := syscall.Mkfifo(c.path, 0o444); err != nil {
		fmt.Fprintln(os.Stderr, "misbehave:", err)
		return 1
	}
	for {
		if !c.serve(role.text) {
			return 128 + int(syscall.SIGPIPE)
		}
	}
}

// root is the directory in which stapbpf creates the directories of modules.
func root() string {
	name := fmt.Sprint(os.Geteuid())
	if u, err := user.LookupId(name); err == nil {
		name = u.Username
	}
	return "/var/tmp/systemtap-" + name
}

// serve is one iteration of procfs_read_event_loop in stapbpf.cxx: wait for a
// reader, run the probe, write, close, then open without blocking until there
// is no reader any more. It returns false when the reader closed early.
//
// stapbpf does the last without a pause. With too few CPUs 150 of them keep the
// exporter from closing what they wait for. That is known and not the subject
// of this run, so here the pause grows to 1 ms. Longer ones would make the
// reads longer, since a reader that opens meanwhile is taken for the one
// before.
func (c *child) serve(text func(*child) []byte) bool {
	fd := open(c.path, 0)
	c.texts++
	if !write(fd, text(c)) {
		return false
	}
	_ = syscall.Close(fd)
	for pause := time.Microsecond; ; pause = min(2*pause, time.Millisecond) {
		fd := open(c.path, syscall.O_NONBLOCK)
		if fd < 0 {
			return true
		}
		_ = syscall.Close(fd)
		time.Sleep(pause)
	}
}

func open(path string, flags int) int {
	for {
		fd, err := syscall.Open(path, syscall.O_WRONLY|syscall.O_CLOEXEC|flags, 0)
		if err != syscall.EINTR {
			return fd
		}
	}
}

func write(fd int, b []byte) bool {
	for len(b) > 0 {
		n, err := syscall.Write(fd, b)
		if err != nil && err != syscall.EINTR {
			return false
		}
		b = b[max(n, 0):]
	}
	return true
}

// good returns a text in which every line has the same number, so that a reader
// notices a truncated, mixed or old text. TestChaos reads it.
func (c *child) good() []byte {
	b := fmt.Appendf(nil, "# TYPE chaos_reads_total counter\nchaos_reads_total{process=\"%d\"} %d\n", c.id, c.texts)
	for i := range 20 {
		b = fmt.Appendf(b, "chaos_line{number=\"%d\"} %d\n", i, c.texts)
	}
	return b
}

// half returns a good text; every fourth time it writes a half of it and kills
// the process.
func (c *child) half() []byte {
	text := c.good()
	if rand.N(4) > 0 {
		return text
	}
	fd := open(c.path, 0)
	write(fd, text[:len(text)/2])
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	return nil
}

// hang does not end a text that it has begun.
func (c *child) hang() []byte {
	if rand.N(2) == 0 {
		write(open(c.path, 0), []byte("# TYPE chaos"))
	}
	forever()
	return nil
}

// truncated returns a text with invalid lines that ends in the middle of a
// line.
func (c *child) truncated() []byte {
	text := bytes.ReplaceAll(
		c.good(),
		[]byte("chaos_line{number=\"7\"}"),
		[]byte("}{\n\x00\x01\nchaos_line{number=\"\xff\n# TYPE chaos_line summary\nchaos_line{number=\"7\"}"),
	)
	return text[:len(text)-rand.N(40)]
}

// huge returns a text of 2 MB, every eighth time of more than the exporter
// accepts.
func (c *child) huge() []byte {
	text, size := c.good(), 2<<20
	if rand.N(8) == 0 {
		size = 17 << 20
	}
	for i := 0; len(text) < size; i++ {
		text = fmt.Appendf(text, "chaos_huge{number=\"%d\",filler=\"%s\"} %d\n", i, strings.Repeat("x", 400), c.texts)
	}
	return text
}

// compile takes seconds and writes the messages of stap.
func (c *child) compile() {
	for pass := range 4 {
		fmt.Fprintf(os.Stderr, "Pass %d: done by the stand-in in 0ms.\n", pass+1)
		time.Sleep(time.Duration(rand.N(1500)) * time.Millisecond)
	}
}

// crashLater ends this process at any time, in one of the ways in which
// processes end.
func (c *child) crashLater() {
	after := time.Duration(rand.N(8000)) * time.Millisecond
	go func() {
		time.Sleep(after)
		fmt.Fprintln(os.Stderr, "ERROR: the stand-in crashes")
		if how := []syscall.Signal{0, syscall.SIGKILL, syscall.SIGSEGV, syscall.SIGABRT}[rand.N(4)]; how != 0 {
			_ = syscall.Kill(os.Getpid(), how)
		}
		os.Exit(1)
	}()
	if rand.N(3) == 0 {
		time.Sleep(after) // so that it crashes before the FIFO exists
	}
}

// exitLater ends this process within 5 s. Its FIFO stays.
func (c *child) exitLater(code int) {
	after := time.Duration(rand.N(5000)) * time.Millisecond
	go func() {
		time.Sleep(after)
		os.Exit(code)
	}()
}

// flood writes 1 MB a second to its output, in long and short lines and in
// lines that are not text.
func (c *child) flood() {
	lines := []byte(
		strings.Repeat("flood ", 100) + "\n\n\n\x00\xff\xfe\x1b[31m\n" +
			strings.Repeat("y", 100_000) + "\nERROR: not one\nWARNING: nor one\n",
	)
	go func() {
		for i := 0; ; i++ {
			_, _ = []*os.File{os.Stdout, os.Stderr}[i%2].Write(lines)
			time.Sleep(100 * time.Millisecond)
		}
	}()
}

// leak ends after a while and leaks grandchildren: one in its process group,
// and one in a session of its own that ignores the signals that it can.
func (c *child) leak() {
	c.keep()
	c.exitLater(1)
}

// keep keeps running with these grandchildren.
func (c *child) keep() {
	spawn("orphan", false)
	spawn("obstinate", true)
}

func spawn(role string, session bool) {
	self, err := os.Executable()
	if err != nil {
		panic(err)
	}
	_, err = syscall.ForkExec(
		self,
		[]string{self, role},
		&syscall.ProcAttr{Env: os.Environ(), Files: []uintptr{0, 1, 2}, Sys: &syscall.SysProcAttr{Setsid: session}},
	)
	if err != nil {
		fmt.Fprintln(os.Stderr, "misbehave:", err)
	}
}
