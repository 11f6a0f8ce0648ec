package toolchain

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

func TestFind(t *testing.T) {
	path, beside, target := t.TempDir(), t.TempDir(), t.TempDir()
	t.Setenv("PATH", path)
	write := func(mode os.FileMode, elements ...string) string {
		file := filepath.Join(elements...)
		if err := os.WriteFile(file, []byte("#!/bin/sh\n"), mode); err != nil {
			t.Fatal(err)
		}
		return file
	}
	stap := filepath.Join(beside, "stap")
	if err := os.Symlink(write(0o700, target, "stap"), stap); err != nil {
		t.Fatal(err)
	}
	find := func(what string, want Tools) {
		t.Helper()
		got, err := Find(stap)
		want.Stap = stap
		if err != nil || got.Stap != want.Stap || got.Staprun != want.Staprun || got.Stapbpf != want.Stapbpf ||
			got.StaprunDenied != want.StaprunDenied || got.StapbpfDenied != want.StapbpfDenied {
			t.Errorf("%s: got %+v (%v), want %+v", what, got, err, want)
		}
	}
	find("stap alone", Tools{})
	denied := write(0o600, target, "staprun")
	find("a staprun that must not be executed", Tools{StaprunDenied: denied})
	inPath := write(0o700, path, "staprun")
	find("another in PATH", Tools{Staprun: inPath})
	bpf := write(0o700, target, "stapbpf")
	find("stapbpf beside the link's target", Tools{Staprun: inPath, Stapbpf: bpf})
	bpf = write(0o700, beside, "stapbpf")
	find("stapbpf beside the link", Tools{Staprun: inPath, Stapbpf: bpf})

	if _, err := Find("stap"); !errors.Is(err, ErrNoStap) {
		t.Errorf("no stap in PATH: %v", err)
	}
	if _, err := LookPath("stap"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no stap in PATH: %v", err)
	}
}
