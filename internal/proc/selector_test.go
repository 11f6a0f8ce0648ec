package proc

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"stap-exporter/internal/staptest"
)

// tagged starts a process with a run tag.
func tagged(t *testing.T, tag string, argv ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = WithTag(os.Environ(), tag)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	staptest.WaitFor(t, "it has the tag", func() bool { return len(Tagged(tag).Find()) >= 1 })
	return cmd
}

func TestSelectorDoesNotTakeSimilarTags(t *testing.T) {
	cmd := tagged(t, "/w/m1", "/bin/sleep", "1000")
	for _, tag := range []string{"/w/m", "/w/m11", "w/m1", ""} {
		if found := Tagged(tag).Find(); len(found) > 0 {
			t.Errorf("%q finds %v", tag, found)
		}
	}
	found, remaining := Tagged("/w/m1").End(nil, 0, staptest.Patience)
	if len(found) != 1 || len(remaining) != 0 {
		t.Errorf("found %v, remaining %v", found, remaining)
	}
	_ = cmd.Wait()
	if s := cmd.ProcessState.Sys().(syscall.WaitStatus).Signal(); s != syscall.SIGKILL {
		t.Errorf("ended by %v", s)
	}
}

func TestTags(t *testing.T) {
	env := WithTag([]string{"A=1", TagVariable + "=old", "B=2"}, "/new")
	if got := strings.Join(env, " "); got != "A=1 B=2 "+TagVariable+"=/new" {
		t.Errorf("environment is %q", got)
	}
	for environ, want := range map[string]string{
		"":        "",
		"A=1\x00": "",
		"A=1\x00" + TagVariable + "=/w\x00B=2\x00": "/w",
		TagVariable + "=/w":                        "/w",
		"X" + TagVariable + "=/w\x00":              "",
	} {
		if got := tagIn([]byte(environ)); got != want {
			t.Errorf("%q: %q, want %q", environ, got, want)
		}
	}
}

// On a busy machine one scan of all processes can take longer than the time
// between TERM and KILL, and longer than the time after it.
func TestSelectedProcessIsKilledHoweverLateItIs(t *testing.T) {
	cmd := tagged(t, "/w/late", "/bin/sh", "-c", "trap '' TERM; while :; do sleep 1000; done")
	scans := 0
	selector := Tagged("/w/late")
	slow := Selector{Tag: func(tag string) bool {
		if scans++; scans == 1 {
			time.Sleep(20 * time.Millisecond) // both times are over after the first scan
		}
		return selector.Tag(tag)
	}}
	_, _ = slow.End(nil, time.Millisecond, 10*time.Millisecond)
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait() // that it ends is what counts
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(staptest.Patience):
		t.Error("it lives on")
		_ = cmd.Process.Kill()
		<-ended
	}
}

// A grace that is cut short ends in a KILL.
func TestSelectedProcessIsKilledAtOnce(t *testing.T) {
	cmd := tagged(t, "/w/cut", "/bin/sh", "-c", "trap '' TERM; while :; do sleep 1000; done")
	kill := make(chan struct{})
	time.AfterFunc(20*time.Millisecond, func() { close(kill) })
	found, remaining := Tagged("/w/cut").End(kill, staptest.Patience, staptest.Patience)
	if len(found) == 0 || len(remaining) != 0 {
		t.Errorf("found %v, remaining %v", found, remaining)
	}
	_ = cmd.Wait()
}
