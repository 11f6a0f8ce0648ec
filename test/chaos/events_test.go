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
	slow := c.slower()
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
		if guardian := harness.GuardianOf(
			c.e.Cmd.Process.Pid,
		); guardian != 0 &&
			syscall.Kill(guardian, syscall.SIGKILL) == nil {
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
	w.ask(question{kind: "reload", method: "POST", path: "/-/reload", known: []int{200}})
}

// scriptEvent does one thing to a script and puts right what must be.
func (c *chaos) scriptEvent(r *rand.Rand, s *chaosScript, stop <-chan struct{}) {
	w := c.client()
	defer w.close()
	post := func(action string) {
		s.touch()
		c.event(action + " by POST")
		// 409: an event before has just put the file right, and the exporter
		// has not looked yet.
		w.ask(question{
			kind:   "operator",
			method: "POST",
			path:   "/api/v1/scripts/" + s.name + "/" + action,
			known:  []int{202, 409},
		})
	}
	path := filepath.Join(c.dir, s.name)
	switch r.IntN(10) {
	case 0, 1:
		post("restart")
	case 2:
		post("start")
	case 3:
		post("stop")
		c.sleep(time.Duration(r.IntN(3000))*time.Millisecond, stop)
		post("start")
	case 4:
		c.event("file edited")
		s.touch()
		c.write(s)
	case 5:
		c.event("file removed and returned")
		s.touch()
		if err := os.Remove(path); err != nil {
			c.fault("%v", err)
		}
		c.sleep(time.Duration(r.IntN(3000))*time.Millisecond, stop)
		s.touch()
		c.write(s)
		c.comesTo(w, s)
	case 6: // while the script runs, its old version runs on
		c.event("new version refused")
		s.touch()
		if r.IntN(2) == 0 {
			c.place(s, "#!"+c.child+" healthy\n", 0o777)
		} else {
			c.place(s, "#!"+c.child+" healthy\n# stap-exporter: keepalive none of that\n", 0o755)
		}
		c.sleep(time.Duration(r.IntN(3000))*time.Millisecond, stop)
		s.touch()
		c.write(s)
	case 7:
		c.signalChild(
			w,
			s,
			[]syscall.Signal{syscall.SIGKILL, syscall.SIGTERM, syscall.SIGQUIT, syscall.SIGHUP}[r.IntN(4)],
		)
	case 8, 9:
		thaw := c.signalChild(w, s, syscall.SIGSTOP)
		c.sleep(time.Duration(r.IntN(6000))*time.Millisecond, stop)
		thaw()
	}
}

// comesTo waits until the exporter knows the script that came back.
func (c *chaos) comesTo(w *client, s *chaosScript) {
	if !c.within(20*time.Second, func() bool {
		states, ok := c.states(w)
		_, there := states[s.name]
		return ok && there
	}) {
		c.fault("%s: its file is back for 20 s, and nobody noticed", s.name)
	}
}

func (c *chaos) sleep(d time.Duration, stop <-chan struct{}) {
	select {
	case <-stop:
	case <-time.After(d):
	}
}

// signalChild signals a script's child, if it has one; thaw sends it CONT, if
// it is still there.
func (c *chaos) signalChild(w *client, s *chaosScript, signal syscall.Signal) (thaw func()) {
	thaw = func() {}
	states, ok := c.states(w)
	osPID := states[s.name].OSPID
	if !ok || osPID == 0 {
		return thaw
	}
	// By a descriptor, and only when it is surely ours: the number may be
	// somebody else's by now.
	fd, err := unix.PidfdOpen(osPID, 0)
	if err != nil {
		return thaw
	}
	environ, _ := os.ReadFile(fmt.Sprintf("/proc/%d/environ", osPID))
	if !bytes.Contains(environ, []byte("STAP_EXPORTER_RUN="+c.cache+"/")) {
		_ = unix.Close(fd)
		return thaw
	}
	s.touch()
	if unix.PidfdSendSignal(fd, signal, nil, 0) == nil {
		c.event("child sent " + unix.SignalName(signal))
	}
	return func() {
		_ = unix.PidfdSendSignal(fd, unix.SIGCONT, nil, 0)
		_ = unix.Close(fd)
	}
}

// scriptState is what the API says of a script.
type scriptState struct {
	Name  string
	State string
	OSPID int `json:"os_pid"`
}

func (c *chaos) states(w *client) (map[string]scriptState, bool) {
	r, ok := w.ask(question{
		kind:  "status",
		path:  "/api/v1/scripts",
		quick: true,
		known: []int{200},
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
