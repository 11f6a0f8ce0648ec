package stap

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// Whoever asks gets what was done after he asked, and many who ask at once get
// the same.
func TestShared(t *testing.T) {
	var begun atomic.Int64
	held, letGo := make(chan struct{}), make(chan struct{})
	s := shared[int64]{do: func() int64 {
		n := begun.Add(1)
		if n == 1 {
			close(held)
			<-letGo
		}
		return n
	}}
	var all sync.WaitGroup
	all.Go(func() {
		if n := s.next(); n != 1 {
			t.Errorf("the first got round %d", n)
		}
	})
	<-held
	for range 20 {
		all.Go(func() {
			before := begun.Load()
			if n := s.next(); n <= before {
				t.Errorf("got round %d, asked after it had begun", n)
			}
		})
	}
	waitFor(t, "somebody waits", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.waiting != nil
	})
	close(letGo)
	all.Wait()
	waitFor(t, "all is over", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return !s.running && s.waiting == nil
	})
	if n := begun.Load(); n > 21 {
		t.Errorf("%d rounds for 21", n)
	}
}

func TestProcessesSeesItself(t *testing.T) {
	if !slices.ContainsFunc(processes(), func(p process) bool { return p.pid == os.Getpid() && p.group != 0 }) {
		t.Error("this process is not among them")
	}
}

// What is remembered of a process is forgotten at an exec, which may give it a
// mark or take it, also where memory is not at random places.
func TestLookerSeesExec(t *testing.T) {
	for _, random := range []bool{true, false} {
		t.Run(fmt.Sprintf("random=%t", random), func(t *testing.T) {
			argv := []string{
				"/bin/sh",
				"-c",
				`read x; export STAP_EXPORTER_RUN=/a; exec /bin/sh -c 'read x; unset STAP_EXPORTER_RUN; exec /bin/sh -c "read x"'`,
			}
			if !random {
				argv = append([]string{"setarch", "-R"}, argv...)
			}
			cmd := exec.Command(argv[0], argv[1:]...)
			stdin, err := cmd.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
			l := newLooker()
			sees := func(mark string) {
				waitFor(t, "mark "+mark, func() bool {
					i := slices.IndexFunc(
						l.all(),
						func(p process) bool { return p.pid == cmd.Process.Pid && p.name == "sh" && p.mark == mark },
					)
					return i >= 0
				})
				if l.known[cmd.Process.Pid].memory == "" {
					t.Error("it is not remembered")
				}
			}
			sees("")
			_, _ = io.WriteString(stdin, "\n")
			sees("/a")
			_, _ = io.WriteString(stdin, "\n")
			sees("")
			_, _ = io.WriteString(stdin, "\n")
			waitFor(t, "it is forgotten", func() bool { l.all(); return l.known[cmd.Process.Pid] == nil })
		})
	}
}

func TestSplitStat(t *testing.T) {
	var fields []string
	for i := 3; i <= 52; i++ {
		fields = append(fields, fmt.Sprint(i))
	}
	st := splitStat([]byte("7 (a b) c) " + strings.Join(fields, " ") + "\n"))
	if string(st.name) != "a b) c" || string(st.field(3)) != "3" || string(st.field(51)) != "51" ||
		string(st.memory) != "45 46 47 48 49 50 51" {
		t.Errorf("%q %q %q", st.name, st.fields, st.memory)
	}
	fields[51-3] = "0"
	for _, none := range []string{"", "7", "7 (a", "7 (a)", "7 (a) S", "7 (a) S 1 2", "7 (a) " + strings.Join(fields, " ")} {
		if st := splitStat([]byte(none)); len(st.memory) > 0 {
			t.Errorf("%q: memory %q", none, st.memory)
		}
	}
}

func BenchmarkLook(b *testing.B) {
	l := newLooker()
	for b.Loop() {
		l.all()
	}
}
