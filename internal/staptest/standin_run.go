package staptest

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// module acts as a running script of the kernel-module runtime: it adds itself
// to the list of modules, makes its procfs file, and removes both at TERM.
func (s *standin) module(module string) int {
	s.editModules(func(lines []string) []string { return append(lines, module+" 16384 0 - Live 0x0") })
	s.log("inserted")
	if s.is("load-hangs") || s.is("load-waits") && !s.waitFor("go") {
		if s.is("load-hangs") {
			<-s.term
		}
		return 1 // the module stays loaded, as with stap
	}
	dir := filepath.Join(s.dir, "kernel", module)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		panic(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "__prometheus"), []byte("up 1\n"), 0o400); err != nil {
		panic(err)
	}
	<-s.term
	_ = os.RemoveAll(dir)
	s.editModules(func(lines []string) []string {
		return slices.DeleteFunc(lines, func(l string) bool { return strings.HasPrefix(l, module+" ") })
	})
	return 0
}

// stapbpf acts as a running script of the bpf runtime: it makes its FIFO, and
// removes it at TERM.
func (s *standin) stapbpf(module string) int {
	if _, err := os.Stat(module + ".bo"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if s.is("no-file") {
		<-s.term
		return 0
	}
	if taken := "probe taken"; s.is("probe-taken") || s.is("probe-taken-once") && !logHas(s.dir, taken) {
		s.log(taken)
		fmt.Fprintln(os.Stderr, "Error creating probe 0: File exists")
		return 1
	}
	dir := filepath.Join(s.dir, "fifo", module)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		panic(err)
	}
	fifo := filepath.Join(dir, "__prometheus")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		_ = os.Remove(fifo)
		fmt.Fprintln(os.Stderr, "mkfifo: File exists")
		return 1
	}
	<-s.term
	_ = os.RemoveAll(dir)
	return 0
}

// staprun unloads a module, or loads one and acts as the running script.
func (s *standin) staprun(args []string) int {
	if args[0] != "-d" {
		ko := args[slices.IndexFunc(args, func(a string) bool { return strings.HasSuffix(a, ".ko") })]
		if !s.fits(ko) {
			s.log("misfit")
			fmt.Fprintf(os.Stderr, "ERROR: Couldn't insert module '%s': Invalid module format\n", ko)
			return 1
		}
		if strings.Contains(ko, "_probe_") {
			return 0 // the capability probe ends by itself
		}
		return s.module(strings.TrimSuffix(ko, ".ko"))
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

// fits reports whether the module in a file was compiled for the running
// kernel.
func (s *standin) fits(path string) bool {
	module, _ := os.ReadFile(path)
	running, _ := os.ReadFile(filepath.Join(s.dir, "running"))
	return strings.HasPrefix(string(module), fmt.Sprintf("module for %q\x00", running)) &&
		strings.HasSuffix(string(module), "\x00end")
}

// editModules replaces the list of modules by what edit makes of its lines. A
// lock serializes it with other stand-ins.
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

// waitFor waits until a file exists. It returns false when TERM comes first.
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
		pause()
	}
}
