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

// long bounds what must succeed, and brief what must run into its deadline.
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

// mustFail reads and holds the error against want, and the text of it against
// part. Only when ErrEmpty is wanted may the error be one.
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

// readAside reads in a goroutine that has ended when the result comes.
func readAside(ctx context.Context, f File) <-chan result {
	done := make(chan result, 1)
	go func() {
		body, err := f.Read(ctx, nil)
		done <- result{body, err}
	}()
	return done
}

// 16 clients, one Read at a time, back to back: the writer mostly has not seen
// the last reader leave.
func TestFIFOHammered(t *testing.T) {
	for name, size := range map[string]int{"tiny": 0, "page": 4096, "more than a pipe": 200_000} {
		t.Run(name, func(t *testing.T) {
			_, f := startWriter(t, standInOrder{Size: size})
			const clients = 16
			reads := 50
			if size > 65536 {
				reads = 20
			}
			var one sync.Mutex // the caller's promise
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

// noFatal makes of a fatal failure an error, for goroutines of a test.
type noFatal struct{ testing.TB }

func (n noFatal) Fatalf(format string, args ...any) { n.Errorf(format, args...) }

func TestFIFOEmptyAnswersAreReadAgain(t *testing.T) {
	_, f := startWriter(t, standInOrder{Empty: 5, Size: 100})
	if run := bodyRun(t, mustRead(t, f), 100); run != 6 {
		t.Errorf("got run %d, want the first that is not empty, 6", run)
	}
}

func TestFIFONothingButEmptyAnswers(t *testing.T) {
	_, f := startWriter(t, standInOrder{Empty: -1})
	mustFail(endAtLook(t, 60), t, f, "empty", context.Canceled, ErrEmpty)
}

// A stapbpf that gets no processor has not seen the last reader leave. A reader
// that waits for it with the FIFO open is answered with nothing, however long
// it waits.
func TestFIFOOfAStalledWriter(t *testing.T) {
	w, f := startWriter(t, standInOrder{Stall: true, Size: 1000})
	mustRead(t, f)
	w.expect("stalled")
	s := getScratch()
	defer s.release()
	if n, err := f.attempt(within(t, long), s, true); !errors.Is(err, errNoWriter) {
		t.Errorf("got %d bytes, %v", n, err)
	}
	ctx := &lookContext{Context: within(t, long)}
	done := readAside(ctx, f)
	ctx.more()
	w.letGo()
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

func TestFIFODawdlingProbe(t *testing.T) {
	w, f := startWriter(t, standInOrder{Hold: true})
	ctx := &lookContext{Context: within(t, long)}
	done := readAside(ctx, f)
	w.expect("probe")
	ctx.more() // nothing is given up in between
	w.letGo()
	r := <-done
	if r.err != nil {
		t.Fatal(r.err)
	}
	bodyRun(t, r.body, 0)
}

func TestFIFODawdlingWriteIsReadToItsEnd(t *testing.T) {
	w, f := startWriter(t, standInOrder{Half: true, Size: 1000})
	done := readAside(within(t, long), f)
	w.expect("half")
	w.letGo()
	r := <-done
	if r.err != nil {
		t.Fatal(r.err)
	}
	bodyRun(t, r.body, 1000)
}

func TestFIFOCancelWhileProbing(t *testing.T) {
	w, f := startWriter(t, standInOrder{Hold: true})
	ctx, cancel := context.WithCancel(t.Context())
	done := readAside(ctx, f)
	w.expect("probe")
	cancel()
	if r := <-done; r.body != nil || !errors.Is(r.err, context.Canceled) || errors.Is(r.err, ErrEmpty) {
		t.Errorf("got %d bytes and error %v, want context canceled", len(r.body), r.err)
	}
}

func TestFIFOPartialBodyIsNoBody(t *testing.T) {
	w, f := startWriter(t, standInOrder{Half: true, Size: 1000})
	ctx := &lookContext{Context: within(t, long)}
	done := readAside(ctx, f)
	w.expect("half")
	ctx.more()
	ctx.ended.Store(true)
	if r := <-done; r.body != nil || !errors.Is(r.err, context.Canceled) ||
		!strings.Contains(r.err.Error(), "500 bytes without an end") {
		t.Fatalf("got %d bytes and error %v, want context canceled and 500 bytes", len(r.body), r.err)
	}
	// SIGPIPE is ignored, so the writer lives on and serves the next reader.
	w.letGo()
	w.expect("left early")
	done = readAside(within(t, long), f)
	w.expect("half")
	w.letGo()
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
	ctx := &lookContext{Context: within(t, long)}
	done := readAside(ctx, f)
	w.expect("probe")
	w.kill()
	ctx.more()
	ctx.ended.Store(true)
	if r := <-done; r.body != nil || !errors.Is(r.err, context.Canceled) {
		t.Errorf("got %d bytes and error %v, want context canceled", len(r.body), r.err)
	}
}

func TestFIFOTooLarge(t *testing.T) {
	t.Run("abandonable is left at once", func(t *testing.T) {
		w, f := startWriter(t, standInOrder{Endless: true, Size: 1 << 20})
		mustFail(within(t, long), t, f, "longer than", ErrTooLarge)
		w.expect("left early")
	})
	t.Run("others are read to their end", func(t *testing.T) {
		w, f := startWriter(t, standInOrder{Size: MaxBody + 2<<20, SIGPIPE: true})
		for range 2 { // alive after the first
			mustFail(within(t, long), t, f, "longer than", ErrTooLarge)
		}
		w.kill()
	})
	t.Run("others without an end are left with ctx", func(t *testing.T) {
		_, f := startWriter(t, standInOrder{Endless: true, Size: 1 << 20, SIGPIPE: true})
		mustFail(endAtLook(t, 2000), t, f, "longer than", context.Canceled, ErrTooLarge)
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
