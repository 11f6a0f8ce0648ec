// Package modcache keeps compiled kernel modules, so that a later run, also of
// another exporter process, loads a module without compiling it again. It keeps
// no bpf objects: they hold addresses inside executables, too, and nothing
// checks those addresses when the object is loaded.
//
// An entry is KEY.ko, the module, and KEY.json, its manifest. The key (key.go)
// covers everything a module is compiled from, except for the user programs
// that it probes. Those are known only after the compile (executables.go); the
// manifest lists them, and Get checks each one.
//
// The directory belongs to this process's user. Any number of exporters of that
// user may share it: writers hold a lock file (lock.go), and readers accept an
// entry only if it has the size and hash in its manifest. A cached file is
// never given away: Get copies it into a file of the caller.
//
// The package starts no goroutine, except that proc.Output uses one while it
// runs stap --version. A Cache may be used from any goroutine.
package modcache
