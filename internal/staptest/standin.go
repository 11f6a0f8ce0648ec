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

// Main makes the test binary a stand-in when it was called as one, and does not
// return then. TestMain calls it first.
func Main() {
	if len(os.Args) > 0 && os.Getenv("STANDIN_DIR") != "" &&
		filepath.Base(os.Args[0]) != filepath.Base(Executable()) {
		os.Exit(standIn(filepath.Base(os.Args[0]), os.Args[1:]))
	}
}

// standIn is SystemTap for tests: stap, stapbpf, staprun, an executable script,
// and their grandchildren. It works inside STANDIN_DIR (kernel/, fifo/,
// modules, log), and STANDIN_MODE, words separated by blanks, makes it
// misbehave: all of them, or with "MODULE:" before the word those that are
// about MODULE.
func standIn(name string, args []string) int {
	s := &standin{
		dir:  os.Getenv("STANDIN_DIR"),
		mode: strings.Fields(os.Getenv("STANDIN_MODE")),
		term: make(chan os.Signal, 1),
	}
	for i, word := range s.mode {
		if module, mode, ok := strings.Cut(
			word,
			":",
		); ok &&
			slices.ContainsFunc(
				args,
				func(a string) bool { return a == module || a == module+".bo" || a == module+".ko" },
			) {
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

type standin struct {
	dir  string
	mode []string
	term chan os.Signal
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

// grandchild starts a process that stays until TERM, or KILL, in the group or
// in a session of its own.
func (s *standin) grandchild(name string, escape bool) {
	cmd := exec.Command(Executable())
	cmd.Args = []string{name}
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: escape}
	if err := cmd.Start(); err != nil {
		panic(err)
	}
	for !LogHas(s.dir, name+" up") { // so that it is there when this process ends
		Pause()
	}
}

// LogHas reports whether a stand-in that works in dir has logged line.
func LogHas(dir, line string) bool {
	text, _ := os.ReadFile(filepath.Join(dir, "log"))
	return slices.Contains(strings.Split(string(text), "\n"), line)
}

func (s *standin) stap(args []string) int {
	if args[0] == "--version" {
		fmt.Fprintln(os.Stderr, "Systemtap stand-in (version 1)")
		return 0
	}
	if args[0] == "--help" {
		fmt.Printf(
			"Options (in %[1]s/rc and on command line):\n   -I DIR     look in DIR, in addition to\n              %[1]s/tapset\n   -R DIR     look in DIR for runtime, instead of\n              %[1]s/runtime\n",
			s.dir,
		)
		return 0
	}
	module := args[slices.Index(args, "-m")+1]
	fmt.Fprintln(
		os.Stderr,
		"Pass 1: parsed user script and 69 library scripts in 0ms.\nPass 2: analyzed script: 2 probes in 0ms.",
	)
	if s.is("compile-hangs") {
		s.log("compiling")
		<-s.term
		return 1
	}
	if s.is("compile-waits") {
		s.log(fmt.Sprintf("compiling %s %d", module, os.Getpid()))
		if !s.waitFor("go-" + module) {
			return 1
		}
	}
	if s.is("compile-fails") {
		fmt.Fprintln(os.Stderr, "error: the stand-in does not compile")
		return 1
	}
	if slices.Contains(args, "-p2") {
		return 0
	}
	if slices.Contains(args, "-p4") {
		for _, ext := range []string{".bo", ".ko"} {
			if err := os.WriteFile(module+ext, s.object(args[len(args)-1]), 0o600); err != nil {
				panic(err)
			}
		}
		return 0
	}
	fmt.Fprintln(os.Stderr, "Pass 3: translated to C.\nPass 4: compiled C into \"x.ko\" in 0ms.\nPass 5: starting run.")
	return s.module(module)
}

// module behaves as a script of the kernel-module runtime: it is in the list of
// modules, then its file is there; TERM takes both away.
func (s *standin) module(module string) int {
	s.editModules(func(lines []string) []string { return append(lines, module+" 16384 0 - Live 0x0") })
	s.log("inserted")
	if s.is("load-hangs") || s.is("load-waits") && !s.waitFor("go") {
		if s.is("load-hangs") {
			<-s.term
		}
		return 1 // as stap does, it leaves the module loaded
	}
	folder := filepath.Join(s.dir, "kernel", module)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		panic(err)
	}
	if err := os.WriteFile(filepath.Join(folder, "__prometheus"), []byte("up 1\n"), 0o400); err != nil {
		panic(err)
	}
	<-s.term
	_ = os.RemoveAll(folder)
	s.editModules(func(lines []string) []string {
		return slices.DeleteFunc(lines, func(l string) bool { return strings.HasPrefix(l, module+" ") })
	})
	return 0
}

// object is a module for the kernel in the file "running", with the strings of
// the script, or as much of it as a test needs.
func (s *standin) object(path string) []byte {
	text, _ := os.ReadFile(path) // none with -e
	running, _ := os.ReadFile(filepath.Join(s.dir, "running"))
	return fmt.Appendf(nil, "module for %q\x00%s\x00end", running, text[:min(len(text), 4096)])
}

// fits tells whether the kernel takes the module in a file.
func (s *standin) fits(path string) bool {
	module, _ := os.ReadFile(path)
	running, _ := os.ReadFile(filepath.Join(s.dir, "running"))
	return strings.HasPrefix(string(module), fmt.Sprintf("module for %q\x00", running)) &&
		strings.HasSuffix(string(module), "\x00end")
}

// waitFor waits for a file, and tells whether no TERM came before.
func (s *standin) waitFor(name string) bool {
	for {
		select {
		case <-s.term:
			return false
		default:
		}
		if _, err := os.Stat(filepath.Join(s.dir, name)); err == nil {
			return true
		}
		Pause()
	}
}

func (s *standin) stapbpf(module string) int {
	if _, err := os.Stat(module + ".bo"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if s.is("no-file") {
		<-s.term
		return 0
	}
	if taken := "probe taken"; s.is("probe-taken") || s.is("probe-taken-once") && !LogHas(s.dir, taken) {
		s.log(taken)
		fmt.Fprintln(os.Stderr, "Error creating probe 0: File exists")
		return 1
	}
	folder := filepath.Join(s.dir, "fifo", module)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		panic(err)
	}
	fifo := filepath.Join(folder, "__prometheus")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		_ = os.Remove(fifo)
		fmt.Fprintln(os.Stderr, "mkfifo: File exists")
		return 1
	}
	if s.is("dies") {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	}
	<-s.term
	_ = os.RemoveAll(folder)
	return 0
}

func (s *standin) staprun(args []string) int {
	if args[0] != "-d" {
		ko := args[slices.IndexFunc(args, func(a string) bool { return strings.HasSuffix(a, ".ko") })]
		if !s.fits(ko) {
			s.log("misfit")
			fmt.Fprintf(os.Stderr, "ERROR: Couldn't insert module '%s': Invalid module format\n", ko)
			return 1
		}
		if strings.Contains(ko, "_probe_") {
			return 0 // it ends by itself
		}
		return s.module(strings.TrimSuffix(ko, ".ko"))
	}
	if s.is("unload-hangs") {
		signal.Ignore(syscall.SIGTERM)
		select {}
	}
	if s.is("module-stuck") {
		fmt.Fprintln(os.Stderr, "ERROR: Module is in use.")
		return 234
	}
	s.editModules(func(lines []string) []string {
		return slices.DeleteFunc(lines, func(l string) bool { return strings.HasPrefix(l, args[1]+" ") })
	})
	return 0
}

func (s *standin) editModules(edit func([]string) []string) {
	path := filepath.Join(s.dir, "modules")
	lock, err := os.OpenFile(path+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		panic(err)
	}
	defer func() { _ = lock.Close() }()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		panic(err)
	}
	text, _ := os.ReadFile(path)
	lines := edit(strings.Split(strings.TrimSuffix(string(text), "\n"), "\n"))
	if err := os.WriteFile(path+".new", []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		panic(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		panic(err)
	}
}
