package chaos

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"stap-exporter/test/harness"
)

// events are what an operator and the machine do, about three a second in a
// long run.
func (c *chaos) events(stop <-chan struct{}, ended *sync.WaitGroup) {
	slow := c.slowdown()
	c.often("script event", slow*350*time.Millisecond, stop, ended, func(r *rand.Rand) {
		s := c.anyBad(r)
		if !s.busy.TryLock() {
			return
		}
		defer s.busy.Unlock()
		c.scriptEvent(r, s, stop)
	})
	c.often("reload", slow*3*time.Second, stop, ended, c.reload)
	c.often("guardian", slow*7*time.Second, stop, ended, func(*rand.Rand) {
		guardian := harness.GuardianOf(c.e.Cmd.Process.Pid)
		if guardian != 0 && syscall.Kill(guardian, syscall.SIGKILL) == nil {
			c.event("guardian killed")
		}
	})
}

func (c *chaos) reload(r *rand.Rand) {
	if r.IntN(2) == 0 {
		c.event("reload by SIGHUP")
		_ = c.e.Cmd.Process.Signal(syscall.SIGHUP)
		return
	}
	c.event("reload by POST")
	w := c.client()
	defer w.close()
	w.send(request{
		kind:   "reload",
		method: "POST",
		path:   "/-/reload",
		codes:  []int{200},
	})
}

// scriptEvent does one thing to a script, and undoes what must be undone.
func (c *chaos) scriptEvent(r *rand.Rand, s *chaosScript, stop <-chan struct{}) {
	w := c.client()
	defer w.close()
	post := func(action string) {
		c.event(action + " by POST")
		// 409: the event before has just corrected the file, and the exporter
		// has not read it yet.
		c.operate(w, s, action, 202, 409)
	}
	pause := func(limit int) { c.sleep(time.Duration(r.IntN(limit))*time.Millisecond, stop) }
	switch r.IntN(10) {
	case 0, 1:
		post("restart")
	case 2:
		post("start")
	case 3:
		post("stop")
		pause(3000)
		post("start")
	case 4:
		c.event("file edited")
		s.expectRestart()
		c.write(s)
	case 5:
		c.event("file removed and restored")
		s.expectRestart()
		if err := os.Remove(filepath.Join(c.dir, s.name)); err != nil {
			c.fault("%v", err)
		}
		pause(3000)
		s.expectRestart()
		c.write(s)
		c.waitUntilKnown(w, s)
	case 6: // a script that runs keeps its old version
		c.event("new version refused")
		s.expectRestart()
		if r.IntN(2) == 0 {
			c.replaceFile(s, "#!"+c.child+" healthy\n", 0o777)
		} else {
			c.replaceFile(s, "#!"+c.child+" healthy\n# stap-exporter: keepalive none of that\n", 0o755)
		}
		pause(3000)
		s.expectRestart()
		c.write(s)
	case 7:
		signals := []syscall.Signal{syscall.SIGKILL, syscall.SIGTERM, syscall.SIGQUIT, syscall.SIGHUP}
		if child := c.childOf(w, s); child != nil {
			c.signal(s, child, signals[r.IntN(len(signals))])
			child.close()
		}
	case 8, 9:
		if child := c.childOf(w, s); child != nil {
			c.signal(s, child, syscall.SIGSTOP)
			pause(6000)
			child.send(syscall.SIGCONT)
			child.close()
		}
	}
}

// waitUntilKnown waits until the exporter has found a script's restored file.
func (c *chaos) waitUntilKnown(w *client, s *chaosScript) {
	if !c.within(20*time.Second, func() bool {
		states, ok := c.states(w)
		_, known := states[s.name]
		return ok && known
	}) {
		c.fault("%s: its file was restored 20 s ago, and the exporter does not know it", s.name)
	}
}

func (c *chaos) sleep(d time.Duration, stop <-chan struct{}) {
	select {
	case <-stop:
	case <-time.After(d):
	}
}

// process is a process that is held by a descriptor, since its ID may become
// that of another process.
type process struct{ fd int }

func (p *process) send(s syscall.Signal) bool { return unix.PidfdSendSignal(p.fd, s, nil, 0) == nil }

func (p *process) close() { _ = unix.Close(p.fd) }

// childOf returns the child of a script, nil when it has none. The caller
// closes it.
func (c *chaos) childOf(w *client, s *chaosScript) *process {
	states, ok := c.states(w)
	osPID := states[s.name].OSPID
	if !ok || osPID == 0 {
		return nil
	}
	fd, err := unix.PidfdOpen(osPID, 0)
	if err != nil {
		return nil
	}
	p := &process{fd}
	environ, _ := os.ReadFile(fmt.Sprintf("/proc/%d/environ", osPID))
	if !bytes.Contains(environ, []byte("STAP_EXPORTER_RUN="+c.cache+"/")) {
		p.close()
		return nil
	}
	return p
}

func (c *chaos) signal(s *chaosScript, child *process, signal syscall.Signal) {
	s.expectRestart()
	if child.send(signal) {
		c.event("child sent " + unix.SignalName(signal))
	}
}

// scriptState is what the API has about a script.
type scriptState struct {
	Name  string
	State string
	OSPID int `json:"os_pid"`
}

func (c *chaos) states(w *client) (map[string]scriptState, bool) {
	r, ok := w.send(request{
		kind:  "status",
		path:  "/api/v1/scripts",
		quick: true,
		codes: []int{200},
	})
	var list struct{ Scripts []scriptState }
	if !ok || json.Unmarshal(r.body, &list) != nil {
		return nil, false
	}
	states := map[string]scriptState{}
	for _, s := range list.Scripts {
		states[s.Name] = s
	}
	return states, true
}
