package proc

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"testing"

	"stap-exporter/internal/staptest"
)

func TestScanFindsThisProcess(t *testing.T) {
	if !slices.ContainsFunc(All(), func(p Process) bool { return p.PID == os.Getpid() && p.Group != 0 }) {
		t.Error("this process is not among them")
	}
}

// What is remembered of a process is forgotten at an exec, which may add or
// remove a tag, also where the addresses of memory are not random.
func TestScannerNoticesExec(t *testing.T) {
	for _, random := range []bool{true, false} {
		t.Run(fmt.Sprintf("random=%t", random), func(t *testing.T) {
			argv := []string{
				"/bin/sh",
				"-c",
				`read x; export STAP_EXPORTER_RUN=/a; ` +
					`exec /bin/sh -c 'read x; unset STAP_EXPORTER_RUN; exec /bin/sh -c "read x"'`,
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
			s := newScanner()
			sees := func(tag string) {
				staptest.WaitFor(t, "tag "+tag, func() bool {
					i := slices.IndexFunc(
						s.all(),
						func(p Process) bool { return p.PID == cmd.Process.Pid && p.Name == "sh" && p.Tag == tag },
					)
					return i >= 0
				})
				if s.known[cmd.Process.Pid].memory == "" {
					t.Error("it is not remembered")
				}
			}
			sees("")
			_, _ = io.WriteString(stdin, "\n")
			sees("/a")
			_, _ = io.WriteString(stdin, "\n")
			sees("")
			_, _ = io.WriteString(stdin, "\n")
			staptest.WaitFor(t, "it is forgotten", func() bool { s.all(); return s.known[cmd.Process.Pid] == nil })
		})
	}
}

func BenchmarkScan(b *testing.B) {
	s := newScanner()
	for b.Loop() {
		s.all()
	}
}
