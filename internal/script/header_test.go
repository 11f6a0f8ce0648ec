package script

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// readHeader parses text as the beginning of /s/a.stp.
func readHeader(text string, executable bool) (Script, error) {
	return applyHeader(Script{Path: "/s/a.stp", Executable: executable}, []byte(text))
}

func TestHeaderGood(t *testing.T) {
	const prefix = "// stap-exporter: "
	for text, want := range map[string]Directives{
		"":                                           {},
		"probe begin {}\n":                           {},
		prefix + "keepalive=300":                     {Keepalive: new(300 * time.Second)},
		prefix + "keepalive=5m30s\n":                 {Keepalive: new(330 * time.Second)},
		prefix + "keepalive=never\r\nprobe\n":        {Keepalive: new(time.Duration(0))},
		"#stap-exporter:start-timeout=90\n":          {StartTimeout: 90 * time.Second},
		"\t# Stap-Exporter : start-timeout=\"1.5s\"": {StartTimeout: 1500 * time.Millisecond},
		prefix + "autostart=false runtime=bpf":       {Autostart: new(false), Runtime: "bpf"},
		strings.Join([]string{
			prefix + "scrape-interval=1d1h",
			"# text, stap-exporter: no=1",
			"",
			"/// stap-exporter: no=1",
			"//# stap-exporter: no=1",
			"#stap-exporter is not it",
			prefix + "scrape-timeout=1.5s",
		}, "\n"): {ScrapeInterval: 25 * time.Hour, ScrapeTimeout: 1500 * time.Millisecond},
		prefix + `args="-g -DX=1 -G \"a=b\" -c 'sleep 9'"`: {
			Args: []string{"-g", "-DX=1", "-G", "a=b", "-c", "sleep 9"},
		},
		prefix + `args=""`: {},
		prefix + `metric a:b_total counter "A \"b\" \\ \n ` + "c\u00e9\"\n" + prefix + "metric x untyped ''": {
			Metrics: []Metric{
				{
					Name: "a:b_total",
					Type: "counter",
					Help: "A \"b\" \\ \n c\u00e9",
					Line: 1,
				},
				{
					Name: "x",
					Type: "untyped",
					Help: "''",
					Line: 2,
				},
			},
		},
		strings.Join([]string{
			"#!/bin/cat",
			"",
			prefix + "keepalive=1",
			"/* " + prefix + "*/",
			prefix + "keepalive=2",
			prefix + "x",
		}, "\n"): {Keepalive: new(time.Second), LateLines: []int{5, 6}},
	} {
		s, err := readHeader(text, false)
		if err != nil || !reflect.DeepEqual(s.Directives, want) {
			t.Errorf("%q: got %+v, %v", text, s.Directives, err)
		}
		if s.Runtime != want.Runtime || s.Autostart {
			t.Errorf("%q: runtime %q, autostart %v", text, s.Runtime, s.Autostart)
		}
	}
}

