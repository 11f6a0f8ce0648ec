package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"stap-exporter/bench/report"
	"stap-exporter/bench/scrape"
)

// bench is one run of the comparisons.
type bench struct {
	serve          string // the program of bench/serve
	exporter       string // the real one
	scripts        string // its scripts
	python         string // the existing exporter; empty: not compared
	profile        string // prefix of profiles of the servers; empty: none
	out            string // folder of the results
	scratch        string
	rounds         int
	slice          time.Duration // of one server in one round
	maxConnections int           // connections
	parts          []string
	stdout         io.Writer
	about          report.About
	rows           []row
}

// row is a line of the summary.
type row struct{ What, Goal, Measured, Met string }

// parts are what can be run, in this order.
var partNames = []string{"saturate", "real", "quiet", "crowd", "idle", "start", "growth", "profile"}

func (b *bench) partFunc(name string) func(context.Context) error {
	return map[string]func(context.Context) error{
		"saturate": b.saturate, "real": b.real, "quiet": b.quiet, "crowd": b.crowd, "idle": b.idle, "start": b.startTimes, "growth": b.growth, "profile": b.profileServers,
	}[name]
}

func newBench(args []string, stdout, stderr io.Writer) (b *bench, err error) {
	b = &bench{stdout: stdout, about: report.Here()}
	f := flag.NewFlagSet("run", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.Usage = func() {
		fmt.Fprintln(stderr, "run [flags] PART…, of:", strings.Join(partNames, ", "), "(without: all)")
		f.PrintDefaults()
	}
	f.StringVar(&b.serve, "serve", "bin/bench/serve", "the program of bench/serve")
	f.StringVar(&b.exporter, "exporter", "bin/stap-exporter", "the real exporter")
	f.StringVar(&b.scripts, "scripts", "scripts", "its scripts")
	f.StringVar(
		&b.python,
		"python",
		os.Getenv("PYTHON_EXPORTER"),
		"the existing Python exporter, to compare with; empty: not compared (PYTHON_EXPORTER)",
	)
	f.StringVar(&b.profile, "profile", "", "write profiles of the servers, with this before their names")
	f.StringVar(&b.out, "out", "bench/results", "folder for the results")
	f.IntVar(&b.rounds, "rounds", 5, "how often each server takes its turn")
	f.DurationVar(&b.slice, "slice", 2*time.Second, "how long a turn is, in whole seconds")
	f.IntVar(&b.maxConnections, "connections", 10_000, "the most connections; each takes a descriptor here and one in the server")
	if err := f.Parse(args); err != nil {
		return nil, flag.ErrHelp
	}
	if b.python != "" {
		if b.python, err = filepath.Abs(b.python); err != nil {
			return nil, err
		}
	}
	raiseLimit(b.maxConnections)
	b.parts = f.Args()
	if len(b.parts) == 0 {
		b.parts = partNames
	}
	for _, p := range b.parts {
		if b.partFunc(p) == nil {
			return nil, fmt.Errorf("no part %q, only %s", p, strings.Join(partNames, ", "))
		}
	}
	if b.rounds < 1 || b.slice < time.Second {
		return nil, errors.New("at least one round, of at least one second")
	}
	return b, nil
}

// raiseLimit lets this program and its servers open enough descriptors, as far
// as that is allowed: the product leaves a quarter of them to its scripts.
func raiseLimit(connections int) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return
	}
	want := uint64(connections)*3/2 + 1000
	higher := syscall.Rlimit{Cur: max(want, limit.Max), Max: max(want, limit.Max)}
	if syscall.Setrlimit(syscall.RLIMIT_NOFILE, &higher) != nil {
		limit.Cur = limit.Max
		// whoever runs out of descriptors says so
		_ = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit)
	}
}

// all runs the parts and writes the summary, also of what came before a
// failure.
func (b *bench) all(ctx context.Context) (err error) {
	if b.scratch, err = os.MkdirTemp("", "stap-exporter-bench-"); err != nil {
		return err
	}
	defer os.RemoveAll(b.scratch)
	if err := os.MkdirAll(b.out, 0o755); err != nil {
		return err
	}
	began := time.Now()
	var failures []error
	for _, name := range b.parts {
		if err := b.partFunc(name)(ctx); err != nil {
			failures = append(failures, fmt.Errorf("%s: %w", name, err))
		}
		if ctx.Err() != nil {
			break
		}
	}
	b.note("the whole run", "%.0f s", time.Since(began).Seconds())
	return errors.Join(append(failures, b.summary())...)
}

// goal adds a line with a goal to the summary.
func (b *bench) goal(what, goal string, met bool, format string, args ...any) {
	b.rows = append(b.rows, row{
		What:     what,
		Goal:     goal,
		Measured: fmt.Sprintf(format, args...),
		Met:      map[bool]string{true: "yes", false: "NO"}[met],
	})
	b.printRow()
}

// note adds a line without one.
func (b *bench) note(what, format string, args ...any) {
	b.rows = append(b.rows, row{What: what, Measured: fmt.Sprintf(format, args...)})
	b.printRow()
}

func (b *bench) printRow() {
	r := b.rows[len(b.rows)-1]
	fmt.Fprintln(b.stdout, strings.TrimSpace(fmt.Sprintf("%s: %s  %s", r.What, r.Measured, r.Met)))
}

// checked adds what a run with checks found.
func (b *bench) checked(what string, r scrape.Result) {
	var detail strings.Builder
	for _, kind := range slices.Sorted(maps.Keys(r.Kinds)) {
		fmt.Fprintf(&detail, "; %s: %d, for example %s", kind, r.Kinds[kind], r.Examples[kind])
	}
	b.goal("wrong bodies, "+what, "0", r.Wrong == 0, "%d of %d%s", r.Wrong, r.Replies, &detail)
}

// write writes a part's results.
func (b *bench) write(name string, results any) error {
	return report.Write(b.out, name, struct {
		About   report.About
		Results any
	}{b.about, results})
}

// summary writes the table.
func (b *bench) summary() error {
	var s strings.Builder
	a := b.about
	fmt.Fprintf(
		&s,
		"# Results\n\nWritten by `%s` at %s, of commit %s.\n%d cores of %s, %d MB, Linux %s, %s. Load average before: %s.\n\n",
		a.Command,
		a.Time,
		a.Commit,
		a.Cores,
		a.CPU,
		a.Memory>>20,
		a.Kernel,
		a.Go,
		a.Load,
	)
	s.WriteString("| what | goal | measured | met |\n|---|---|---|---|\n")
	for _, r := range b.rows {
		fmt.Fprintf(&s, "| %s | %s | %s | %s |\n", r.What, r.Goal, r.Measured, r.Met)
	}
	return os.WriteFile(filepath.Join(b.out, "summary.md"), []byte(s.String()), 0o644)
}

// waitFor waits until the server answers with a 200 that has a body.
func (c *child) waitFor(ctx context.Context, path string, atMost time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, atMost)
	defer cancel()
	for {
		last, err := get(ctx, "http://"+c.address+path)
		if err == nil && len(last) > 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s does not answer: %w", c.name, err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// get returns the body of a 200.
func get(ctx context.Context, url string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %.200q", resp.Status, text)
	}
	return text, err
}
