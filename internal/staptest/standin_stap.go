package staptest

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// stap prints its version or its help. Otherwise it compiles a module, and then
// acts as the running script unless an option ends it at an earlier pass.
func (s *standin) stap(args []string) int {
	if args[0] == "--version" {
		fmt.Fprintln(os.Stderr, "Systemtap stand-in (version 1)")
		return 0
	}
	if args[0] == "--help" {
		fmt.Printf("Options (in %s/rc and on command line):\n", s.dir)
		fmt.Printf("   -I DIR     look in DIR, in addition to\n              %s/tapset\n", s.dir)
		fmt.Printf("   -R DIR     look in DIR for runtime, instead of\n              %s/runtime\n", s.dir)
		return 0
	}
	module := args[slices.Index(args, "-m")+1]
	fmt.Fprint(os.Stderr,
		"Pass 1: parsed user script and 69 library scripts in 0ms.\n",
		"Pass 2: analyzed script: 2 probes in 0ms.\n",
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
	fmt.Fprint(os.Stderr,
		"Pass 3: translated to C.\n",
		"Pass 4: compiled C into \"x.ko\" in 0ms.\n",
		"Pass 5: starting run.\n",
	)
	return s.module(module)
}

// object returns a compiled module for the kernel that the file "running"
// names. It contains the beginning of the script, for the strings in it.
func (s *standin) object(path string) []byte {
	text, _ := os.ReadFile(path) // there is no file with -e
	running, _ := os.ReadFile(filepath.Join(s.dir, "running"))
	return fmt.Appendf(nil, "module for %q\x00%s\x00end", running, text[:min(len(text), 4096)])
}