func TestHeaderWrong(t *testing.T) {
	for text, want := range map[string]string{
		"": "no directive: want keepalive=, start-timeout=, autostart=, runtime=, args=, " +
			"scrape-interval=, scrape-timeout=, or metric NAME",
		"keepalive=0": `keepalive="0": want whole seconds from 1, a time like 5m of at least 1s, ` +
			"or never",
		"keepalive=-5":                           "want whole seconds",
		"keepalive=1.5":                          "want whole seconds",
		"keepalive=300ms":                        "want whole seconds",
		"keepalive=99999999999":                  "want whole seconds",
		"keepalive=":                             `keepalive="": want`,
		"keepalive":                              `"keepalive" is unknown: want keepalive=`,
		"keepalive = 5":                          `"=" is unknown`,
		"Keepalive=5":                            `"Keepalive=5" is unknown`,
		"keepalive=5, autostart=true":            `keepalive="5,"`,
		"keepalive=5 keepalive=5":                "keepalive is given twice, first in line 3",
		"start-timeout=0":                        "want whole seconds from 1, or a time like 2m",
		"start-timeout=1d":                       "or a time like 2m",
		"autostart=yes":                          "want true or false",
		"runtime=BPF":                            "want auto, kernel or bpf",
		"runtime=dyninst":                        "want auto, kernel or bpf",
		"scrape-interval=15":                     "want a time like 30s, 1m30s or 1d",
		"scrape-interval=1us":                    "in whole milliseconds",
		"scrape-interval=400y":                   "want a time",
		"scrape-interval=1d-1s":                  "want a time",
		"scrape-interval=10s scrape-timeout=11s": "scrape-timeout=11s is longer than scrape-interval=10s",
		`args="-g`:                               "a quote is not closed",
		`args="\d"`:                              "a backslash in quotes",
		`args="-g` + "\x01\"":                    `control character '\x01'`,
		`metric a gauge "` + "\xe9\"":            "not valid UTF-8",
		`metric a gauge no quotes`:               "in double quotes",
		`metric a gauge`:                         "in double quotes",
		`metric 1a gauge ""`:                     `metric name "1a"`,
		`metric a-b gauge ""`:                    `metric name "a-b"`,
		`metric a Gauge ""`:                      "want one of counter, gauge, histogram, summary, untyped",
		`keepalive=1 metric a gauge x`:           `"metric" is unknown`,
		`args="'-g"`:                             "options of stap: a quote is not closed",
		`args="-g\\"`:                            "a backslash ends the text",
		`args="-g a.stp"`:                        `"a.stp" is not an option`,
		`args=-`:                                 `"-" is not an option`,
		`args="-g -- -m"`:                        "-- is not allowed",
		`args=-G`:                                "-G: its value is missing",
		`args=--vp`:                              "--vp: its value is missing",
		`args=-mfoo`:                             "-m foo is not allowed",
		`args="-m foo"`:                          "-m foo is not allowed",
		`args=-gvmfoo`:                           "-m foo is not allowed",
		`args=-gvp4`:                             "-p 4 is not allowed",
		`args="-v -po"`:                          "-p o is not allowed",
		`args=-wo/x`:                             "-o /x is not allowed",
		`args="-g '-o' x"`:                       "-o x is not allowed",
		`args="\\-m x"`:                          "-m x is not allowed",
		`args=--bpf`:                             "write runtime=bpf",
		`args=--run=bpf`:                         "--runtime=bpf is not allowed: write runtime=bpf",
		`args="--runtime kernel"`:                "--runtime=kernel is not allowed",
		`args=--dyn`:                             "--dyninst is not allowed",
		`args=--re`:                              "--re could be any of --remote, --remote-prefix",
		`args=-F`:                                "the exporter cannot stop it",
		`args="-e x"`:                            "the file is the script",
		`args=--remote=x`:                        "another host",
		`args=-V`:                                "it runs no script",
	} {
		s, err := readHeader("probe_is_no_comment // so this is the end\n# stap-exporter: bad\n", false)
		if err != nil || !slices.Equal(s.Directives.LateLines, []int{2}) {
			t.Fatalf("late line: %v, %v", s.Directives.LateLines, err)
		}
		_, err = readHeader("#!/bin/sh\n\n# stap-exporter: "+text+"\n", false)
		if !errors.Is(err, ErrInvalidHeader) || !strings.Contains(fmt.Sprint(err), "/s/a.stp:3: ") ||
			!strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("%s\ngot  %v\nwant %v", text, err, want)
		}
	}
}

