package e2e

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"stap-exporter/test/harness"
)

// idle returns a directory with a script that no test starts.
func idle(t *testing.T) string {
	return harness.ScriptDir(t, map[string]string{"idle.stp": "probe begin {}\n"})
}

// notifications are those that the exporter sends to systemd, see sd_notify(3).
type notifications struct {
	t    *testing.T
	conn *net.UnixConn
}

// receiveNotifications creates the socket of NOTIFY_SOCKET. Exporters that
// start from now on send there.
func receiveNotifications(t *testing.T) notifications {
	t.Helper()
	path := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	t.Setenv("NOTIFY_SOCKET", path)
	return notifications{t, conn}
}

// want receives the next notification, whose lines must match.
func (d notifications) want(lines ...string) {
	d.t.Helper()
	_ = d.conn.SetReadDeadline(time.Now().Add(time.Minute))
	buf := make([]byte, 4096)
	n, err := d.conn.Read(buf)
	if err != nil {
		d.t.Fatalf("want %q: %v", lines, err)
	}
	got := strings.Split(string(buf[:n]), "\n")
	for i, line := range lines {
		if len(got) != len(lines) || !regexp.MustCompile("^(?:"+line+")$").MatchString(got[i]) {
			d.t.Fatalf("got %q, want %q", got, lines)
		}
	}
}

func TestNotifications(t *testing.T) {
	harness.NeedStap(t)
	systemd := receiveNotifications(t)
	file := filepath.Join(t.TempDir(), "web.yml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("{}\n")
	e := harness.Start(t, idle(t), "--cache.dir="+t.TempDir(), "--web.config.file="+file)
	systemd.want("READY=1", "STATUS=serving 1 scripts")

	write("http_server_config: {headers: {X-Frame-Options: deny}}\n")
	_ = e.Cmd.Process.Signal(syscall.SIGHUP)
	systemd.want("RELOADING=1", `MONOTONIC_USEC=\d+`)
	systemd.want("READY=1", "STATUS=reloaded")
	if p := e.Get("/-/healthy", ""); p.Header.Get("X-Frame-Options") != "deny" {
		t.Errorf("after the reload: %v", p.Header)
	}

	write("http_server_config:\n  headers: {X-Frame-Options: maybe}\n")
	_ = e.Cmd.Process.Signal(syscall.SIGHUP)
	systemd.want("RELOADING=1", `MONOTONIC_USEC=\d+`)
	systemd.want("READY=1", `STATUS=reload failed: .*keeping the old one: web config .*/web.yml:2: .*`)
	if p := e.Get("/-/healthy", ""); p.Header.Get("X-Frame-Options") != "deny" {
		t.Errorf("after the failed reload: %v", p.Header)
	}
	if !strings.Contains(e.Log(), "reload failed") {
		t.Error("the failed reload is not in the log")
	}

	// Child processes must not be able to notify systemd.
	children, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", e.Cmd.Process.Pid))
	for _, file := range children {
		list, _ := os.ReadFile(file)
		for pid := range strings.FieldsSeq(string(list)) {
			if env, _ := os.ReadFile("/proc/" + pid + "/environ"); bytes.Contains(env, []byte("NOTIFY_SOCKET")) {
				t.Errorf("process %s has NOTIFY_SOCKET", pid)
			}
		}
	}
	_ = e.Cmd.Process.Signal(syscall.SIGTERM)
	systemd.want("STOPPING=1", "STATUS=.*")
	if code := e.Stop(syscall.SIGTERM); code != 0 && code != 1 {
		// the second signal may come in time to kill the children
		t.Errorf("exit code %d", code)
	}
}

// freePort returns an address of the loopback interface that was free a moment
// ago.
func freePort(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

// systemd-socket-activate listens on two sockets and becomes the exporter at
// the first connection.
func TestSocketActivation(t *testing.T) {
	harness.NeedStap(t)
	program := harness.NeedProgram(t, "systemd-socket-activate")
	tcp, unixSocket := freePort(t), filepath.Join(t.TempDir(), "http")
	var log bytes.Buffer
	cmd := exec.Command(program, "-l", tcp, "-l", unixSocket, harness.Binary(t),
		"-s", idle(t), "--web.systemd-socket", "--cache.dir="+t.TempDir())
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan struct{})
	go func() { _ = cmd.Wait(); close(exited) }()
	defer func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it is the exporter by now
		select {
		case <-exited:
		case <-time.After(time.Minute):
			_ = cmd.Process.Kill()
			<-exited
			t.Error("the exporter does not end")
		}
		if code := cmd.ProcessState.ExitCode(); code != 0 {
			t.Errorf("exit code %d", code)
		}
		if t.Failed() {
			t.Logf("log of the exporter:\n%s", log.String())
		}
	}()
	for _, dial := range []func(context.Context, string, string) (net.Conn, error){
		nil,
		func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", unixSocket)
		},
	} {
		client := &http.Client{
			Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true},
			Timeout:   time.Minute,
		}
		harness.Eventually(t, "an answer", func() bool {
			reply, err := client.Get("http://" + tcp + "/")
			if err != nil {
				return false // systemd-socket-activate does not listen yet
			}
			defer reply.Body.Close()
			body, _ := io.ReadAll(reply.Body)
			return reply.StatusCode == 200 && strings.Contains(string(body), "/idle.stp")
		})
	}
}

// openTerminal opens a pseudoterminal; the test closes both ends.
func openTerminal(t *testing.T) (master, terminal *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	terminal, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	return master, terminal
}

// The SIGHUP of a closed terminal ends the exporter. Others reload, also in a
// terminal.
func TestClosedTerminal(t *testing.T) {
	harness.NeedStap(t)
	master, terminal := openTerminal(t)
	systemd := receiveNotifications(t)
	cmd := exec.Command(
		harness.Binary(t),
		"-s",
		idle(t),
		"--web.listen-address=127.0.0.1:0",
		"--cache.dir="+t.TempDir(),
	)
	cmd.Stdin = terminal
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 0}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = terminal.Close()
	defer master.Close()
	exited := make(chan struct{})
	go func() { _ = cmd.Wait(); close(exited) }()
	defer func() { _ = cmd.Process.Kill(); <-exited }()
	systemd.want("READY=1", "STATUS=.*")
	_ = cmd.Process.Signal(syscall.SIGHUP)
	systemd.want("RELOADING=1", `MONOTONIC_USEC=\d+`)
	systemd.want("READY=1", "STATUS=reloaded")
	_ = master.Close()
	systemd.want("STOPPING=1", "STATUS=.*")
	select {
	case <-exited:
	case <-time.After(time.Minute):
		t.Fatal("the exporter does not end")
	}
	if code := cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}
