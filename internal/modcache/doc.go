// Package modcache keeps compiled kernel modules, so that a module is compiled
// once. The key of a module holds all that it is made of; its manifest holds
// the user executables whose addresses are in it, which must be the same when
// it is loaded.
//
// It owns one directory, which several exporters of one user may share, and its
// lock. A file that the cache returns was compiled by this user from what its
// key says, and is complete. It starts no goroutine but those of proc.Output,
// and its methods may be called from any goroutine.
package modcache
