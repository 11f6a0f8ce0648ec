package toolchain

import (
	"slices"
	"testing"
)

func TestEnvironment(t *testing.T) {
	base := []string{"PATH=/bin", "LC_ALL=de_DE.UTF-8", "LANGUAGE=de", "TMPDIR=/x", "HOME=/root"}
	got := environment(base, "/w/tmp", "/t")
	want := []string{"PATH=/bin", "HOME=/root", "LC_ALL=C.UTF-8", "TMPDIR=/w/tmp", "SYSTEMTAP_RELEASE=/t"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	got = environment([]string{"SYSTEMTAP_RELEASE=mine"}, "/w/tmp", "/t")
	want = []string{"SYSTEMTAP_RELEASE=mine", "LC_ALL=C.UTF-8", "TMPDIR=/w/tmp"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
