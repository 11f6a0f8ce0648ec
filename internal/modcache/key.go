package modcache

import (
	"fmt"
	"slices"
	"strings"

	"stap-exporter/internal/fileid"
	"stap-exporter/internal/toolchain"
)

// Fingerprint is what the key of every module on this machine covers.
type Fingerprint struct {
	Release    string // of the kernel, uname -r
	Version    string // of the kernel, uname -v
	LibModules string // /lib/modules
	Stap       string // path of stap
}

// keyFormat is part of every key, so that entries in another format are never
// found.
const keyFormat = "stap-exporter module 3"

// Key returns the key of the module that b would be compiled to now: equal keys
// mean equal modules, except for the executables that the module probes, which
// are known only after the compile (see executablesOf). The key covers
//   - the script's text and path, the module's name, all arguments of stap,
//     stap's version,
//   - the .stp and .stpm files of the tapset directories (those in stap --help,
//     and those of -I), and all files of the runtime directory (-R, or that in
//     stap --help),
//   - stap's file of default options (~/.systemtap/rc),
//   - SYSTEMTAP_* and the other environment variables by which stap finds
//     files,
//   - the compiler: gcc, and those beside it that the kernel's makefiles may
//     name (gcc-12), by path, size and time,
//   - the kernel's release and version, the configuration and symbol versions
//     of its build tree, and its debuginfo, the files by size and time.
//
// An error says why the module must not be cached.
func (c *Cache) Key(b toolchain.Build) (string, error) {
	stap, err := c.versions.Read(c.fingerprint.Stap)
	if err != nil {
		return "", err
	}
	if o := uncacheable(b.Args); o != "" {
		return "", fmt.Errorf("option %s makes stap read files that a key does not cover", o)
	}
	d := fileid.NewDigest()
	d.Add(keyFormat, c.fingerprint.Release, c.fingerprint.Version, stap.Version, b.Module)
	d.Add(b.Args...)
	text, err := c.hasher.File(b.Script)
	if err != nil {
		return "", fmt.Errorf("hash script: %w", err)
	}
	d.Add(b.Script, text) // the module's messages contain the path
	tapsets := slices.Concat(stap.Tapsets, optionValues(b.Args, "-I"))
	for _, dir := range tapsets {
		d.Add("tapset", dir)
		if err := c.hasher.Dir(d, dir, ".stp", ".stpm"); err != nil {
			return "", err
		}
	}
	runtime := stap.Runtime
	if given := optionValues(b.Args, "-R"); len(given) > 0 {
		runtime = given[len(given)-1]
	}
	d.Add("runtime", runtime)
	if err := c.hasher.Dir(d, runtime); err != nil {
		return "", err
	}
	rc, _ := c.hasher.File(stap.RC) // usually does not exist
	d.Add("rc", rc)
	d.Add(toolchain.Variables()...)
	kernel := toolchain.KernelFiles(c.fingerprint.LibModules, c.fingerprint.Release)
	for _, path := range slices.Concat(toolchain.Compilers(), kernel) {
		d.Add(path, fileid.SizeAndTime(path))
	}
	return d.Sum(), nil
}

// uncacheable returns the first argument that makes stap read files that a key
// does not cover: another build tree, another root, a compile server.
func uncacheable(args []string) string {
	for _, a := range args {
		if a == "-r" || a == "-a" || strings.HasPrefix(a, "--sysroot") || strings.HasPrefix(a, "--sysenv") ||
			strings.HasPrefix(a, "--use-server") || strings.HasPrefix(a, "--use-http-server") {
			return a
		}
	}
	return ""
}

// optionValues returns the values of a one-letter option in a command line of
// package toolchain, where each option and each value is an argument of its
// own. (A value that looks like the option adds a directory too many, which
// does no harm.)
func optionValues(args []string, option string) (values []string) {
	for i, a := range args {
		if a == option && i+1 < len(args) {
			values = append(values, args[i+1])
		}
	}
	return values
}
