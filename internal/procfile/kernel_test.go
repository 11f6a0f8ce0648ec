package procfile

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"
)

// lookContext counts the looks at it and tells each to a function, so that a
// test can change the world between two attempts of a Read. It can also be
// ended from there.
type lookContext struct {
	context.Context
	onLook func(n int64) // may be nil
	looks  atomic.Int64
	ended  atomic.Bool
}

func (c *lookContext) Err() error {
	if n := c.looks.Add(1); c.onLook != nil {
		c.onLook(n)
	}
	if c.ended.Load() {
		return context.Canceled
	}
	return c.Context.Err()
}

// more waits until the reader has looked a few times more.
func (c *lookContext) more() {
	for until := c.looks.Load() + 4; c.looks.Load() < until; {
		runtime.Gosched()
	}
}

// endAtLook returns a context that ends at the nth look at it.
func endAtLook(t testing.TB, n int64) *lookContext {
	c := &lookContext{Context: within(t, long)}
	c.onLook = func(look int64) {
		if look == n {
			c.ended.Store(true)
		}
	}
	return c
}

// kernelFile is a file of our own that stands in for the kernel's.
func kernelFile(t testing.TB) File {
	return File{Path: filepath.Join(t.TempDir(), fileName), Abandonable: true}
}

func write(t testing.TB, path string, body []byte) {
	t.Helper()
	if err := os.WriteFile(path, body, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestKernelFileBodies(t *testing.T) {
	for _, size := range []int{1, 4096, scratchSize - 1, scratchSize, scratchSize + 1, 2 * scratchSize, 2*scratchSize + 1, 3_000_000, MaxBody} {
		f := kernelFile(t)
		want := make([]byte, size)
		for i := range want {
			want[i] = byte(i / 7)
		}
		write(t, f.Path, want)
		if got := mustRead(t, f); string(got) != string(want) {
			t.Errorf("body of %d bytes came back as another of %d", size, len(got))
		}
	}
}

func TestKernelFileTooLarge(t *testing.T) {
	f := kernelFile(t)
	write(t, f.Path, nil)
	if err := os.Truncate(f.Path, MaxBody+1); err != nil {
		t.Fatal(err)
	}
	mustFail(within(t, long), t, f, "longer than", ErrTooLarge)
}

// What passes is tried again until it has passed.
func TestKernelFileTriedAgain(t *testing.T) {
	become := func(t *testing.T, f File) {
		fresh := f.Path + ".new"
		write(t, fresh, []byte("count 1\n"))
		if err := os.Rename(fresh, f.Path); err != nil {
			t.Fatal(err)
		}
	}
	for name, before := range map[string]func(f File) error{
		"busy":    func(f File) error { return os.WriteFile(f.Path, nil, 0o400) },
		"missing": func(File) error { return nil },
		// a read of address 0
		"EIO":   func(f File) error { return os.Symlink("/proc/self/mem", f.Path) },
		"ENXIO": func(f File) error { return bindSocket(f.Path) },
	} {
		t.Run(name, func(t *testing.T) {
			f := kernelFile(t)
			if err := before(f); err != nil {
				t.Fatal(err)
			}
			ctx := &lookContext{Context: within(t, long), onLook: func(n int64) {
				if n == 4 {
					become(t, f)
				}
			}}
			body, err := f.Read(ctx, nil)
			if string(body) != "count 1\n" || err != nil {
				t.Errorf("got %q, %v", body, err)
			}
			if n := ctx.looks.Load(); n < 4 {
				t.Errorf("answered after %d looks at the context, the file came at the fourth", n)
			}
		})
	}
}

// bindSocket leaves a socket at path, which open answers with ENXIO.
func bindSocket(path string) error {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer closeFD(fd)
	return unix.Bind(fd, &unix.SockaddrUnix{Name: path})
}

func TestKernelFileWhatWasSeenLast(t *testing.T) {
	for name, c := range map[string]struct {
		before func(f File) error
		part   string
		want   []error
	}{
		"busy":    {func(f File) error { return os.WriteFile(f.Path, nil, 0o400) }, "empty", []error{ErrEmpty}},
		"missing": {func(File) error { return nil }, "open: no such file", []error{os.ErrNotExist}},
		"EIO":     {func(f File) error { return os.Symlink("/proc/self/mem", f.Path) }, "read: input/output error", []error{unix.EIO}},
	} {
		t.Run(name, func(t *testing.T) {
			f := kernelFile(t)
			if err := c.before(f); err != nil {
				t.Fatal(err)
			}
			mustFail(endAtLook(t, 4), t, f, c.part, append(c.want, context.Canceled)...)
		})
	}
}

// What was empty for the whole patience is asked less often the next time.
func TestKernelFileEmptyAgain(t *testing.T) {
	f := kernelFile(t)
	write(t, f.Path, nil)
	const looks = 30
	mustFail(endAtLook(t, looks), t, f, "context canceled", context.Canceled, ErrEmpty)
	f.WasEmpty = true
	mustFail(endAtLook(t, looks), t, f, "nothing but empty answers", ErrEmpty)
}

// A file that was missing before it was empty is not one that gave only empty
// answers.
func TestKernelFileEmptyAfterMissing(t *testing.T) {
	f := kernelFile(t)
	ctx := endAtLook(t, 6)
	end := ctx.onLook
	ctx.onLook = func(n int64) {
		if n == 3 {
			write(t, f.Path, nil)
		}
		end(n)
	}
	mustFail(ctx, t, f, "empty", context.Canceled)
}

func TestKernelFileErrorsThatStay(t *testing.T) {
	file := kernelFile(t)
	write(t, file.Path, nil)
	mustFail(within(t, long), t, File{Path: file.Path + "/x"}, "open", unix.ENOTDIR)
	mustFail(within(t, long), t, File{Path: t.TempDir()}, "read", unix.EISDIR)
}

func TestNoOpenAfterTheEnd(t *testing.T) {
	f := kernelFile(t)
	write(t, f.Path, []byte("count 1\n"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	mustFail(ctx, t, f, "no answer", context.Canceled)
}

// The body is the only large allocation; the other one is the path's copy for
// the system call.
func TestReadAllocations(t *testing.T) {
	f := kernelFile(t)
	write(t, f.Path, testBody(1, 8192))
	ctx := within(t, long)
	n := testing.AllocsPerRun(200, func() {
		if _, err := f.Read(ctx, nil); err != nil {
			t.Fatal(err)
		}
	})
	if n > 2 {
		t.Errorf("%v allocations a read, want 2", n)
	}
}

func BenchmarkReadKernelFile(b *testing.B) {
	f := kernelFile(b)
	write(b, f.Path, testBody(1, 4096))
	benchmarkRead(b, f)
}

func BenchmarkReadFIFO(b *testing.B) {
	_, f := startWriter(b, standInOrder{Size: 4096})
	benchmarkRead(b, f)
}

func benchmarkRead(b *testing.B, f File) {
	ctx := within(b, long)
	b.SetBytes(int64(len(mustRead(b, f))))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := f.Read(ctx, nil); err != nil {
			b.Fatal(err)
		}
	}
}
