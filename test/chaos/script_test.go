package chaos

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
)

// The scripts: the healthy ones are never touched, and a third as many
// misbehave. Pets are among those: they behave, and the run misbehaves with
// them.
const (
	healthyScripts = 150
	petScripts     = 14
	scriptsPerRole = 3 // of each bad role
)

// badRoles are roles of test/misbehave.
var badRoles = []string{
	"slow",
	"crash",
	"dies",
	"unready",
	"hang",
	"stubborn",
	"flood",
	"truncate",
	"empty",
	"huge",
	"exits",
	"leaks",
}

// chaosScript is a file of the script directory.
type chaosScript struct {
	name, role string
	version    int
	busy       sync.Mutex // held by the event that concerns it

	mu        sync.Mutex
	restarts  int             // expected
	processes map[string]bool // whose texts were received
	newest    seenText        // of the last of them
}

// behaves reports whether the script writes good texts only.
func (s *chaosScript) behaves() bool { return s.role == "pet" || s.role == "keeps" }

func newScript(role string, i int) *chaosScript {
	kind := ""
	if i%2 == 0 {
		kind = "-autostart"
	}
	return &chaosScript{
		name:      fmt.Sprintf("%s%s-%03d.stp", role, kind, i),
		role:      role,
		processes: map[string]bool{},
	}
}

// createScripts writes the files of all scripts. The bad ones behave until
// misbehave.
func (c *chaos) createScripts() {
	add := func(list *[]*chaosScript, role string, i int) {
		s := newScript(role, i)
		c.write(s)
		*list = append(*list, s)
	}
	for i := range healthyScripts {
		add(&c.healthy, "healthy", i)
	}
	for _, role := range badRoles {
		for i := range scriptsPerRole {
			add(&c.bad, role, i)
		}
	}
	for i := range petScripts {
		add(&c.bad, []string{"pet", "keeps"}[i/2%2], i)
	}
}

// misbehave gives the bad scripts, which behaved so far, their roles.
func (c *chaos) misbehave() {
	c.misbehaving = true
	for _, s := range c.bad {
		s.expectRestart()
		c.write(s)
	}
}

// write writes the next version of a script's file.
func (c *chaos) write(s *chaosScript) {
	s.version++
	role := s.role
	if role == "pet" || !c.misbehaving {
		role = "healthy"
	}
	c.replaceFile(s, fmt.Sprintf("#!%s %s\n# version %d\n", c.child, role, s.version), 0o755)
}

// replaceFile replaces a script's file in one step, as most editors do.
func (c *chaos) replaceFile(s *chaosScript, text string, mode os.FileMode) {
	path := filepath.Join(c.dir, s.name)
	if err := os.WriteFile(path+".new", []byte(text), mode); err != nil {
		c.fault("%v", err)
	}
	if err := os.Chmod(path+".new", mode); err != nil {
		c.fault("%v", err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		c.fault("%v", err)
	}
}

// seenText is the newest text of a script that a client received.
type seenText struct {
	process string // the label process
	number  int64
}

func (s *chaosScript) seen() seenText {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.newest
}

// expectRestart is called before something that may restart the script once.
func (s *chaosScript) expectRestart() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.restarts++
}

var goodProcess = regexp.MustCompile(`^chaos_reads_total\{process="(\d+)"\} (\S+)$`)

// readGoodText reads a text that test/misbehave wrote without a fault.
func readGoodText(body []byte) (text seenText, wrong string) {
	samples := 0
	for line := range strings.Lines(string(body)) {
		line = strings.TrimSuffix(line, "\n")
		if strings.HasPrefix(line, "#") {
			continue
		}
		if m := goodProcess.FindStringSubmatch(line); m != nil {
			text.process = m[1]
		}
		value, err := strconv.ParseFloat(line[strings.LastIndexByte(line, ' ')+1:], 64)
		switch n := int64(value); {
		case err != nil:
			return text, err.Error()
		case samples > 0 && n != text.number:
			return text, "text of two reads"
		default:
			text.number = n
		}
		samples++
	}
	if samples != 21 || text.process == "" {
		return text, fmt.Sprintf("%d samples, want 21", samples)
	}
	return text, ""
}

// checkText checks a reply 200 of a script that writes good texts: it is
// complete, newer than what clients had received before the request, and of
// another process only as often as a restart was expected.
func (c *chaos) checkText(s *chaosScript, r reply, before seenText) {
	text, wrong := readGoodText(r.body)
	if wrong != "" {
		c.fault("%s: %s: %.300q", s.name, wrong, r.body)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case text.process == before.process && text.number <= before.number:
		c.fault("%s: text %d, but text %d existed before the request", s.name, text.number, before.number)
	case text.process == s.newest.process:
		s.newest.number = max(s.newest.number, text.number)
	case s.processes[text.process]:
		// A reply of the process before, received after one of the next: with
		// two clients at once.
	case len(s.processes) > s.restarts:
		c.fault("%s: %d processes, and %d restarts expected", s.name, len(s.processes), s.restarts)
		s.processes[text.process] = true
	default:
		s.processes[text.process], s.newest = true, text
	}
}
