package app

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"stap-exporter/internal/exposition"
	"stap-exporter/internal/instance"
	"stap-exporter/internal/runner"
	"stap-exporter/internal/script"
	"stap-exporter/internal/trust"
)

// Check is the subcommand check: it reports on the scripts named, or on all of
// the script directory: trust, header, module, runtime, and whether stap
// accepts them. Its error gives the number of wrong ones.
func Check(opts Options, stdout io.Writer) error {
	host, err := newCommandHost(opts)
	if err != nil {
		return err
	}
	defer host.close()
	found, err := scriptsToCheck(opts, host.instance)
	if err != nil {
		return err
	}
	wrong := len(found.Refused)
	for _, r := range found.Refused {
		fmt.Fprintf(stdout, "%q: refused: %v\n", r.Name, r.Err)
	}
	for _, s := range found.Scripts {
		r := report{out: stdout, ok: true}
		r.script(host.Host, s, opts.checkCompile)
		if !r.ok {
			wrong++
		}
	}
	if wrong > 0 {
		return fmt.Errorf("%d of %d scripts are wrong", wrong, len(found.Scripts)+len(found.Refused))
	}
	return nil
}

// scriptsToCheck takes each argument as a path, or as a name in the script
// directory.
func scriptsToCheck(opts Options, instance instance.Instance) (c script.Catalogue, err error) {
	options := script.ScanOptions{AllowInsecure: opts.allowInsecure}
	if len(opts.checkScripts) == 0 {
		dir, err := scriptDir(opts.scripts)
		if err != nil {
			return c, err
		}
		if c, err = script.Scan(dir, instance, options); err != nil {
			return c, misconfigured(err)
		}
		return c, nil
	}
	for _, name := range opts.checkScripts {
		path := name
		if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) && !strings.Contains(name, "/") {
			path = filepath.Join(opts.scripts, name)
		}
		s, err := script.Inspect(path, instance, options)
		if err != nil {
			c.Refused = append(c.Refused, script.Refusal{Name: name, Err: err})
			continue
		}
		c.Scripts = append(c.Scripts, s)
	}
	return c, nil
}

// report is the report on one script.
type report struct {
	out io.Writer
	ok  bool
}

// line writes a line; the lines of a longer text are indented.
func (r *report) line(topic, format string, args ...any) {
	text := strings.ReplaceAll(fmt.Sprintf(format, args...), "\n", "\n             ")
	fmt.Fprintf(r.out, "  %-10s %s\n", topic, text)
}

// fail writes a line about something wrong.
func (r *report) fail(topic, format string, args ...any) {
	r.ok = false
	r.line(topic, format, args...)
}

func (r *report) script(host *runner.Host, s script.Script, compile bool) {
	fmt.Fprintf(r.out, "%s\n", s.Path)
	r.trust(s)
	r.header(s)
	r.line("module", "%s", s.Module)
	if s.Autostart {
		r.line("starts", "with the exporter")
	} else {
		r.line("starts", "on request")
	}
	if s.Executable {
		r.line("runtime", "chosen by the script, which is executable and cannot be validated without running it")
		return
	}
	r.line("runtime", "%s", host.RuntimeOf(s))
	if s.Refused != nil {
		r.ok = false
		return
	}
	if exit := host.Check(s, compile); exit.Err != nil || exit.Code != 0 {
		r.fail("stap", "%s", exit.Reason())
		return
	}
	r.line("stap", "accepts it")
}

func (r *report) trust(s script.Script) {
	switch {
	case errors.Is(s.Refused, trust.ErrUntrusted):
		r.fail("trust", "%v", s.Refused)
	case s.Insecure != nil:
		r.line("trust", "allowed by --scripts.allow-insecure: %v", s.Insecure)
	default:
		r.line("trust", "only root and this user can change it")
	}
}

func (r *report) header(s script.Script) {
	if errors.Is(s.Refused, script.ErrInvalidHeader) {
		r.ok = false
		if !errors.Is(s.Refused, trust.ErrUntrusted) { // its line has the whole error
			r.line("header", "%v", s.Refused)
		}
	}
	for _, line := range s.Directives.LateLines {
		r.line("header", "line %d looks like a directive, but comes after the header", line)
	}
	for _, o := range s.Options.Ignored {
		r.line("header", "option %s of the first line is ignored: the exporter sets it", o)
	}
	var list []exposition.Metadata
	for _, m := range s.Directives.Metrics {
		typ, _ := exposition.ParseType(m.Type)
		list = append(list, exposition.Metadata{Name: m.Name, Type: typ, Help: m.Help})
	}
	if _, err := exposition.NewDirectives(list); err != nil {
		r.fail("metric", "%v", err)
	}
}
