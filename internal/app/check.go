package app

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"go.uber.org/zap"

	"stap-exporter/internal/exposition"
	"stap-exporter/internal/instance"
	"stap-exporter/internal/procfile"
	"stap-exporter/internal/script"
	"stap-exporter/internal/stap"
	"stap-exporter/internal/trust"
)

// Check reports on each script that was named, or on all of the folder: trust,
// header, module, runtime, and whether stap accepts it. Its error says how many
// are wrong.
func Check(opts Options, stdout io.Writer) error {
	host, instance, err := toolHost(opts)
	if err != nil {
		return err
	}
	defer cleanUp(host.dir)()
	defer host.Close()
	found, err := scriptsToCheck(opts, instance)
	if err != nil {
		return err
	}
	wrong := len(found.Refused)
	for _, r := range found.Refused {
		fmt.Fprintf(stdout, "%q: refused: %v\n", r.Name, r.Err)
	}
	for _, s := range found.Scripts {
		if !report(stdout, host.Host, s, opts.compile) {
			wrong++
		}
	}
	if wrong > 0 {
		return fmt.Errorf("%d of %d scripts are wrong", wrong, len(found.Scripts)+len(found.Refused))
	}
	return nil
}

// scriptsToCheck takes a word as a path, or as a name in the scripts folder.
func scriptsToCheck(opts Options, instance instance.Instance) (c script.Catalogue, err error) {
	options := script.ScanOptions{AllowInsecure: opts.allowInsecure}
	if len(opts.words) == 0 {
		dir, err := scriptsDir(opts.scripts)
		if err != nil {
			return c, err
		}
		if c, err = script.Scan(dir, instance, options); err != nil {
			return c, misconfigured(err)
		}
		return c, nil
	}
	for _, word := range opts.words {
		path := word
		if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) && !strings.Contains(word, "/") {
			path = filepath.Join(opts.scripts, word)
		}
		s, err := script.Inspect(path, instance, options)
		if err != nil {
			c.Refused = append(c.Refused, script.Refusal{Name: word, Err: err})
			continue
		}
		c.Scripts = append(c.Scripts, s)
	}
	return c, nil
}

// report writes what there is to say of one script, and tells whether it is
// good.
func report(w io.Writer, host *stap.Host, s script.Script, compile bool) bool {
	fmt.Fprintf(w, "%s\n", s.Path)
	say := func(what, format string, args ...any) {
		fmt.Fprintf(w, "  %-10s %s\n", what, strings.ReplaceAll(fmt.Sprintf(format, args...), "\n", "\n             "))
	}
	good := true
	switch {
	case errors.Is(s.Refused, trust.ErrUntrusted):
		good = false
		say("trust", "%v", s.Refused)
	case s.Insecure != nil:
		say("trust", "allowed by --scripts.allow-insecure: %v", s.Insecure)
	default:
		say("trust", "only root and this user can change it")
	}
	if errors.Is(s.Refused, script.ErrInvalidHeader) {
		good = false
		if !errors.Is(s.Refused, trust.ErrUntrusted) {
			say("header", "%v", s.Refused)
		}
	}
	for _, line := range s.Directives.LateLines {
		say("header", "line %d looks like a directive, but comes after the header", line)
	}
	for _, o := range s.Options.Ignored {
		say("header", "option %s of the first line is the exporter's own matter and left out", o)
	}
	var list []exposition.Metadata
	for _, m := range s.Directives.Metrics {
		typ, _ := exposition.ParseType(m.Type)
		list = append(list, exposition.Metadata{Name: m.Name, Type: typ, Help: m.Help})
	}
	if _, err := exposition.NewDirectives(list); err != nil {
		good = false
		say("metric", "%v", err)
	}
	say("module", "%s", s.Module)
	if s.Autostart {
		say("starts", "with the server")
	} else {
		say("starts", "on request")
	}
	if s.Executable {
		say("runtime", "its own choice: it is a program, run as it is, and cannot be tried without running it")
		return good
	}
	say("runtime", "%s", host.RuntimeOf(s))
	if s.Refused != nil {
		return false
	}
	exit := host.Check(s, compile)
	if exit.Err != nil || exit.Code != 0 {
		say("stap", "%s", exit.Reason())
		return false
	}
	say("stap", "accepts it")
	return good
}

