package app

import (
	"net/url"
	"os"
	"path/filepath"
	"time"

	"stap-exporter/httpfront"
	"stap-exporter/internal/toolchain"

	"go.uber.org/zap/zapcore"
)

// defaultStap is looked up in PATH.
const defaultStap = "stap"

// Options are the parsed command line. ParseFlags returns them.
type Options struct {
	Command Command

	version string // of this program

	listen        []string // HOST:PORT
	webConfig     string   // file; empty: none
	externalURL   *url.URL // nil: taken from each request
	telemetryPath string
	lifecycle     bool
	maxRequests   int
	systemdSocket bool

	scripts       string // directory
	keepalive     time.Duration
	allowInsecure bool
	runtime       toolchain.Runtime
	precompile    bool
	maxParallel   int // 0: by the number of CPUs
	startTimeout  time.Duration
	readTimeout   time.Duration

	stap           string // name or path
	stapRuntimeDir string // empty: SystemTap's own
	cacheDir       string

	logLevel  zapcore.Level
	logFormat string // logfmt or json

	checkScripts []string // files or names; empty: the whole directory
	checkCompile bool
	doctorJSON   bool

	subreaper bool // orphans of the scripts become children of this process
}

// Command is a subcommand.
type Command string

// The subcommands. CommandNone: ParseFlags has printed the help or the version.
const (
	CommandNone   Command = ""
	CommandServe  Command = "serve"
	CommandCheck  Command = "check"
	CommandDoctor Command = "doctor"
)

func defaultOptions(version string) Options {
	return Options{
		version:       version,
		telemetryPath: "/metrics",
		maxRequests:   httpfront.DefaultMaxRequests,
		scripts:       "/etc/stap-exporter",
		startTimeout:  5 * time.Minute,
		readTimeout:   10 * time.Second,
		stap:          defaultStap,
		cacheDir:      defaultCacheDir(),
		logFormat:     "logfmt",
		subreaper:     true,
	}
}

// defaultCacheDir is the system's directory for root and the user's own for
// others.
func defaultCacheDir() string {
	if os.Geteuid() != 0 {
		if dir, err := os.UserCacheDir(); err == nil {
			return filepath.Join(dir, "stap-exporter")
		}
	}
	return "/var/cache/stap-exporter"
}
