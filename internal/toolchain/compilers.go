package toolchain

import (
	"os/exec"
	"path/filepath"
)

// Compilers are the paths of gcc and of its versions beside it: a kernel's
// makefile may name the one that it was built with, as Debian's do.
func Compilers() []string {
	gcc, err := exec.LookPath("gcc")
	if err != nil {
		return nil
	}
	all, _ := filepath.Glob(gcc + "-[0-9]*")
	return append([]string{gcc}, all...)
}