// A directive without its colon is an error, and prose is not.
func TestHeaderWithoutColon(t *testing.T) {
	for text, wrong := range map[string]bool{
		"// stap-exporter keepalive=300\n":                   true,
		"#stap-exporter  metric x_total counter \"help\"\n":  true,
		"// stap-exporter runs this file with the server.\n": false,
		"// stap-exporter, version 2\n":                      false,
		"probe begin {}\n// stap-exporter keepalive=300\n":   false,
	} {
		if _, err := applyHeader(Script{Path: "a.stp"}, []byte(text)); errors.Is(err, ErrInvalidHeader) != wrong {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// All errors are reported at once, and valid lines count: the subcommand check
// shows both.
func TestHeaderReportsAll(t *testing.T) {
	s, err := readHeader(`// stap-exporter: keepalive=1 autostart=maybe
// stap-exporter: x=1 runtime=bpf
// stap-exporter: keepalive=2
`, false)
	want := []string{
		`/s/a.stp:1: autostart="maybe"`,
		`/s/a.stp:2: "x=1" is unknown`,
		"/s/a.stp:3: keepalive is given twice, first in line 1",
	}
	for i, line := range strings.Split(fmt.Sprint(err), "\n") {
		if i >= len(want) || !strings.Contains(line, want[i]) {
			t.Errorf("line %d: %s", i, line)
		}
	}
	if s.Runtime != "bpf" || *s.Directives.Keepalive != time.Second {
		t.Errorf("got %+v", s)
	}
}

func TestHeaderAutostartWinsOverName(t *testing.T) {
	for text, want := range map[string][2]bool{
		"":                {false, true},
		"autostart=false": {false, false},
		"autostart=true":  {true, true},
	} {
		for i, byName := range []bool{false, true} {
			s, _ := applyHeader(Script{Autostart: byName}, []byte("# stap-exporter: keepalive=1 "+text))
			if s.Autostart != want[i] {
				t.Errorf("%q, by name %v: got %v", text, byName, s.Autostart)
			}
		}
	}
}

// For a wrapper only directives that do not change stap's command line count.
func TestHeaderOfWrapper(t *testing.T) {
	const shell = "#!/bin/bash\n# stap-exporter: keepalive=9 start-timeout=2m\n"
	s, err := readHeader(shell+"exec stap \"$@\" x.stp\n", true)
	if err != nil || !s.Executable || *s.Directives.Keepalive != 9*time.Second || s.Shebang != nil {
		t.Errorf("got %+v, %v", s, err)
	}
	s, err = readHeader(shell+"# stap-exporter: args=-g runtime=bpf\n", true)
	for _, part := range []string{"/s/a.stp:3: args= is for scripts", "/s/a.stp:3: runtime= is for scripts"} {
		if !errors.Is(err, ErrInvalidHeader) || !strings.Contains(fmt.Sprint(err), part) {
			t.Errorf("got %v, want %s", err, part)
		}
	}
	if s.Runtime != "" || len(s.Options.Stap) != 0 {
		t.Errorf("got %+v", s)
	}
}

func TestHeaderEndsAt64KiB(t *testing.T) {
	const line = "# stap-exporter: keepalive=1\n"
	filler := strings.Repeat("#\n", (headerMax-len(line))/2)
	filler += strings.Repeat(" ", headerMax-len(line)-len(filler))
	for text, want := range map[string]bool{
		filler + line:                    true,
		filler + line + "x":              true,
		filler + " " + line:              false, // its newline is past the limit
		filler + "\n" + line + "# x":     false,
		strings.Repeat("x", headerMax+9): false,
	} {
		if s, err := readHeader(text, false); err != nil || (s.Directives.Keepalive != nil) != want {
			t.Errorf("%d bytes: %+v, %v", len(text), s.Directives, err)
		}
	}
}

func FuzzHeader(f *testing.F) {
	for _, text := range []string{
		"#!/usr/bin/stap -v --bpf -c 'a b'\n" +
			"// stap-exporter: keepalive=300 start-timeout=2m autostart=true runtime=bpf " +
			"args=\"-g --suppress-handler-errors\"\n",
		"#!/usr/bin/env -S stap -gvp5 -mx\n# stap-exporter: metric a counter \"b\\n\"\r\n\n" +
			"# stap-exporter: scrape-interval=1d scrape-timeout=1.5s\nx\n# stap-exporter: x",
		"# stap-exporter: args=\"-G \\\"a b\\\" \\\\ -sx --run bpf\"",
	} {
		f.Add([]byte(text), true)
		f.Add([]byte(text), false)
	}
	f.Fuzz(func(t *testing.T, head []byte, executable bool) {
		in := Script{Path: "/s/a.stp", Executable: executable}
		s, err := applyHeader(in, slices.Clone(head))
		if again, err2 := applyHeader(in, head); !reflect.DeepEqual(s, again) || fmt.Sprint(err) != fmt.Sprint(err2) {
			t.Fatal("not a pure function")
		}
		if err != nil && !errors.Is(err, ErrInvalidHeader) {
			t.Errorf("error %v", err)
		}
		d := s.Directives
		if d.Keepalive != nil && *d.Keepalive != 0 && *d.Keepalive < time.Second || d.StartTimeout < 0 ||
			d.ScrapeInterval < 0 ||
			d.ScrapeTimeout%time.Millisecond != 0 {
			t.Errorf("durations of %+v", d)
		}
		if !slices.Contains([]string{"", "auto", "kernel", "bpf"}, s.Runtime) {
			t.Errorf("runtime %q", s.Runtime)
		}
		for _, m := range d.Metrics {
			if !metricName.MatchString(m.Name) || strings.ContainsAny(m.Type, " \n") || m.Line < 1 {
				t.Errorf("metric %+v", m)
			}
		}
		if s.Executable && (!executable || s.Shebang != nil || !reflect.DeepEqual(s.Options, Options{})) {
			t.Errorf("wrapper: got %+v", s)
		}
		checkOptions(t, s.Options)
	})
}
