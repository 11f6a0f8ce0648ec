package harness

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"stap-exporter/internal/exposition"
	"stap-exporter/internal/procfile"
)

// StandInEnv makes the test binary a stapbpf with a bad character: it holds
// names of faults, one for each text, over and over.
const StandInEnv = "STAP_EXPORTER_TEST_STANDIN"

// StandInGateEnv names a file without which the stand-in does not end when it is
// asked to.
const StandInGateEnv = "STAP_EXPORTER_TEST_STANDIN_GATE"

// StandInScript is a script whose program is the stand-in with these faults.
func StandInScript(faults string) string {
	return fmt.Sprintf("#!/bin/sh\n%s='%s' exec '%s' \"$@\"\n", StandInEnv, faults, os.Args[0])
}

// HarmlessFaults are those that cost no good sample: they leave all of them in the
// text, or are an empty one, which the exporter reads again.
const HarmlessFaults = "good empty doubled corrupt torn unended empty empty full scattered crlf escaped pieces"

// standIn is the whole life of a stand-in. It runs the loop of stapbpf.cxx's
// procfs_read_event_loop: wait for a reader, run the probe, write, close, then
// open without blocking until no reader is left. Like a stapbpf below a stap it
// dies when a reader leaves early.
func standIn(faults, args []string) int {
	if len(args) != 2 || args[0] != "-m" {
		fmt.Fprintf(os.Stderr, "stand-in: arguments %q, want -m MODULE\n", args)
		return 2
	}
	dir := filepath.Join(procfile.DefaultRoots().FIFO, args[1])
	path := filepath.Join(dir, "__prometheus")
	if err := errors.Join(os.MkdirAll(dir, 0o755), unix.Mkfifo(path, 0o444)); err != nil {
		fmt.Fprintln(os.Stderr, "stand-in:", err)
		return 1
	}
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, unix.SIGTERM, unix.SIGINT)
	go func() {
		<-asked
		for gate := os.Getenv(StandInGateEnv); gate != ""; time.Sleep(10 * time.Millisecond) {
			if _, err := os.Stat(gate); err == nil {
				break
			}
		}
		os.RemoveAll(dir)
		os.Exit(0)
	}()

	first := int(time.Now().UnixMicro()) // so that numbers grow from life to life
	for n, i := first, 0; ; n, i = n+1, i+1 {
		fd := openFIFO(path, 0)
		if fd < 0 {
			select {} // it was asked to end, and its FIFO is gone already
		}
		fault := faults[i%len(faults)]
		for j, piece := range faulty(fault, n) {
			if j > 0 {
				time.Sleep(2 * time.Millisecond) // the reader finds half a line
			}
			if !writeFIFO(fd, piece) {
				fmt.Fprintln(os.Stderr, "stand-in: the reader left early")
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

// goodNames are label values that are hard to write.
var goodNames = []string{"plain", "café", `back\slash`, `"quoted"`, "two\nlines"}

var escapeLabel = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

const goodWorkers = 30

// goodText is text number n without a fault. Every value shows the number.
func goodText(n int) []byte {
	b := fmt.Appendf(
		nil,
		"# HELP good_seq Which text this is.\n# TYPE good_seq gauge\ngood_seq %d\n# TYPE good_work_total counter\n",
		n,
	)
	for i := range goodWorkers {
		b = fmt.Appendf(b, "good_work_total{worker=\"%d\",of=\"the stand-in\"} %d\n", i, n+i)
	}
	for i, name := range goodNames {
		b = fmt.Appendf(b, "good_named{name=\"%s\"} %d\n", escapeLabel.Replace(name), n-i)
	}
	return b
}

// goodSamples are the samples of goodText(n), by seriesKey.
func goodSamples(n int) map[string]float64 {
	all := map[string]float64{SeriesKey("good_seq", nil): float64(n)}
	for i := range goodWorkers {
		all[SeriesKey("good_work_total", map[string]string{"worker": strconv.Itoa(i), "of": "the stand-in"})] = float64(
			n + i,
		)
	}
	for i, name := range goodNames {
		all[SeriesKey("good_named", map[string]string{"name": name})] = float64(n - i)
	}
	return all
}

// garbage is what stands between the good lines of a corrupt text. No line of
// it holds for a sample; the last ones are second samples of good series.
var garbage = []string{
	"}{",
	"good_seq",
	"good_seq{",
	`good_work_total{worker="1" 5`,
	"good_seq 1e",
	`good_seq{a="\q"} 1`,
	"good_named{name=\"\xff\xfe\"} 1",
	"\x00\x01\x02",
	`good_work_total{worker="3"} a lot`,
	"good seq 7",
	"good_seq 1 99999999999999999999999",
	"# TYPE good_work_total nonsense",
	"# TYPE",
	`{name="plain"} 1`,
	`good_named{name="a",name="b"} 1`,
	"ERROR: array overflow, check MAXMAPENTRIES near identifier 'x' at <input>:1:1",
	"\x1b[31mWARNING\x1b[0m",
	"good_seq 1",
	`good_work_total{of="the stand-in",worker="2"} 999999`,
}

// faulty returns text number n with a fault, in the pieces in which it is
// written.
func faulty(fault string, n int) [][]byte {
	text := goodText(n)
	switch fault {
	case "good":
	case "empty":
		return nil
	case "ruined":
		text = []byte("}{\n\x00\x01\nERROR: out of luck\n")
	case "dies": // and what there was ends in a whole sample with half a value
		text = text[:bytes.LastIndexByte(text[:len(text)/2], '\n')-2]
	case "doubled":
		text = append(text, goodText(n+1)...)
	case "corrupt":
		lines := bytes.SplitAfter(text, []byte("\n"))
		text = nil
		for i, line := range lines {
			text = append(text, line...)
			if i >= 4 && i-4 < len(garbage) {
				text = append(text, garbage[i-4]+"\n"...)
			}
		}
	case "torn":
		text = append(text, `good_named{name="to`...)
	case "unended":
		text = text[:len(text)-1]
	case "full": // cut by the tapset's limit, in the middle of a value
		tail := "good_tail 12"
		for len(text) < exposition.MaxText-200 {
			text = append(text, "# filler, as a script with a large array would have samples here\n"...)
		}
		text = append(text, "#"+strings.Repeat(".", exposition.MaxText-len(text)-len(tail)-2)+"\n"+tail...)
	case "scattered":
		text = scatter(text)
	case "crlf":
		text = bytes.ReplaceAll(text, []byte("\n"), []byte("\r\n"))
	case "escaped":
		text = bytes.ReplaceAll(text, []byte("é"), []byte([]string{`\303\251`, `\xc3\xa9`}[n%2]))
	case "pieces":
		third := len(text) / 3
		return [][]byte{text[:third], text[third : 2*third], text[2*third:]}
	default:
		panic("stand-in: no fault " + fault)
	}
	return [][]byte{text}
}

// scatter mixes the families' lines and gives each sample of the counter a TYPE
// of its own.
func scatter(text []byte) []byte {
	lines := strings.SplitAfter(string(text), "\n")
	mixed := append([]string(nil), lines[:4]...)
	work, named := lines[4:4+goodWorkers], lines[4+goodWorkers:]
	for i := range work {
		mixed = append(mixed, work[i], lines[3])
		if i < len(named) {
			mixed = append(mixed, named[i])
		}
	}
	return []byte(strings.Join(mixed, ""))
}

// TextNumber returns n where the samples are those of goodText(n), all of them
// and no others; otherwise it says what is wrong.
func TextNumber(samples map[string]float64) (n int, wrong string) {
	seq, ok := samples[SeriesKey("good_seq", nil)]
	if !ok || seq != math.Trunc(seq) {
		return 0, "no number"
	}
	n = int(seq)
	want := goodSamples(n)
	for key, value := range want {
		if got, ok := samples[key]; !ok || got != value {
			return n, fmt.Sprintf("text %d: %s is %v (there: %v), want %v", n, key, got, ok, value)
		}
	}
	for key := range samples {
		if _, ok := want[key]; !ok {
			return n, fmt.Sprintf("text %d: %s should not be there", n, key)
		}
	}
	return n, ""
}
