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

// idle is a scripts folder of which nothing is ever started.
func idle(t *testing.T) string {
	return harness.ScriptDir(t, map[string]string{"idle.stp": "probe begin {}\n"})
}

// datagrams receives what the exporter tells systemd.
type datagrams struct {
	t    *testing.T
	conn *net.UnixConn
}

// playSystemd makes the socket of which NOTIFY_SOCKET tells.
func playSystemd(t *testing.T) datagrams {
	t.Helper()
	path := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	t.Setenv("NOTIFY_SOCKET", path)
	return datagrams{t, conn}
}

// want receives the next message, whose lines are to match.
func (d datagrams) want(lines ...string) {
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

func TestSystemdIsTold(t *testing.T) {
	harness.NeedStap(t)
	systemd := playSystemd(t)
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
		t.Errorf("after the wrong reload: %v", p.Header)
	}
	if !strings.Contains(e.Log(), "reload failed") {
		t.Error("the wrong reload is not in the log")
	}

	// Child processes are not to speak for the service.
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
		// the second signal may come in time to kill
		t.Errorf("exit code %d", code)
	}
}

// freePort returns a port of loopback that was free a moment ago.
func freePort(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

// systemd's own program listens on two sockets and starts the exporter at the
// first connection.
func TestSocketActivation(t *testing.T) {
	harness.NeedStap(t)
	program, err := exec.LookPath("systemd-socket-activate")
	if err != nil {
		t.Skip("systemd is not installed: run make test, or apt install systemd")
	}
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
		_ = cmd.Process.Signal(syscall.SIGTERM) // it became the exporter itself
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

// A SIGHUP that comes because the terminal was closed ends the exporter;
// another reloads, also in a terminal.
func TestTerminalGone(t *testing.T) {
	harness.NeedStap(t)
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer master.Close()
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	terminal, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	systemd := playSystemd(t)
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
