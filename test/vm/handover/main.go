// Command handover is the guest's make. When stap calls it to build the module
// of a script for which there is a compiled one in /in/ko, it copies that under
// the name that stap wants. All other calls, and every call when STAP_REAL_MAKE
// is set, go to the real make.
//
// Called as load it is the interpreter of a script that needs neither stap nor
// the time of its passes: "#!/in/load BASE" loads the module of BASE under the
// name that "-m" gives.
//
// A script BASE.stp, BASE-anything.stp or "BASE anything.stp" has the module
// /in/ko/BASE.ko. Each copy and each real build of a script's module is a line
// of /run/handover.log, so that scenarios can count compiles.
package main

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
)

const (
	realMake = "/usr/bin/make.real"
	modules  = "/in/ko"
	logFile  = "/run/handover.log"
)

func main() {
	if filepath.Base(os.Args[0]) == "load" {
		fmt.Fprintf(os.Stderr, "handover: %v\n", load(os.Args[1:]))
		os.Exit(1)
	}
	if err := handOver(os.Args[1:]); err != nil {
		if !errors.Is(err, errOtherBuild) {
			fmt.Fprintf(os.Stderr, "handover: %v\n", err)
		}
		err = syscall.Exec(realMake, append([]string{"make"}, os.Args[1:]...), os.Environ())
		fmt.Fprintf(os.Stderr, "handover: exec %s: %v\n", realMake, err)
		os.Exit(127)
	}
}

// load returns on an error only. args are BASE, the script's path, "-m" and the
// module's name.
func load(args []string) error {
	if len(args) != 4 || args[2] != "-m" {
		return fmt.Errorf("load %q: want BASE SCRIPT -m MODULE", args)
	}
	image, err := os.ReadFile(filepath.Join(modules, args[0]+".ko"))
	if err != nil {
		return err
	}
	if err := rename(image, args[3]); err != nil {
		return err
	}
	file := filepath.Join(os.Getenv("TMPDIR"), args[3]+".ko")
	if err := os.WriteFile(file, image, 0o600); err != nil {
		return err
	}
	return syscall.Exec("/usr/bin/staprun", []string{"staprun", file}, os.Environ())
}

// errOtherBuild reports that this call of make does not build a script's
// module.
var errOtherBuild = errors.New("not a script's module")

func handOver(args []string) error {
	dir := ""
	for _, arg := range args {
		if value, ok := strings.CutPrefix(arg, "M="); ok {
			dir = value
		}
	}
	sources, _ := filepath.Glob(filepath.Join(dir, "*_src.c"))
	if dir == "" || len(sources) != 1 {
		return errOtherBuild
	}
	source, err := os.ReadFile(sources[0])
	if err != nil {
		return fmt.Errorf("read source of the module: %w", err)
	}
	name := strings.TrimSuffix(filepath.Base(sources[0]), "_src.c")
	if os.Getenv("STAP_REAL_MAKE") != "" {
		record("make", name, "")
		return errOtherBuild
	}
	base := baseOf(source)
	image, err := os.ReadFile(filepath.Join(modules, base+".ko"))
	if err != nil {
		record("make", name, base)
		return fmt.Errorf("no compiled module: %w", err)
	}
	if err := rename(image, name); err != nil {
		return fmt.Errorf("rename module %s: %w", base, err)
	}
	record("handed", name, base)
	return os.WriteFile(filepath.Join(dir, name+".ko"), image, 0o644)
}

// scriptName finds the script's file name in what stap's translator writes
// (translate.cxx, emit_module_init).
var scriptName = regexp.MustCompile(`_stp_print_kernel_info\("([^"]*)"`)

// baseOf returns the part of the script's name that its module is called by;
// "input" for a script from the command line ("<input>").
func baseOf(source []byte) string {
	m := scriptName.FindSubmatch(source)
	if m == nil {
		return ""
	}
	name := strings.Trim(filepath.Base(string(m[1])), "<>.")
	if i := strings.IndexAny(name, "-. "); i >= 0 {
		name = name[:i]
	}
	return name
}

// Where struct module of 64-bit kernels has its name: after the state and the
// list.
const (
	nameOffset = 24
	nameSize   = 56
)

// rename writes the name into the image of a module, where the kernel reads it:
// .gnu.linkonce.this_module holds its struct module.
func rename(image []byte, name string) error {
	file, err := elf.NewFile(bytes.NewReader(image))
	if err != nil {
		return err
	}
	section := file.Section(".gnu.linkonce.this_module")
	if section == nil || section.Size < nameOffset+nameSize {
		return errors.New("not a kernel module")
	}
	if len(name) >= nameSize {
		return fmt.Errorf("name %q is too long", name)
	}
	field := image[section.Offset+nameOffset:][:nameSize]
	clear(field)
	copy(field, name)
	return nil
}

// record logs a build for the scenarios. Its errors do not matter.
func record(what, module, base string) {
	f, err := os.OpenFile(logFile, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o666)
	if err != nil {
		return
	}
	fmt.Fprintf(f, "%s %s %s\n", what, module, base)
	f.Close()
}
