package fileid

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
)

// Digest is a hash over a list of texts. It includes the length of each text,
// so that different lists have different sums. It belongs to one goroutine at a
// time.
type Digest struct{ hash hash.Hash }

// NewDigest returns the digest of an empty list.
func NewDigest() *Digest { return &Digest{hash: sha256.New()} }

// Add appends texts to the list.
func (d *Digest) Add(texts ...string) {
	for _, t := range texts {
		_, _ = fmt.Fprintf(d.hash, "%d:%s,", len(t), t)
	}
}

// Sum returns the SHA-256 of the list, in hex.
func (d *Digest) Sum() string { return hex.EncodeToString(d.hash.Sum(nil)) }
