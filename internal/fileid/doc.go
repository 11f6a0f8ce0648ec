// Package fileid identifies the contents of files: by SHA-256, which a Hasher
// remembers as long as stat reports the same file, and by a Stamp, what stat
// reports. It starts no goroutine, and its functions may be called from any.
package fileid
