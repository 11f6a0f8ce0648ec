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
)

// service is the exporter as systemd runs it, by the units that are installed.
type service struct {
	*exporter
	t *testing.T
}

const unit = "stap-exporter.service"

// systemctl runs it; what it says is wanted when it fails.
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

// moduleOf is the name under which the service loads a script, as its API says.
func (s *service) moduleOf(name string) string {
	s.t.Helper()
	p := s.get("/api/v1/scripts/"+name, "")
	m := regexp.MustCompile(`"module": *"([^"]+)"`).FindStringSubmatch(p.body)
	if m == nil {
		s.t.Fatalf("%s has no module: %d %s", name, p.code, p.body)
	}
	return m[1]
}

// installed installs the units by what "make install" calls, with settings for
// this guest.
func installed(t *testing.T, env ...string) *service {
	t.Helper()
	install := exec.Command("/in/project/packaging/install", "to")
	install.Env = append(os.Environ(), "BINARY=/in/stap-exporter", "PREFIX=/usr/local")
	if out, err := install.CombinedOutput(); err != nil {
		t.Fatalf("install: %v\n%s", err, out)
	}
	s := &service{&exporter{t: t, url: "http://localhost:9900"}, t}
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
	bpf := "// stap-exporter: runtime=bpf\nglobal n, ticks\nprobe timer.ms(50) { ticks[0]++ }\nprobe prometheus { n[0]++; @prometheus_dump_array1(n, \"seq\", \"name\"); @prometheus_dump_array1(ticks, \"ticks\", \"name\") }\n"
	if err := errors.Join(
		os.MkdirAll(dropIn, 0o755),
		os.WriteFile(dropIn+"/vm.conf", []byte(text), 0o644),
		os.WriteFile("/etc/stap-exporter/bpf.stp", []byte(bpf), 0o644),
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

// systemdService lives the life of the service under the real systemd,
// hardening and all, with a kernel module and a bpf program.
func systemdService(t *testing.T) {
	s := installed(t)
	s.options("--script.runtime=kernel --log.level=debug")
	begun := time.Now()
	s.systemctl("start", unit) // returns when the service has said that it is ready
	note(t, "start %s", seconds(time.Since(begun)))
	s.has("ActiveState", "active")
	s.has("StatusText", "serving 2 scripts")

	var module, object string
	runs := func() {
		t.Helper()
		body := s.metrics("/counting.stp").body
		module = s.moduleOf("counting.stp")
		if !countingText.MatchString(body) || !loaded(module) {
			t.Errorf("as a kernel module: %q, loaded: %v", body, loaded(module))
		}
		body = s.metrics("/bpf.stp").body
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

	// A reload is said and done by the time systemctl returns to say so.
	before := s.show("MainPID")
	s.systemctl("reload", unit)
	s.has("StatusText", "reloaded")
	if s.show("MainPID") != before {
		t.Error("the reload restarted it")
	}

	// Killed: its guardian removes what it left, and systemd starts it again.
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

	// By the socket: the first request starts it, and one that comes while it
	// restarts waits.
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
	for asked, done := 0, false; !done; asked++ {
		select {
		case err := <-restarted:
			if err != nil {
				t.Errorf("restart: %v", err)
			}
			note(t, "%d requests during a restart", asked)
			done = true
		default:
		}
		reply, err := http.Get(s.url + "/-/healthy")
		if err != nil && !strings.Contains(err.Error(), "EOF") && !strings.Contains(err.Error(), "reset by peer") {
			// one that was in flight
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
	var reply page
	eventually(s.t, "403 for the script of another user", func() bool {
		reply = s.get("/foreign.stp", "")
		return reply.code == http.StatusForbidden
	}, func() string { return fmt.Sprintf("%d %s", reply.code, reply.body) })
	if want := path + `" is owned by user 65534`; !strings.Contains(reply.body, want) {
		s.t.Errorf("got %q, want %s", reply.body, want)
	}
	if err := os.Remove(path); err != nil {
		s.t.Fatal(err)
	}
}

// ended checks the end of the service, and that nothing is left of it.
func (s *service) ended(module string) {
	s.t.Helper()
	for property, want := range map[string]string{"ActiveState": "inactive", "Result": "success", "ExecMainStatus": "0"} {
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
