// Package fileid identifies the contents of files: by their SHA-256, which a
// Hasher remembers as long as stat reports the same file, and by a Stamp, which
// is what stat reports. A Digest combines texts and hashes into one hash.
//
// The package starts no goroutine, owns no file, and its functions may be
// called from any goroutine. A Digest belongs to one goroutine at a time.
package fileid
