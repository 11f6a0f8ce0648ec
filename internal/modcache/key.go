package modcache

import (
	"fmt"
	"slices"
	"strings"

	"stap-exporter/internal/fileid"
	"stap-exporter/internal/toolchain"
)

// keyFormat is part of every key: entries of another format are found by
// nobody.
const keyFormat = "stap-exporter module 2"

// Key names the module that b would be compiled to now: same key, same
// module, but for the user programs that it probes (which only the compiled
// module tells, see programs.go). It holds
//   - script text, module name, all arguments of stap, stap's version,
//   - the .stp and .stpm files of the tapset folders (as stap itself lists
//     them, and those of -I) and all of the runtime's folder (-R, or as stap
//     says),
//   - stap's file of default options (~/.systemtap/rc),
//   - SYSTEMTAP_* and the other variables by which stap finds files,
//   - the compiler: gcc, and those beside it that the kernel's own makefiles
//     may name (gcc-12), by path, size and time,
//   - the kernel's release and version, its build tree's configuration and
//     symbol versions, and its debuginfo, the files by size and time.
//
// An error means that the module must not be cached; it says why.
func (c *Cache) Key(b toolchain.Build) (string, error) {
	about, err := c.versions.Read(c.fingerprint.Stap)
	if err != nil {
		return "", err
	}
	if o := uncacheable(b.Args); o != "" {
		return "", fmt.Errorf("option %s takes in what no key holds", o)
	}
	d := fileid.NewDigest()
	d.Add(keyFormat, c.fingerprint.Release, c.fingerprint.Version, about.Version, b.Module)
	d.Add(b.Args...)
	text, err := c.hasher.File(b.Script)
	if err != nil {
		return "", fmt.Errorf("hash script: %w", err)
	}
	d.Add(b.Script, text) // the path is in the module's messages
	tapsets := slices.Concat(about.Tapsets, optionValues(b.Args, "-I"))
	for _, dir := range tapsets {
		d.Add("tapset", dir)
		if err := c.hasher.Dir(d, dir, ".stp", ".stpm"); err != nil {
			return "", err
		}
	}
	runtime := about.Runtime
	if given := optionValues(b.Args, "-R"); len(given) > 0 {
		runtime = given[len(given)-1]
	}
	d.Add("runtime", runtime)
	if err := c.hasher.Dir(d, runtime); err != nil {
		return "", err
	}
	rc, _ := c.hasher.File(about.RC) // mostly there is none
	d.Add("rc", rc)
	d.Add(toolchain.Variables()...)
	for _, path := range slices.Concat(toolchain.Compilers(), toolchain.KernelFiles(c.fingerprint.LibModules, c.fingerprint.Release)) {
		d.Add(path, fileid.SizeAndTime(path))
	}
	return d.Sum(), nil
}

// uncacheable names an option that brings in files from places that moduleKey
// does not look at: another build tree, another root.
func uncacheable(args []string) string {
	for _, a := range args {
		if a == "-r" || a == "-a" || strings.HasPrefix(a, "--sysroot") || strings.HasPrefix(a, "--sysenv") ||
			strings.HasPrefix(a, "--use-server") ||
			strings.HasPrefix(a, "--use-http-server") {
			return a
		}
	}
	return ""
}

// optionValues are the values of a one-letter option. In this package's command
// lines each option and each value is a word of its own. (A value that looks
// like the option gives one folder too many, which does no harm.)
func optionValues(args []string, option string) (values []string) {
	for i, a := range args {
		if a == option && i+1 < len(args) {
			values = append(values, args[i+1])
		}
	}
	return values
}
