package procfile_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"stap-exporter/internal/procfile"
)

// A script of the bpf runtime writes its metrics into a FIFO. Here a goroutine
// takes the part of stapbpf.
func ExampleFile_Read() {
	dir, err := os.MkdirTemp("", "procfile")
	if err != nil {
		panic(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	path := filepath.Join(dir, "__prometheus")
	if err := unix.Mkfifo(path, 0o600); err != nil {
		panic(err)
	}
	written := make(chan error)
	go func() { written <- os.WriteFile(path, []byte("reads_total 7\n"), 0o600) }() // waits for a reader

	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	file := procfile.File{Path: path, FIFO: true, Abandonable: true}
	body, err := file.Read(ctx, nil)
	fmt.Printf("%q %v\n", body, err)
	fmt.Println(<-written)
	// Output:
	// "reads_total 7\n" <nil>
	// <nil>
}
