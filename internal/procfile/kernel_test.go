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

// checkedContext counts the calls of Err and reports each to a function, so
// that a test can change files between two attempts of a Read. The function may
// also end the context.
type checkedContext struct {
	context.Context
	onCheck func(n int64) // may be nil
	checks  atomic.Int64
	ended   atomic.Bool
}

func (c *checkedContext) Err() error {
	if n := c.checks.Add(1); c.onCheck != nil {
		c.onCheck(n)
	}
	if c.ended.Load() {
		return context.Canceled
	}
	return c.Context.Err()
}

// more waits until the reader has checked the context a few more times.
func (c *checkedContext) more() {
	for until := c.checks.Load() + 4; c.checks.Load() < until; {
		runtime.Gosched()
	}
}

// endAtCheck returns a context that ends at the nth call of Err.
func endAtCheck(t testing.TB, n int64) *checkedContext {
	c := &checkedContext{Context: within(t, long)}
	c.onCheck = func(check int64) {
		if check == n {
			c.ended.Store(true)
		}
	}
	return c
}

// kernelFile returns a regular file that stands in for the kernel's.
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
	for _, size := range []int{
		1, 4096, 3_000_000, MaxBody,
		scratchSize - 1, scratchSize, scratchSize + 1, 2 * scratchSize, 2*scratchSize + 1,
	} {
		f := kernelFile(t)
		want := make([]byte, size)
		for i := range want {
			want[i] = byte(i / 7)
		}
		write(t, f.Path, want)
		if got := mustRead(t, f); string(got) != string(want) {
			t.Errorf("body of %d bytes: got %d different bytes", size, len(got))
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

// Read tries again until a transient error is over.
func TestKernelFileTransientErrors(t *testing.T) {
	replace := func(t *testing.T, f File) {
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
			ctx := &checkedContext{Context: within(t, long), onCheck: func(n int64) {
				if n == 4 {
					replace(t, f)
				}
			}}
			body, err := f.Read(ctx, nil)
			if string(body) != "count 1\n" || err != nil {
				t.Errorf("got %q, %v", body, err)
			}
			if n := ctx.checks.Load(); n < 4 {
				t.Errorf("answered after %d checks of the context, the file appeared at the fourth", n)
			}
		})
	}
}

// bindSocket creates a socket at path, for which open(2) fails with ENXIO.
func bindSocket(path string) error {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer closeFD(fd)
	return unix.Bind(fd, &unix.SockaddrUnix{Name: path})
}

func TestKernelFileLastResult(t *testing.T) {
	for name, c := range map[string]struct {
		before func(f File) error
		part   string
		want   []error
	}{
		"busy":    {func(f File) error { return os.WriteFile(f.Path, nil, 0o400) }, "empty", []error{ErrEmpty}},
		"missing": {func(File) error { return nil }, "open: no such file", []error{os.ErrNotExist}},
		"EIO": {
			func(f File) error { return os.Symlink("/proc/self/mem", f.Path) },
			"read: input/output error",
			[]error{unix.EIO},
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := kernelFile(t)
			if err := c.before(f); err != nil {
				t.Fatal(err)
			}
			mustFail(endAtCheck(t, 4), t, f, c.part, append(c.want, context.Canceled)...)
		})
	}
}

// After a read that was empty until its timeout, the next timeout is shorter.
func TestKernelFileEmptyAgain(t *testing.T) {
	f := kernelFile(t)
	write(t, f.Path, nil)
	const checks = 30
	mustFail(endAtCheck(t, checks), t, f, "context canceled", context.Canceled, ErrEmpty)
	f.WasEmpty = true
	mustFail(endAtCheck(t, checks), t, f, "only empty answers", ErrEmpty)
}

// A file that was missing before it was empty did not give only empty answers.
func TestKernelFileEmptyAfterMissing(t *testing.T) {
	f := kernelFile(t)
	ctx := endAtCheck(t, 6)
	end := ctx.onCheck
	ctx.onCheck = func(n int64) {
		if n == 3 {
			write(t, f.Path, nil)
		}
		end(n)
	}
	mustFail(ctx, t, f, "empty", context.Canceled)
}

func TestKernelFilePermanentErrors(t *testing.T) {
	file := kernelFile(t)
	write(t, file.Path, nil)
	mustFail(within(t, long), t, File{Path: file.Path + "/x"}, "open", unix.ENOTDIR)
	mustFail(within(t, long), t, File{Path: t.TempDir()}, "read", unix.EISDIR)
}

func TestNoOpenAfterContextEnd(t *testing.T) {
	f := kernelFile(t)
	write(t, f.Path, []byte("count 1\n"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	mustFail(ctx, t, f, "no answer", context.Canceled)
}

// A read allocates the body, and a copy of the path for the system call.
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
