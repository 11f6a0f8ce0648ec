package harness

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"stap-exporter/internal/procfile"
)

// StandInEnv makes the test binary a stapbpf that misbehaves. Its value has the
// names of faults, one for each text, over and over.
const StandInEnv = "STAP_EXPORTER_TEST_STANDIN"

// StandInEndEnv names a file that must exist before the stand-in ends after a
// SIGTERM.
const StandInEndEnv = "STAP_EXPORTER_TEST_STANDIN_END"

// StandInScript returns a script that executes the stand-in with these faults.
func StandInScript(faults string) string {
	return fmt.Sprintf("#!/bin/sh\n%s='%s' exec '%s' \"$@\"\n", StandInEnv, faults, os.Args[0])
}

// HarmlessFaults are those that cost no valid sample: the text still has all of
// them, or it is empty and the exporter reads again.
const HarmlessFaults = "good empty doubled corrupt truncated unended empty empty full scattered crlf escaped pieces"

// standIn is the stand-in's main function and returns its exit code. It runs
// the loop of procfs_read_event_loop in stapbpf.cxx: wait for a reader, run the
// probe, write, close, then open without blocking until there is no reader any
// more. Like a stapbpf that stap started, it ends when a reader closes early.
func standIn(faults, args []string) int {
	if len(args) != 2 || args[0] != "-m" {
		fmt.Fprintf(os.Stderr, "stand-in: arguments %q, want -m MODULE\n", args)
		return 2
	}
	dir := filepath.Join(procfile.DefaultRoots().FIFO, args[1])
	path := filepath.Join(dir, "__prometheus")
	if err := errors.Join(os.MkdirAll(dir, 0o755), unix.Mkfifo(path, 0o644)); err != nil {
		fmt.Fprintln(os.Stderr, "stand-in:", err)
		return 1
	}
	go endOnSignal(dir)

	first := int(time.Now().UnixMicro()) // so that numbers grow from process to process
	for n, i := first, 0; ; n, i = n+1, i+1 {
		fd := openFIFO(path, 0)
		if fd < 0 {
			select {} // endOnSignal has removed the FIFO
		}
		fault := faults[i%len(faults)]
		for j, piece := range faulty(fault, n) {
			if j > 0 {
				time.Sleep(2 * time.Millisecond) // the reader reads a part of a line
			}
			if !writeFIFO(fd, piece) {
				fmt.Fprintln(os.Stderr, "stand-in: the reader closed early")
				return 128 + int(unix.SIGPIPE)
			}
		}
		if fault == "dies" {
			return 1
		}
		_ = unix.Close(fd)
		for {
			fd := openFIFO(path, unix.O_NONBLOCK)
			if fd < 0 {
				break
			}
			_ = unix.Close(fd)
		}
		if fault == "doubled" {
			n++
		}
	}
}

// endOnSignal removes the FIFO's directory and ends the process after a signal.
func endOnSignal(dir string) {
	received := make(chan os.Signal, 1)
	signal.Notify(received, unix.SIGTERM, unix.SIGINT)
	<-received
	for file := os.Getenv(StandInEndEnv); file != ""; time.Sleep(10 * time.Millisecond) {
		if _, err := os.Stat(file); err == nil {
			break
		}
	}
	os.RemoveAll(dir)
	os.Exit(0)
}

func openFIFO(path string, flags int) int {
	for {
		fd, err := unix.Open(path, unix.O_WRONLY|unix.O_CLOEXEC|flags, 0)
		if !errors.Is(err, unix.EINTR) {
			return fd
		}
	}
}

func writeFIFO(fd int, b []byte) bool {
	for len(b) > 0 {
		n, err := unix.Write(fd, b)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return false
		}
		b = b[max(n, 0):]
	}
	return true
}
