package app

import (
	"errors"
	"fmt"
	"io"
	"net"
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
	"stap-exporter/internal/toolchain"
)

// ParseFlags parses the command line. Help and version go to stdout, and the
// command is CommandNone then. An error names the flag and its value; it is a
// ConfigError where the value names something that does not exist.
func ParseFlags(args []string, version string, stdout io.Writer) (Options, error) {
	opts := defaultOptions(version)
	printed := false
	app := kingpin.New(
		"stap-exporter",
		"Runs a directory of SystemTap scripts and makes each a Prometheus target: "+
			"GET /NAME.stp starts NAME.stp if it is not running and answers with its metrics.",
	)
	app.Terminate(func(int) { printed = true })
	app.UsageWriter(stdout)
	app.ErrorWriter(stdout)
	app.HelpFlag.Short('h')
	app.Version("stap-exporter " + version)

	port := addWebFlags(app, &opts)
	addScriptFlags(app, &opts)
	addOtherFlags(app, &opts)
	addCommands(app, &opts)

	command, err := app.Parse(args)
	if printed {
		return opts, nil
	}
	if err != nil {
		return opts, err
	}
	opts.Command = Command(command)
	if len(opts.listen) == 0 {
		opts.listen = []string{":" + strconv.Itoa(*port)}
	}
	return opts, nil
}

func addWebFlags(app *kingpin.Application, opts *Options) (port *int) {
	port = new(int)
	*port = 9900
	app.Flag("port", "Port to listen on, all interfaces, IPv4 and IPv6 (9900).").Short('p').PlaceHolder("PORT").
		SetValue(parsed("port", port, parsePort))
	app.Flag("web.listen-address", "Address to listen on; may be repeated; wins over --port.").
		PlaceHolder("HOST:PORT").SetValue(repeated("web.listen-address", &opts.listen, parseAddress))
	app.Flag("web.config.file", "Web config file as of node_exporter: TLS, users, response headers, rate limit.").
		PlaceHolder("FILE").StringVar(&opts.webConfig)
	app.Flag(
		"web.external-url",
		"Address under which clients reach the exporter, for /sd behind a proxy (taken from each request).",
	).PlaceHolder("URL").SetValue(parsed("web.external-url", &opts.externalURL, httpfront.ParseExternalURL))
	app.Flag("web.telemetry-path", "Path of the exporter's own metrics (/metrics).").PlaceHolder("PATH").
		SetValue(parsed("web.telemetry-path", &opts.telemetryPath, parseTelemetryPath))
	app.Flag("web.enable-lifecycle", "Start, stop and restart scripts, and reload, by POST.").
		BoolVar(&opts.lifecycle)
	app.Flag("web.max-requests", "How many requests for /all are answered at a time (40).").PlaceHolder("N").
		SetValue(parsed("web.max-requests", &opts.maxRequests, parseCount))
	app.Flag("web.systemd-socket", "Listen on the sockets that systemd passes, instead of an address.").
		BoolVar(&opts.systemdSocket)
	return port
}

func addScriptFlags(app *kingpin.Application, opts *Options) {
	app.Flag("scripts", "Directory of the scripts, each a file *.stp (/etc/stap-exporter).").Short('s').
		PlaceHolder("DIR").SetValue(parsed("scripts", &opts.scripts, parseDirectory))
	app.Flag("c", "Another name for --scripts.").Short('c').PlaceHolder("DIR").Hidden().
		SetValue(parsed("c", &opts.scripts, parseDirectory))
	app.Flag(
		"keepalive",
		"Stop a script that was not requested for SECONDS. "+
			"Scripts with autostart in their name are never stopped. (Default: none is.)",
	).Short('k').PlaceHolder("SECONDS").SetValue(parsed("keepalive", &opts.keepalive, parseSeconds))
	app.Flag("scripts.allow-insecure",
		"Run scripts, and a SystemTap, that others than root and this user can change, too.").
		BoolVar(&opts.allowInsecure)
	app.Flag(
		"script.runtime",
		"SystemTap runtime for scripts that are not executable files: kernel modules, bpf, "+
			"or kernel modules where they work (auto).",
	).PlaceHolder("auto|kernel|bpf").SetValue(parsed("script.runtime", &opts.runtime, parseRuntime))
	app.Flag("script.precompile", "Compile all kernel modules at start, in the background, one at a time.").
		BoolVar(&opts.precompile)
	app.Flag(
		"script.max-parallel-starts",
		"How many scripts compile and load at a time; others wait in a queue (the number of CPUs, at least 2).",
	).PlaceHolder("N").SetValue(parsed("script.max-parallel-starts", &opts.maxParallel, parseCount))
	app.Flag("script.start-timeout", "How long a script may take to compile and load (5m).").
		PlaceHolder("DURATION").SetValue(parsed("script.start-timeout", &opts.startTimeout, parseDuration))
	app.Flag("script.read-timeout", "How long one read of a running script's metrics may take (10s).").
		PlaceHolder("DURATION").SetValue(parsed("script.read-timeout", &opts.readTimeout, parseDuration))
}

