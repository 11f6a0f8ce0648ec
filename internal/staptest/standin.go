package staptest

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// standin is one process of the stand-in.
type standin struct {
	dir  string         // STANDIN_DIR
	mode []string       // words of STANDIN_MODE
	term chan os.Signal // receives TERM
}

// Main acts as a stand-in, and does not return, when the test binary was called
// by a stand-in's name. TestMain must call it first.
func Main() {
	if len(os.Args) > 0 && os.Getenv("STANDIN_DIR") != "" &&
		filepath.Base(os.Args[0]) != filepath.Base(Executable()) {
		os.Exit(standIn(filepath.Base(os.Args[0]), os.Args[1:]))
	}
}

// standIn acts as an executable of SystemTap: stap, stapbpf, staprun, an
// executable script, or one of their grandchildren. It works in STANDIN_DIR
// (see Dir) and returns the exit code.
//
// STANDIN_MODE contains words, separated by blanks, that each select a fault.
// "MODULE:" before a word limits it to calls for that module.
//   - NAME-ignores-term, NAME-floods, NAME-fails, NAME-leaves-grandchild,
//     NAME-leaves-escapee (a grandchild in a session of its own): of any
//     executable
//   - compile-hangs, compile-waits (until the file go-MODULE exists),
//     compile-fails: of stap
//   - load-hangs, load-waits (until the file go exists): of a kernel module
//   - no-file, probe-taken, probe-taken-once: of stapbpf
//   - module-stuck: of staprun -d
func standIn(name string, args []string) int {
	s := &standin{
		dir:  os.Getenv("STANDIN_DIR"),
		mode: strings.Fields(os.Getenv("STANDIN_MODE")),
		term: make(chan os.Signal, 1),
	}
	for i, word := range s.mode {
		if module, mode, ok := strings.Cut(word, ":"); ok && names(args, module) {
			s.mode[i] = mode
		}
	}
	s.log(name + " " + strings.Join(args, " "))
	signal.Notify(s.term, syscall.SIGTERM)
	if s.is(name + "-ignores-term") {
		signal.Ignore(syscall.SIGTERM)
	}
	if s.is(name + "-floods") {
		go func() {
			for {
				fmt.Println(strings.Repeat("x", 1000))
			}
		}()
	}
	if s.is(name + "-leaves-grandchild") {
		s.grandchild("grandchild", false)
	}
	if s.is(name + "-leaves-escapee") {
		s.grandchild("escapee", true)
	}
	if s.is(name + "-fails") {
		fmt.Fprintln(os.Stderr, "semantic error: the stand-in fails\nPass 2: analysis failed.  [man error::pass2]")
		return 1
	}
	switch name {
	case "stap":
		return s.stap(args)
	case "stapbpf":
		return s.stapbpf(strings.TrimSuffix(args[0], ".bo"))
	case "staprun":
		return s.staprun(args)
	case "grandchild", "escapee":
		s.log(name + " up")
		<-s.term
		return 0
	default: // an executable script
		return s.module(args[1])
	}
}

// names reports whether one of args is the module or its file.
func names(args []string, module string) bool {
	return slices.ContainsFunc(args, func(a string) bool {
		return a == module || a == module+".bo" || a == module+".ko"
	})
}

func (s *standin) is(mode string) bool { return slices.Contains(s.mode, mode) }

func (s *standin) log(line string) {
	f, err := os.OpenFile(filepath.Join(s.dir, "log"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		panic(err)
	}
	_, _ = f.WriteString(line + "\n")
	_ = f.Close()
}

// logHas reports whether the log in dir contains the line.
func logHas(dir, line string) bool {
	text, _ := os.ReadFile(filepath.Join(dir, "log"))
	return slices.Contains(strings.Split(string(text), "\n"), line)
}

// grandchild starts a process that runs until TERM or KILL, in this process's
// group or, if escape is true, in a session of its own. It returns when the
// process is up.
func (s *standin) grandchild(name string, escape bool) {
	cmd := exec.Command(Executable())
	cmd.Args = []string{name}
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: escape}
	if err := cmd.Start(); err != nil {
		panic(err)
	}
	for !logHas(s.dir, name+" up") {
		pause()
	}
}
