//go:build vm

package guest

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"stap-exporter/test/harness"
)

// service is the exporter as systemd runs it, by the units that are installed.
type service struct {
	*exporter
	t *testing.T
}

const unit = "stap-exporter.service"

// systemctl runs systemctl and returns its output. It must succeed.
func (s *service) systemctl(args ...string) string {
	s.t.Helper()
	out, err := exec.Command("systemctl", args...).CombinedOutput()
	if err != nil {
		journal, _ := exec.Command("journalctl", "-n", "40", "-o", "cat", "-u", unit).CombinedOutput()
		s.t.Fatalf("systemctl %q: %v\n%s\n%s", args, err, out, journal)
	}
	return strings.TrimSpace(string(out))
}

func (s *service) show(property string) string {
	s.t.Helper()
	return s.systemctl("show", "--value", "-p", property, unit)
}

// has waits for a property's value.
func (s *service) has(property, value string) {
	s.t.Helper()
	got := ""
	eventually(s.t, property+"="+value, func() bool {
		got = s.show(property)
		return got == value
	}, func() string { return "it is " + got })
}

// options writes /etc/default/stap-exporter as an operator does.
func (s *service) options(options string) {
	s.t.Helper()
	if err := os.WriteFile(
		"/etc/default/stap-exporter",
		[]byte("PORT=\"-p 9900\"\nKEEPALIVE=\"-k 300\"\nSCRIPTS=\nOPTIONS=\""+options+"\"\n"),
		0o644,
	); err != nil {
		s.t.Fatal(err)
	}
}

// moduleOf returns the module name of a script from the API.
func (s *service) moduleOf(name string) string {
	s.t.Helper()
	p := s.Get("/api/v1/scripts/"+name, "")
	m := regexp.MustCompile(`"module": *"([^"]+)"`).FindStringSubmatch(p.Body)
	if m == nil {
		s.t.Fatalf("%s has no module: %d %s", name, p.Code, p.Body)
	}
	return m[1]
}

// bpfScript counts its own reads under the bpf runtime.
const bpfScript = `// stap-exporter: runtime=bpf
global n, ticks
probe timer.ms(50) { ticks[0]++ }
probe prometheus {
  n[0]++
  @prometheus_dump_array1(n, "seq", "name")
  @prometheus_dump_array1(ticks, "ticks", "name")
}
`

// installed installs the units as make install does, with settings for this
// guest.
func installed(t *testing.T, env ...string) *service {
	t.Helper()
	install := exec.Command("/in/project/packaging/install", "to")
	install.Env = append(os.Environ(), "BINARY=/in/stap-exporter", "PREFIX=/usr/local")
	if out, err := install.CombinedOutput(); err != nil {
		t.Fatalf("install: %v\n%s", err, out)
	}
	s := &service{&exporter{Exporter: &harness.Exporter{T: t, URL: "http://localhost:9900"}, t: t}, t}
	dropIn := "/run/systemd/system/" + unit + ".d"
	env = append(
		[]string{
			"SYSTEMTAP_RUNTIME=" + os.Getenv("SYSTEMTAP_RUNTIME"),
			"SYSTEMTAP_TAPSET=" + os.Getenv("SYSTEMTAP_TAPSET"),
		},
		env...)
	text := "[Service]\n"
	for _, e := range env {
		text += "Environment=" + e + "\n"
	}
	if err := errors.Join(
		os.MkdirAll(dropIn, 0o755),
		os.WriteFile(dropIn+"/vm.conf", []byte(text), 0o644),
		os.WriteFile("/etc/stap-exporter/bpf.stp", []byte(bpfScript), 0o644),
	); err != nil {
		t.Fatal(err)
	}
	s.systemctl("daemon-reload")
	t.Cleanup(func() {
		s.systemctl("stop", "stap-exporter.socket", unit)
		if t.Failed() {
			journal, _ := exec.Command("journalctl", "-o", "cat", "-u", unit).CombinedOutput()
			t.Logf("journal:\n%s", journal)
		}
		_ = os.RemoveAll(dropIn)
	})
	return s
}

