// Command misbehave is the child of a script in the chaos run
// (test/chaos): a script's first line is "#!/path/misbehave
// ROLE". It makes the FIFO that a bpf script would make serves it as stapbpf
// does, and in most roles does what no script should.
//
// It is a program of its own, and not the test binary again as other stand-ins
// are, because 200 of them run at once: it has 2 MB of memory where the test
// binary with the race detector has 22.
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
	os.Exit(live(os.Args[1:]))
}

// roles say what happens before the FIFO is there, and what the texts are. All
// but these two fields behave alike.
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
	"tear":      {nothing, (*child).torn},
	"empty":     {nothing, func(*child) []byte { return nil }},
	"huge":      {nothing, (*child).huge},
	"exits":     {func(c *child) { c.exitLater(0) }, (*child).good},
	"leaves":    {(*child).leave, (*child).good},
	"stays":     {(*child).stay, (*child).good},
	"orphan":    {func(*child) { forever() }, nil},
	"obstinate": {func(*child) { signal.Ignore(syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP); forever() }, nil},
}

func nothing(*child) {}

func forever() {
	for {
		time.Sleep(time.Hour)
	}
}

// child is one life of a script.
type child struct {
	dir   string // the module's folder
	path  string // the FIFO in it
	born  int64  // marks this life in every text
	texts int    // how many there were
}

func live(args []string) int {
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
	c := &child{born: time.Now().UnixNano()}
	asked := make(chan os.Signal, 1)
	if role.text != nil {
		c.dir = filepath.Join(root(), args[3])
		c.path = filepath.Join(c.dir, "__prometheus")
		signal.Notify(asked, syscall.SIGTERM, syscall.SIGINT)
		go func() {
			<-asked
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

// root is the folder in which stapbpf makes the folders of modules.
func root() string {
	name := fmt.Sprint(os.Geteuid())
	if u, err := user.LookupId(name); err == nil {
		name = u.Username
	}
	return "/var/tmp/systemtap-" + name
}

// serve is one turn of stapbpf.cxx's procfs_read_event_loop: wait for a reader,
// run the probe, write, close, then open without blocking until no reader is
// left. It is false when the reader left early.
// stapbpf does the last without rest: where processors are short, 150 of them
// keep the exporter from closing what they wait for, for as long as it is asked
// again. That is known, and not what this run is about, so here the rest grows,
// to 1 ms: longer ones would make the reads long, since a reader that comes
// meanwhile is taken for the last one.
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

// good is a text in which every line has the same number, so that a reader sees
// what is torn, mixed or older than it should be. TestChaos reads it.
func (c *child) good() []byte {
	b := fmt.Appendf(nil, "# TYPE chaos_reads_total counter\nchaos_reads_total{life=\"%d\"} %d\n", c.born, c.texts)
	for i := range 20 {
		b = fmt.Appendf(b, "chaos_line{number=\"%d\"} %d\n", i, c.texts)
	}
	return b
}

// half is a text that its writer does not live to end, every fourth time.
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

// hang never ends a text that it has begun.
func (c *child) hang() []byte {
	if rand.N(2) == 0 {
		write(open(c.path, 0), []byte("# TYPE chaos"))
	}
	forever()
	return nil
}

// torn ends in the middle of a line, and has lines in it that no reader would
// take.
func (c *child) torn() []byte {
	text := bytes.ReplaceAll(
		c.good(),
		[]byte("chaos_line{number=\"7\"}"),
		[]byte("}{\n\x00\x01\nchaos_line{number=\"\xff\n# TYPE chaos_line summary\nchaos_line{number=\"7\"}"),
	)
	return text[:len(text)-rand.N(40)]
}

// huge is 2 MB, and every eighth time more than the exporter takes.
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

// compile takes seconds, with stap's own words.
func (c *child) compile() {
	for pass := range 4 {
		fmt.Fprintf(os.Stderr, "Pass %d: done by the stand-in in 0ms.\n", pass+1)
		time.Sleep(time.Duration(rand.N(1500)) * time.Millisecond)
	}
}

// crashLater ends this life at any time, in one of the ways in which processes
// end.
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
		time.Sleep(after) // so that it crashes before the FIFO is there
	}
}

// exitLater ends this life within 5 s, and its FIFO stays.
func (c *child) exitLater(code int) {
	after := time.Duration(rand.N(5000)) * time.Millisecond
	go func() {
		time.Sleep(after)
		os.Exit(code)
	}()
}

// flood writes 1 MB a second to its output, in lines long and short and of no
// text at all.
func (c *child) flood() {
	lines := []byte(
		strings.Repeat(
			"flood ",
			100,
		) + "\n\n\n\x00\xff\xfe\x1b[31m\n" + strings.Repeat(
			"y",
			100_000,
		) + "\nERROR: not one\nWARNING: nor one\n",
	)
	go func() {
		for i := 0; ; i++ {
			_, _ = []*os.File{os.Stdout, os.Stderr}[i%2].Write(lines)
			time.Sleep(100 * time.Millisecond)
		}
	}()
}

// leave ends after a while and leaves grandchildren: one in its group, one in a
// session of its own that ignores all it can.
func (c *child) leave() {
	c.stay()
	c.exitLater(1)
}

// stay lives on with these grandchildren.
func (c *child) stay() {
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
