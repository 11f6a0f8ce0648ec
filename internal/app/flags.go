package app

import (
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/alecthomas/kingpin/v2"
	"go.uber.org/zap/zapcore"

	"stap-exporter/httpfront"
	"stap-exporter/internal/script"
	"stap-exporter/internal/stap"
)

// defaultStap is looked up in PATH.
const defaultStap = "stap"

// Options are the command line, checked.
type Options struct {
	version string // of this program

	listen        []string
	keepalive     time.Duration
	scripts       string
	allowInsecure bool
	stap          string
	runtime       stap.Runtime
	cacheDir      string
	startTimeout  time.Duration
	maxParallel   int // 0: by the number of processors
	readTimeout   time.Duration
	logLevel      zapcore.Level
	logFormat     string
	webConfig     string // empty: none
	lifecycle     bool
	externalURL   *url.URL // nil: as each request says
	systemdSocket bool
	telemetryPath string
	stapRuntime   string
	precompile    bool

	Command string   // serve, check or doctor
	words   []string // check: the scripts
	compile bool     // check
	json    bool     // doctor
}

// ParseFlags returns done when the command line only asked for help or the
// version. An error names the flag and its value.
func ParseFlags(args []string, version string, stdout io.Writer) (opts Options, done bool, err error) {
	opts = Options{
		version:       version,
		scripts:       "/etc/stap-exporter",
		stap:          defaultStap,
		cacheDir:      defaultCacheDir(),
		startTimeout:  5 * time.Minute,
		readTimeout:   10 * time.Second,
		logFormat:     "logfmt",
		telemetryPath: "/metrics",
	}
	port := 9900

	app := kingpin.New(
		"stap-exporter",
		"Runs a folder of SystemTap scripts and makes each a Prometheus target: GET /NAME.stp starts NAME.stp if it is not running and answers with its metrics.",
	)
	app.Terminate(func(int) { done = true })
	app.UsageWriter(stdout)
	app.ErrorWriter(stdout)
	app.HelpFlag.Short('h')
	app.Version("stap-exporter " + version)

	flag := func(name string, short rune, placeholder, help string, set func(string) error) *kingpin.FlagClause {
		f := app.Flag(name, help).PlaceHolder(placeholder)
		if short != 0 {
			f = f.Short(short)
		}
		f.SetValue(value{name, set})
		return f
	}
	flag("port", 'p', "PORT", "Port to listen on, all interfaces, IPv4 and IPv6 (9900).", func(s string) (err error) {
		port, err = parsePort(s)
		return err
	})
	flag(
		"keepalive",
		'k',
		"SECONDS",
		"Stop a script that nobody has asked for in SECONDS. Scripts with autostart in their name are never stopped. (Without: none is.)",
		func(s string) (err error) {
			opts.keepalive, err = parseSeconds(s)
			return err
		},
	)
	setScripts := func(s string) error {
		if s == "" {
			return fmt.Errorf("is to name a folder")
		}
		opts.scripts = s
		return nil
	}
	flag("scripts", 's', "DIR", "Folder of the scripts, each a file *.stp (/etc/stap-exporter).", setScripts)
	flag("c", 'c', "DIR", "Another name for --scripts.", setScripts).Hidden()
	app.Flag("scripts.allow-insecure", "Run scripts that others than root and this user can change, too.").
		BoolVar(&opts.allowInsecure)
	flag(
		"web.listen-address",
		0,
		"HOST:PORT",
		"Address to listen on; may be repeated; wins over --port.",
		func(s string) error {
			opts.listen = append(opts.listen, s)
			return checkAddress(s)
		},
	)
	flag(
		"web.config.file",
		0,
		"FILE",
		"Web config file as of node_exporter: TLS, logins, response headers, rate limit.",
		func(s string) error {
			opts.webConfig = s
			return nil
		},
	)
	flag(
		"web.external-url",
		0,
		"URL",
		"Address under which clients reach the exporter, for /sd behind a proxy (as each request says).",
		func(s string) (err error) {
			opts.externalURL, err = httpfront.ParseExternalURL(s)
			return err
		},
	)
	app.Flag("web.enable-lifecycle", "Start, stop and restart scripts, and reload, by POST.").BoolVar(&opts.lifecycle)
	app.Flag("web.systemd-socket", "Listen on the sockets that systemd passes, instead of an address.").
		BoolVar(&opts.systemdSocket)
	flag("stap", 0, "PATH", "The stap program (stap, looked up in PATH).", func(s string) error {
		opts.stap = s
		return nil
	})
	flag(
		"runtime",
		0,
		"auto|kernel|bpf",
		"SystemTap runtime for scripts that are not executable files: kernel modules, bpf, or kernel modules where they work (auto).",
		func(s string) (err error) {
			if opts.runtime, err = stap.ParseRuntime(s); err != nil {
				return fmt.Errorf("is to be auto, kernel or bpf")
			}
			return nil
		},
	)
	flag(
		"stap-runtime",
		0,
		"DIR",
		"SystemTap's runtime folder for kernel modules, where its own does not compile on this kernel (stap -R).",
		func(s string) (err error) {
			if _, err := os.Stat(filepath.Join(s, "runtime.h")); err != nil {
				return ConfigError{fmt.Errorf("is to be a folder that holds SystemTap's runtime.h")}
			}
			opts.stapRuntime, err = filepath.Abs(s)
			return err
		},
	)
	app.Flag("precompile", "Compile all kernel modules at start, in the background, one at a time.").
		BoolVar(&opts.precompile)
	flag("web.telemetry-path", 0, "PATH", "Path of the exporter's own metrics (/metrics).", func(s string) error {
		if !strings.HasPrefix(s, "/") || strings.HasSuffix(s, script.Ext) ||
			slices.Contains(httpfront.FixedPaths(), s) {
			return fmt.Errorf("is to be a path that begins with / and is used for nothing else")
		}
		opts.telemetryPath = s
		return nil
	})
	flag(
		"cache.dir",
		0,
		"DIR",
		"Folder for what the exporter keeps and works in, its own alone ("+opts.cacheDir+").",
		func(s string) error {
			opts.cacheDir = s
			return nil
		},
	)
	flag(
		"start-timeout",
		0,
		"DURATION",
		"How long a script may take to compile and load (5m).",
		func(s string) (err error) {
			opts.startTimeout, err = parseDuration(s)
			return err
		},
	)
	flag(
		"start.max-parallel",
		0,
		"N",
		"How many scripts compile and load at a time; others wait for their turn (the number of processors, at least 2).",
		func(s string) (err error) {
			if opts.maxParallel, err = strconv.Atoi(s); err != nil || opts.maxParallel < 1 {
				return fmt.Errorf("is to be a whole number, at least 1")
			}
			return nil
		},
	)
	flag(
		"read-timeout",
		0,
		"DURATION",
		"How long one read of a running script's metrics may take (10s).",
		func(s string) (err error) {
			opts.readTimeout, err = parseDuration(s)
			return err
		},
	)
	flag("log.level", 0, "debug|info|warn|error", "Least severe messages to log (info).", func(s string) error {
		if opts.logLevel.Set(s) != nil || opts.logLevel > zapcore.ErrorLevel {
			return fmt.Errorf("is to be debug, info, warn or error")
		}
		return nil
	})
	flag("log.format", 0, "logfmt|json", "Format of the log (logfmt).", func(s string) error {
		if s != "logfmt" && s != "json" {
			return fmt.Errorf("is to be logfmt or json")
		}
		opts.logFormat = s
		return nil
	})

	app.Command("serve", "Serve the scripts: what stap-exporter does without a command.").Default()
	checks := app.Command(
		"check",
		"Report on scripts: who can change them, header, module, runtime, and whether stap accepts them. Exit code 1 when one is wrong.",
	)
	checks.Flag("compile", "Let stap compile them, too.").BoolVar(&opts.compile)
	checks.Arg("script", "Files, or names in the scripts folder; without: all of it.").StringsVar(&opts.words)
	doctors := app.Command(
		"doctor",
		"Say what this host can and cannot do for scripts, and the mend. Exit code 1 when no runtime works.",
	)
	doctors.Flag("json", "As JSON.").BoolVar(&opts.json)

	opts.Command, err = app.Parse(args)
	if done {
		return opts, true, nil
	}
	if err != nil {
		return opts, false, err
	}
	if len(opts.listen) == 0 {
		opts.listen = []string{":" + strconv.Itoa(port)}
	}
	return opts, false, nil
}