// systemdService starts, reloads, kills and stops the service under the real
// systemd, with its hardening, a kernel module and a bpf program.
func systemdService(t *testing.T) {
	s := installed(t)
	s.options("--script.runtime=kernel --log.level=debug")
	begun := time.Now()
	s.systemctl("start", unit) // returns when the service has notified that it is ready
	note(t, "start %s", seconds(time.Since(begun)))
	s.has("ActiveState", "active")
	s.has("StatusText", "serving 2 scripts")

	var module, object string
	runs := func() {
		t.Helper()
		body := s.metrics("/counting.stp").Body
		module = s.moduleOf("counting.stp")
		if !harness.CountingText.MatchString(body) || !loaded(module) {
			t.Errorf("as a kernel module: %q, loaded: %v", body, loaded(module))
		}
		body = s.metrics("/bpf.stp").Body
		object = s.moduleOf("bpf.stp")
		if seqOf(t, body) < 1 || loaded(object) {
			t.Errorf("as a bpf program: %q, loaded as a module: %v", body, loaded(object))
		}
	}
	runs()
	if files, _ := filepath.Glob("/var/tmp/systemtap-*/" + object); len(files) > 0 {
		t.Errorf("its FIFOs are not in a /var/tmp of its own: %q", files)
	}
	s.refusesForeign()

	// The reload is done when systemctl returns.
	before := s.show("MainPID")
	s.systemctl("reload", unit)
	s.has("StatusText", "reloaded")
	if s.show("MainPID") != before {
		t.Error("the reload restarted it")
	}

	// After a kill its guardian removes the residue, and systemd starts it
	// again.
	s.systemctl("kill", "--kill-whom=main", "--signal=KILL", unit)
	begun = time.Now()
	s.has("NRestarts", "1")
	s.has("ActiveState", "active")
	runs()
	note(t, "KILL to metrics %s", seconds(time.Since(begun)))

	begun = time.Now()
	s.systemctl("stop", unit)
	note(t, "stop %s", seconds(time.Since(begun)))
	s.ended(module)

	// With the socket, the first request starts it, and a request during a
	// restart waits.
	s.options("--script.runtime=kernel --web.systemd-socket")
	s.systemctl("start", "stap-exporter.socket")
	if state := s.show("ActiveState"); state != "inactive" {
		t.Errorf("before the first request it is %s", state)
	}
	runs()
	if got := s.show("ActiveState"); got != "active" {
		t.Errorf("after a request it is %s", got)
	}
	restarted := make(chan error, 1)
	go func() { restarted <- exec.Command("systemctl", "restart", unit).Run() }()
	for requests, done := 0, false; !done; requests++ {
		select {
		case err := <-restarted:
			if err != nil {
				t.Errorf("restart: %v", err)
			}
			note(t, "%d requests during a restart", requests)
			done = true
		default:
		}
		reply, err := http.Get(s.URL + "/-/healthy")
		if err != nil && !strings.Contains(err.Error(), "EOF") && !strings.Contains(err.Error(), "reset by peer") {
			// not a request that was in flight
			t.Fatalf("during a restart: %v", err)
		}
		if err == nil {
			reply.Body.Close()
		}
	}
	runs()
	s.systemctl("stop", "stap-exporter.socket", unit)
	s.ended(module)
}

// refusesForeign checks that the script of another user is refused. The unit
// sees /etc read-only (ProtectSystem=strict), which is no protection: the user
// can write to the file.
func (s *service) refusesForeign() {
	s.t.Helper()
	const nobody = 65534
	path := "/etc/stap-exporter/foreign.stp"
	if err := errors.Join(os.WriteFile(path, nil, 0o644), os.Chown(path, nobody, nobody)); err != nil {
		s.t.Fatal(err)
	}
	var reply harness.Page
	eventually(s.t, "403 for the script of another user", func() bool {
		reply = s.Get("/foreign.stp", "")
		return reply.Code == http.StatusForbidden
	}, func() string { return fmt.Sprintf("%d %s", reply.Code, reply.Body) })
	if want := path + `" is owned by user 65534`; !strings.Contains(reply.Body, want) {
		s.t.Errorf("got %q, want %s", reply.Body, want)
	}
	if err := os.Remove(path); err != nil {
		s.t.Fatal(err)
	}
}

// ended checks the state after the end of the service, and that nothing is
// left.
func (s *service) ended(module string) {
	s.t.Helper()
	for property, want := range map[string]string{
		"ActiveState":    "inactive",
		"Result":         "success",
		"ExecMainStatus": "0",
	} {
		if got := s.show(property); got != want {
			s.t.Errorf("%s=%s, want %s", property, got, want)
		}
	}
	if loaded(module) {
		s.t.Error("its module is left")
	}
	for _, p := range processes() {
		if group, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", p.pid)); strings.Contains(string(group), unit) {
			s.t.Errorf("left: %d %s", p.pid, p.line)
		}
	}
}