func addOtherFlags(app *kingpin.Application, opts *Options) {
	app.Flag("stap.path", "The stap executable (stap, looked up in PATH).").PlaceHolder("PATH").StringVar(&opts.stap)
	app.Flag(
		"stap.runtime-dir",
		"SystemTap's runtime directory for kernel modules, where its own does not compile on this kernel (stap -R).",
	).PlaceHolder("DIR").SetValue(parsed("stap.runtime-dir", &opts.stapRuntimeDir, parseRuntimeDir))
	app.Flag(
		"cache.dir",
		"Directory of the exporter's compiled modules and work files, not shared ("+opts.cacheDir+").",
	).PlaceHolder("DIR").StringVar(&opts.cacheDir)
	app.Flag("log.level", "Least severe messages to log (info).").PlaceHolder("debug|info|warn|error").
		SetValue(parsed("log.level", &opts.logLevel, parseLogLevel))
	app.Flag("log.format", "Format of the log (logfmt).").PlaceHolder("logfmt|json").
		SetValue(parsed("log.format", &opts.logFormat, parseLogFormat))
}

func addCommands(app *kingpin.Application, opts *Options) {
	app.Command(string(CommandServe), "Serve the scripts: what stap-exporter does without a command.").Default()
	check := app.Command(
		string(CommandCheck),
		"Report on scripts: who can change them, header, module, runtime, and whether stap accepts them. "+
			"Exit code 1 when one is wrong.",
	)
	check.Flag("compile", "Let stap compile them, too.").BoolVar(&opts.checkCompile)
	check.Arg("script", "Files, or names in the script directory (default: all of it).").
		StringsVar(&opts.checkScripts)
	doctor := app.Command(
		string(CommandDoctor),
		"Report what this host can and cannot do for scripts, with a remedy. Exit code 1 when no runtime works.",
	)
	doctor.Flag("json", "Print JSON.").BoolVar(&opts.doctorJSON)
}

// value is a flag's value. Its errors name the flag and the argument.
type value struct {
	name string
	set  func(string) error
	many bool
}

// parsed is the value of a flag that sets target.
func parsed[T any](name string, target *T, parse func(string) (T, error)) value {
	return value{name: name, set: func(s string) (err error) {
		v, err := parse(s)
		if err == nil {
			*target = v
		}
		return err
	}}
}

// repeated is the value of a flag that appends to target each time.
func repeated[T any](name string, target *[]T, parse func(string) (T, error)) value {
	return value{name: name, many: true, set: func(s string) error {
		v, err := parse(s)
		if err == nil {
			*target = append(*target, v)
		}
		return err
	}}
}

// Set parses the argument.
func (v value) Set(s string) error {
	if err := v.set(s); err != nil {
		return fmt.Errorf("flag --%s: value %q %w", v.name, s, err)
	}
	return nil
}

// String is for kingpin, which would show it as the default; the help texts
// have the defaults.
func (v value) String() string { return "" }

// IsCumulative tells kingpin whether the flag may be repeated.
func (v value) IsCumulative() bool { return v.many }

func parsePort(s string) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > 65535 {
		return 0, errors.New("must be a port number from 1 to 65535")
	}
	return n, nil
}

func parseAddress(s string) (string, error) {
	_, port, err := net.SplitHostPort(s)
	if err != nil {
		return "", errors.New("must be HOST:PORT or :PORT, an IPv6 address in []")
	}
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
		return "", errors.New("must end in a port number from 0 to 65535")
	}
	return s, nil
}

func parseTelemetryPath(s string) (string, error) {
	if !strings.HasPrefix(s, "/") || strings.HasSuffix(s, script.Ext) || slices.Contains(httpfront.FixedPaths(), s) {
		return "", errors.New("must be a path that begins with / and is used for nothing else")
	}
	return s, nil
}

func parseDirectory(s string) (string, error) {
	if s == "" {
		return "", errors.New("must name a directory")
	}
	return s, nil
}

func parseSeconds(s string) (time.Duration, error) {
	n, err := strconv.ParseInt(s, 10, 32)
	if err != nil || n < 1 {
		return 0, errors.New("must be a whole number of seconds, at least 1; omit the flag to keep scripts running")
	}
	return time.Duration(n) * time.Second, nil
}

func parseRuntime(s string) (toolchain.Runtime, error) {
	runtime, err := toolchain.ParseRuntime(s)
	if err != nil {
		return runtime, errors.New("must be auto, kernel or bpf")
	}
	return runtime, nil
}

func parseCount(s string) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 {
		return 0, errors.New("must be a whole number, at least 1")
	}
	return n, nil
}

func parseDuration(s string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	if err != nil || d <= 0 {
		return 0, errors.New("must be a duration above 0 with a unit, like 30s or 5m")
	}
	return d, nil
}

func parseRuntimeDir(s string) (string, error) {
	if _, err := os.Stat(filepath.Join(s, "runtime.h")); err != nil {
		return "", ConfigError{errors.New("must be a directory that contains SystemTap's runtime.h")}
	}
	return filepath.Abs(s)
}

func parseLogLevel(s string) (level zapcore.Level, err error) {
	if level.Set(s) != nil || level > zapcore.ErrorLevel {
		return level, errors.New("must be debug, info, warn or error")
	}
	return level, nil
}

func parseLogFormat(s string) (string, error) {
	if s != "logfmt" && s != "json" {
		return "", errors.New("must be logfmt or json")
	}
	return s, nil
}
