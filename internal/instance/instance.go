package instance

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Instance identifies one exporter on a host. Exporters that run as different
// users, serve different directories or listen on different addresses have
// different instances. A restarted exporter has the same instance as before.
type Instance struct {
	ID string // 8 hex digits
}

// New returns the instance of an exporter with the effective user id uid that
// serves the scripts in realDir (an absolute path without symlinks) and listens
// on the addresses in listen, in any order.
//
// ID is the beginning of the SHA-256 of uid, realDir and the sorted addresses,
// each as a netstring ("LENGTH:TEXT,"), so that no two lists are the same text.
func New(uid int, realDir string, listen []string) Instance {
	var b strings.Builder
	for _, field := range append([]string{strconv.Itoa(uid), realDir}, slices.Sorted(slices.Values(listen))...) {
		fmt.Fprintf(&b, "%d:%s,", len(field), field)
	}
	return Instance{ID: hash(b.String(), 8)}
}

const (
	modulePrefix = "stap_exporter_"
	// slugLen makes names of at most 14 + 8 + 1 + 18 + 1 + 12 = 54 characters,
	// the longest that stap -m does not cut.
	slugLen = 18
)

// Module returns the name of the kernel module, or bpf object, of the script
// called name:
//
//	stap_exporter_<instance ID>_<slug>_<first 12 hex digits of the SHA-256 of name>
//
// The slug is for people: name without ".stp", in lower case, with each run of
// characters other than a-z, 0-9 and _ replaced by one _, cut to 18 characters
// (it may be empty). The hash distinguishes a-b.stp, a_b.stp and A_b.stp, and
// names that differ only after the cut.
//
// The result is always the same for the same name, matches ^[a-z0-9_]+$ and has
// at most 54 characters. Observed with SystemTap 4.8: stap cuts longer names,
// so the path of the procfs file is not the expected one.
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