// Doctor says what this host can do, a line each. Its error says that no
// runtime works.
func Doctor(opts Options, stdout io.Writer) error {
	cache := stap.Finding{Check: "cache folder", OK: true}
	cfg, _, err := toolConfig(opts)
	if err != nil {
		cache = stap.Finding{Check: "cache folder", Detail: err.Error(), Remedy: "name another with --cache.dir"}
		if opts.cacheDir, err = os.MkdirTemp("", "stap-exporter-"); err != nil {
			return fmt.Errorf("make work folder: %w", err)
		}
		defer os.RemoveAll(opts.cacheDir)
		if cfg, _, err = toolConfig(opts); err != nil {
			return err
		}
	} else {
		cache.Detail = filepath.Dir(cfg.Dir)
	}
	defer cleanUp(cfg.Dir)()
	findings := append([]stap.Finding{cache}, stap.Diagnose(cfg)...)
	findings = append(findings, trustOf(opts))
	if opts.json {
		out := json.NewEncoder(stdout)
		out.SetIndent("", "  ")
		if err := out.Encode(findings); err != nil {
			return fmt.Errorf("write findings: %w", err)
		}
	} else {
		for _, f := range findings {
			mark := "ok  "
			if !f.OK {
				mark = "no  "
			}
			fmt.Fprintf(stdout, "%s%-18s %s\n", mark, f.Check, f.Detail)
			if f.Remedy != "" {
				fmt.Fprintf(stdout, "    %-18s %s\n", "", f.Remedy)
			}
		}
	}
	for _, f := range findings {
		if f.OK && (f.Check == stap.CheckKernel || f.Check == stap.CheckBPF) {
			return nil
		}
	}
	return errors.New("no runtime works here: the lines above say what is missing")
}

// trustOf looks at the scripts folder.
func trustOf(opts Options) stap.Finding {
	f := stap.Finding{Check: "scripts", Detail: opts.scripts}
	dir, err := scriptsDir(opts.scripts)
	if err != nil {
		f.Detail, f.Remedy = err.Error(), "make the folder, or name another with --scripts"
		return f
	}
	found, err := script.Scan(dir, instance.New(os.Geteuid(), dir, opts.listen), script.ScanOptions{})
	if err != nil {
		f.Detail = err.Error()
		return f
	}
	bad := len(found.Refused)
	for _, s := range found.Scripts {
		if s.Refused != nil {
			bad++
		}
	}
	f.OK, f.Detail = bad == 0, fmt.Sprintf(
		"%s: %d scripts, %d refused",
		dir,
		len(found.Scripts)+len(found.Refused),
		bad,
	)
	if bad > 0 {
		f.Remedy = "stap-exporter check says why"
	}
	return f
}

// commandHost is a Host for a command that runs beside an exporter, in a folder
// of its own.
type commandHost struct {
	*stap.Host
	dir string
}

func toolConfig(opts Options) (stap.Config, instance.Instance, error) {
	cacheDir, err := makeCacheDir(opts.cacheDir)
	if err != nil {
		return stap.Config{}, instance.Instance{}, err
	}
	dir, err := os.MkdirTemp(cacheDir, "command-")
	if err != nil {
		return stap.Config{}, instance.Instance{}, fmt.Errorf(
			"make work folder: %w: name another place with --cache.dir",
			err,
		)
	}
	self, err := os.Executable()
	if err != nil {
		return stap.Config{}, instance.Instance{}, fmt.Errorf("find this program's own file: %w", err)
	}
	folder, err := scriptsDir(opts.scripts)
	if err != nil {
		folder = opts.scripts // doctor and check say so where it matters
	}
	instance := instance.New(os.Geteuid(), folder, opts.listen)
	return stap.Config{
		Stap:          opts.stap,
		Runtime:       opts.runtime,
		StapRuntime:   opts.stapRuntime,
		Dir:           dir,
		Roots:         procfile.DefaultRoots(),
		Launcher:      []string{self, LaunchArg},
		Guardian:      []string{self, GuardArg, "--log.level=error"},
		AllowInsecure: true,
		StartTimeout:  opts.startTimeout,
		ModulePrefix:  fmt.Sprintf("stap_exporter_%d_", os.Getpid()),
		Logger:        zap.NewNop(),
	}, instance, nil
}

// cleanUp returns what removes the command's work folder. A signal removes it,
// too, and ends the command; the guardian then ends what it had started.
func cleanUp(dir string) func() {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	go func() {
		<-signals
		os.RemoveAll(dir)
		os.Exit(1)
	}()
	return func() { os.RemoveAll(dir) }
}

func toolHost(opts Options) (commandHost, instance.Instance, error) {
	cfg, instance, err := toolConfig(opts)
	if err != nil {
		return commandHost{}, instance, err
	}
	host, err := stap.NewHost(cfg)
	if err != nil {
		os.RemoveAll(cfg.Dir)
		return commandHost{}, instance, explainNoStap(opts, err)
	}
	return commandHost{host, cfg.Dir}, instance, nil
}
