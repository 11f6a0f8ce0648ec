package procfile

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// long is the deadline of reads that must succeed, brief of reads that must
// exceed it.
const (
	long  = time.Minute
	brief = 100 * time.Millisecond
)

func within(t testing.TB, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

func mustRead(t testing.TB, f File) []byte {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), long)
	defer cancel()
	body, err := f.Read(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// mustFail reads and compares the error with want and its text with part. The
// error may be ErrEmpty only if want has it.
func mustFail(ctx context.Context, t *testing.T, f File, part string, want ...error) {
	t.Helper()
	body, err := f.Read(ctx, nil)
	if body != nil {
		t.Fatalf("got a body of %d bytes", len(body))
	}
	for _, w := range want {
		if !errors.Is(err, w) {
			t.Errorf("error %q is not %q", err, w)
		}
	}
	if errors.Is(err, ErrEmpty) && !slices.Contains(want, ErrEmpty) {
		t.Errorf("error %q is ErrEmpty", err)
	}
	if err == nil || !strings.Contains(err.Error(), part) || !strings.Contains(err.Error(), f.Path) {
		t.Errorf("error %v does not name %q and %q", err, f.Path, part)
	}
}

type result struct {
	body []byte
	err  error
}

// readInBackground reads in a goroutine, which ends with the result.
func readInBackground(ctx context.Context, f File) <-chan result {
	done := make(chan result, 1)
	go func() {
		body, err := f.Read(ctx, nil)
		done <- result{body, err}
	}()
	return done
}

// 16 clients read in turn without pauses: the writer mostly has not noticed the
// end of the previous reader.
func TestFIFOHammered(t *testing.T) {
	for name, size := range map[string]int{"tiny": 0, "page": 4096, "more than a pipe": 200_000} {
		t.Run(name, func(t *testing.T) {
			_, f := startWriter(t, standInOrder{Size: size})
			const clients = 16
			reads := 50
			if size > 65536 {
				reads = 20
			}
			var one sync.Mutex // one Read at a time
			var all sync.WaitGroup
			last := 0
			for range clients {
				all.Go(func() {
					for range reads {
						one.Lock()
						body, err := f.Read(within(t, long), nil)
						if err != nil {
							t.Error(err)
						} else if run := bodyRun(noFatal{t}, body, size); run <= last {
							t.Errorf("run %d after run %d", run, last)
						} else {
							last = run
						}
						one.Unlock()
					}
				})
			}
			all.Wait()
			if last != clients*reads {
				t.Errorf("the probe ran %d times for %d reads", last, clients*reads)
			}
		})
	}
}

// noFatal turns fatal failures into errors, for goroutines of a test.
type noFatal struct{ testing.TB }

func (n noFatal) Fatalf(format string, args ...any) { n.Errorf(format, args...) }

func TestFIFOEmptyAnswersAreReadAgain(t *testing.T) {
	_, f := startWriter(t, standInOrder{Empty: 5, Size: 100})
	if run := bodyRun(t, mustRead(t, f), 100); run != 6 {
		t.Errorf("got run %d, want 6, the first that is not empty", run)
	}
}

func TestFIFONothingButEmptyAnswers(t *testing.T) {
	_, f := startWriter(t, standInOrder{Empty: -1})
	mustFail(endAtCheck(t, 60), t, f, "empty", context.Canceled, ErrEmpty)
}

// A stapbpf that gets no CPU has not noticed the end of the previous reader. A
// reader that waits for it with the FIFO open gets an empty answer, however
// long it waits.
func TestFIFOOfAStalledWriter(t *testing.T) {
	w, f := startWriter(t, standInOrder{Stall: true, Size: 1000})
	mustRead(t, f)
	w.expect("stalled")
	s := getScratch()
	defer s.release()
	if n, err := f.attempt(within(t, long), s, true); !errors.Is(err, errNoWriter) {
		t.Errorf("got %d bytes, %v", n, err)
	}
	ctx := &checkedContext{Context: within(t, long)}
	done := readInBackground(ctx, f)
	ctx.more()
	w.proceed()
	r := <-done
	if r.err != nil {
		t.Fatal(r.err)
	}
	if run := bodyRun(t, r.body, 1000); run != 2 {
		t.Errorf("got run %d, want 2", run)
	}
}

func TestFIFOWithoutWriter(t *testing.T) {
	f := File{Path: filepath.Join(t.TempDir(), fileName), FIFO: true, Abandonable: true}
	if err := unix.Mkfifo(f.Path, 0o444); err != nil {
		t.Fatal(err)
	}
	mustFail(within(t, brief), t, f, "no answer", context.DeadlineExceeded)
}

func TestFIFOStaleAfterKill(t *testing.T) {
	w, f := startWriter(t, standInOrder{})
	mustRead(t, f)
	w.kill()
	mustFail(within(t, brief), t, f, "no answer", context.DeadlineExceeded)
}

func TestFIFOSlowProbe(t *testing.T) {
	w, f := startWriter(t, standInOrder{Hold: true})
	ctx := &checkedContext{Context: within(t, long)}
	done := readInBackground(ctx, f)
	w.expect("probe")
	ctx.more() // the read does not end early
	w.proceed()
	r := <-done
	if r.err != nil {
		t.Fatal(r.err)
	}
	bodyRun(t, r.body, 0)
}

func TestFIFOSlowWriteIsReadToItsEnd(t *testing.T) {
	w, f := startWriter(t, standInOrder{Half: true, Size: 1000})
	done := readInBackground(within(t, long), f)
	w.expect("half")
	w.proceed()
	r := <-done
	if r.err != nil {
		t.Fatal(r.err)
	}
	bodyRun(t, r.body, 1000)
}

func TestFIFOCancelWhileProbing(t *testing.T) {
	w, f := startWriter(t, standInOrder{Hold: true})
	ctx, cancel := context.WithCancel(t.Context())
	done := readInBackground(ctx, f)
	w.expect("probe")
	cancel()
	if r := <-done; r.body != nil || !errors.Is(r.err, context.Canceled) || errors.Is(r.err, ErrEmpty) {
		t.Errorf("got %d bytes and error %v, want context canceled", len(r.body), r.err)
	}
}

func TestFIFOPartialBodyIsNoBody(t *testing.T) {
	w, f := startWriter(t, standInOrder{Half: true, Size: 1000})
	ctx := &checkedContext{Context: within(t, long)}
	done := readInBackground(ctx, f)
	w.expect("half")
	ctx.more()
	ctx.ended.Store(true)
	if r := <-done; r.body != nil || !errors.Is(r.err, context.Canceled) ||
		!strings.Contains(r.err.Error(), "no end of file after 500 bytes") {
		t.Fatalf("got %d bytes and error %v, want context canceled and 500 bytes", len(r.body), r.err)
	}
	// SIGPIPE is ignored, so the writer continues and serves the next reader.
	w.proceed()
	w.expect("closed early")
	done = readInBackground(within(t, long), f)
	w.expect("half")
	w.proceed()
	r := <-done
	if r.err != nil {
		t.Fatal(r.err)
	}
	if run := bodyRun(t, r.body, 1000); run != 2 {
		t.Errorf("got run %d, want 2", run)
	}
}

func TestFIFOWriterKilledInItsProbe(t *testing.T) {
	w, f := startWriter(t, standInOrder{Hold: true})
	ctx := &checkedContext{Context: within(t, long)}
	done := readInBackground(ctx, f)
	w.expect("probe")
	w.kill()
	ctx.more()
	ctx.ended.Store(true)
	if r := <-done; r.body != nil || !errors.Is(r.err, context.Canceled) {
		t.Errorf("got %d bytes and error %v, want context canceled", len(r.body), r.err)
	}
}

func TestFIFOTooLarge(t *testing.T) {
	t.Run("abandonable is closed at once", func(t *testing.T) {
		w, f := startWriter(t, standInOrder{Endless: true, Size: 1 << 20})
		mustFail(within(t, long), t, f, "longer than", ErrTooLarge)
		w.expect("closed early")
	})
	t.Run("others are read to their end", func(t *testing.T) {
		w, f := startWriter(t, standInOrder{Size: MaxBody + 2<<20, SIGPIPE: true})
		for range 2 { // alive after the first
			mustFail(within(t, long), t, f, "longer than", ErrTooLarge)
		}
		w.kill()
	})
	t.Run("others without an end are closed with ctx", func(t *testing.T) {
		_, f := startWriter(t, standInOrder{Endless: true, Size: 1 << 20, SIGPIPE: true})
		mustFail(endAtCheck(t, 2000), t, f, "longer than", context.Canceled, ErrTooLarge)
	})
	t.Run("longest", func(t *testing.T) {
		_, f := startWriter(t, standInOrder{Size: MaxBody})
		if body := mustRead(t, f); len(body) != MaxBody {
			t.Errorf("got %d bytes", len(body))
		}
	})
}

func TestFIFOMustNotBecomeASymlink(t *testing.T) {
	_, f := startWriter(t, standInOrder{})
	link := File{Path: filepath.Join(t.TempDir(), fileName), FIFO: true}
	if err := unix.Symlink(f.Path, link.Path); err != nil {
		t.Fatal(err)
	}
	mustFail(within(t, long), t, link, "open", unix.ELOOP)
}