// value is a flag's value whose errors name the flag and what was given.
type value struct {
	name string
	set  func(string) error
}

// Set parses what was given.
func (v value) Set(s string) error {
	if err := v.set(s); err != nil {
		return fmt.Errorf("flag --%s: value %q %w", v.name, s, err)
	}
	return nil
}

// String is for kingpin, which shows defaults by it; the help texts name them.
func (v value) String() string { return "" }

// IsCumulative tells which flag may be repeated.
func (v value) IsCumulative() bool { return v.name == "web.listen-address" }

func parsePort(s string) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > 65535 {
		return 0, fmt.Errorf("is to be a port number from 1 to 65535")
	}
	return n, nil
}

func parseSeconds(s string) (time.Duration, error) {
	n, err := strconv.ParseInt(s, 10, 32)
	if err != nil || n < 1 {
		return 0, fmt.Errorf(
			"is to be a whole number of seconds, at least 1; leave the flag out to keep scripts running",
		)
	}
	return time.Duration(n) * time.Second, nil
}

func parseDuration(s string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	if err != nil || d <= 0 {
		return 0, fmt.Errorf("is to be a time above 0 with a unit, like 30s or 5m")
	}
	return d, nil
}

func checkAddress(s string) error {
	_, port, err := net.SplitHostPort(s)
	if err != nil {
		return fmt.Errorf("is to be HOST:PORT or :PORT, an IPv6 address in []")
	}
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
		return fmt.Errorf("is to end in a port number from 0 to 65535")
	}
	return nil
}

// defaultCacheDir is the system's folder for root and the user's own for
// others.
func defaultCacheDir() string {
	if os.Geteuid() != 0 {
		if dir, err := os.UserCacheDir(); err == nil {
			return filepath.Join(dir, "stap-exporter")
		}
	}
	return "/var/cache/stap-exporter"
}
