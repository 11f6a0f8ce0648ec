package instance

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Instance tells one exporter on a host from another: two that run as different
// users, on different folders or on different addresses have different ones,
// and one that is started again has its old one.
type Instance struct {
	ID string // 8 hex digits
}

// NewInstance returns the instance of an exporter that runs with the effective
// user id uid, serves the scripts in realDir (an absolute path with all
// symlinks resolved) and listens on the addresses in listen, in any order.
//
// ID is the beginning of the SHA-256 of uid, realDir and the sorted addresses,
// each written as a netstring ("LENGTH:TEXT,"), so that no two lists read the
// same.
func New(uid int, realDir string, listen []string) Instance {
	var b strings.Builder
	for _, field := range append([]string{strconv.Itoa(uid), realDir}, slices.Sorted(slices.Values(listen))...) {
		fmt.Fprintf(&b, "%d:%s,", len(field), field)
	}
	return Instance{ID: hash(b.String(), 8)}
}

const (
	modulePrefix = "stap_exporter_"
	slugLen      = 18 // 14 + 8 + 1 + 18 + 1 + 12 = 54, the most that stap -m takes without cutting
)

// Module returns the name under which the script called name is loaded:
//
//	stap_exporter_<instance ID>_<slug>_<first 12 hex digits of the SHA-256 of name>
//
// The slug is there for people: name without ".stp", in lower case, each run of
// characters other than a-z, 0-9 and _ become one _, cut after 18 characters
// (it may be empty). The hash is what keeps apart a-b.stp, a_b.stp and A_b.stp,
// and names that differ late.
// The result is the same at every call, matches ^[a-z0-9_]+$ and has at most 54
// characters: stap cuts longer ones and then the path of the procfs file is
// another.
func (i Instance) Module(name string) string {
	return modulePrefix + i.ID + "_" + slug(name) + "_" + hash(name, 12)
}

func slug(name string) string {
	s := make([]byte, 0, slugLen)
	gap := false
	for _, c := range []byte(strings.TrimSuffix(name, ".stp")) {
		if len(s) == slugLen {
			break
		}
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		switch {
		case 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '_':
			s, gap = append(s, c), false
		case !gap:
			s, gap = append(s, '_'), true
		}
	}
	return string(s)
}

// hash returns the first digits hex digits of the SHA-256 of s.
func hash(s string, digits int) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])[:digits]
}
