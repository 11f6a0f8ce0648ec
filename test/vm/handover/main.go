// Command handover is the guest's make. Asked by stap to build a module whose
// script has a finished one in /in/ko, it hands that over under the name that
// stap wants; any other call, and every call when STAP_REAL_MAKE is set, goes
// to the real make.
//
// Called as load it is the interpreter of a script that needs neither stap nor
// a minute of its passes: "#!/in/load BASE" loads BASE's module as whatever
// "-m" says.
//
// A script BASE.stp, BASE-anything.stp or "BASE anything.stp" has the module
// /in/ko/BASE.ko. Each hand-over and each real build of a script's module is a
// line of /run/handover.log, so that scenarios can count compiles.
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
		if !errors.Is(err, errNotOurs) {
			fmt.Fprintf(os.Stderr, "handover: %v\n", err)
		}
		err = syscall.Exec(realMake, append([]string{"make"}, os.Args[1:]...), os.Environ())
		fmt.Fprintf(os.Stderr, "handover: exec %s: %v\n", realMake, err)
		os.Exit(127)
	}
}

// load returns only when it fails. args are BASE, the script's path, "-m" and
// the module's name.
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

// errNotOurs tells that this call of make builds no script's module.
var errNotOurs = errors.New("not a script's module")

func handOver(args []string) error {
	folder := ""
	for _, arg := range args {
		if dir, ok := strings.CutPrefix(arg, "M="); ok {
			folder = dir
		}
	}
	sources, _ := filepath.Glob(filepath.Join(folder, "*_src.c"))
	if folder == "" || len(sources) != 1 {
		return errNotOurs
	}
	source, err := os.ReadFile(sources[0])
	if err != nil {
		return fmt.Errorf("read source of the module: %w", err)
	}
	name := strings.TrimSuffix(filepath.Base(sources[0]), "_src.c")
	if os.Getenv("STAP_REAL_MAKE") != "" {
		record("make", name, "")
		return errNotOurs
	}
	base := baseOf(source)
	image, err := os.ReadFile(filepath.Join(modules, base+".ko"))
	if err != nil {
		record("make", name, base)
		return fmt.Errorf("no finished module: %w", err)
	}
	if err := rename(image, name); err != nil {
		return fmt.Errorf("rename module %s: %w", base, err)
	}
	record("handed", name, base)
	return os.WriteFile(filepath.Join(folder, name+".ko"), image, 0o644)
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

// record is for the scenarios; nothing depends on it here.
func record(what, module, base string) {
	f, err := os.OpenFile(logFile, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o666)
	if err != nil {
		return
	}
	fmt.Fprintf(f, "%s %s %s\n", what, module, base)
	f.Close()
}
