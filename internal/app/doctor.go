package app

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"stap-exporter/internal/doctor"
	"stap-exporter/internal/instance"
	"stap-exporter/internal/runner"
	"stap-exporter/internal/script"
)

// Doctor is the subcommand doctor: it reports what this host can do for
// scripts, one finding a line, or as JSON. Its error reports that no runtime
// works.
func Doctor(opts Options, stdout io.Writer) error {
	cfg, cache, err := doctorConfig(&opts)
	if err != nil {
		return err
	}
	if !cache.OK {
		defer os.RemoveAll(opts.cacheDir) // a temporary one
	}
	defer removeAtEnd(cfg.Dir)()
	findings := append([]doctor.Finding{cache}, doctor.Diagnose(cfg)...)
	findings = append(findings, scriptsFinding(opts))
	if err := printFindings(stdout, findings, opts.doctorJSON); err != nil {
		return err
	}
	for _, f := range findings {
		if f.OK && (f.Check == doctor.CheckKernel || f.Check == doctor.CheckBPF) {
			return nil
		}
	}
	return errors.New("no runtime works: the lines above name what is missing")
}

// doctorConfig returns the configuration of the checks. Where the cache
// directory cannot be used it is a finding, and a temporary one is used.
func doctorConfig(opts *Options) (runner.Config, doctor.Finding, error) {
	cache := doctor.Finding{Check: "cache directory"}
	cfg, _, err := commandConfig(*opts)
	if err == nil {
		cache.OK, cache.Detail = true, filepath.Dir(cfg.Dir)
		return cfg, cache, nil
	}
	cache.Detail, cache.Remedy = err.Error(), "name another with --cache.dir"
	if opts.cacheDir, err = os.MkdirTemp("", "stap-exporter-"); err != nil {
		return cfg, cache, fmt.Errorf("create work directory: %w", err)
	}
	cfg, _, err = commandConfig(*opts)
	return cfg, cache, err
}

// scriptsFinding is the finding about the script directory.
func scriptsFinding(opts Options) doctor.Finding {
	f := doctor.Finding{Check: "scripts", Detail: opts.scripts}
	dir, err := scriptDir(opts.scripts)
	if err != nil {
		f.Detail, f.Remedy = err.Error(), "create the directory, or name another with --scripts"
		return f
	}
	found, err := script.Scan(dir, instance.New(os.Geteuid(), dir, opts.listen), script.ScanOptions{})
	if err != nil {
		f.Detail = err.Error()
		return f
	}
	refused := len(found.Refused)
	for _, s := range found.Scripts {
		if s.Refused != nil {
			refused++
		}
	}
	f.OK = refused == 0
	f.Detail = fmt.Sprintf("%s: %d scripts, %d refused", dir, len(found.Scripts)+len(found.Refused), refused)
	if refused > 0 {
		f.Remedy = "stap-exporter check gives the reasons"
	}
	return f
}

func printFindings(w io.Writer, findings []doctor.Finding, asJSON bool) error {
	if asJSON {
		out := json.NewEncoder(w)
		out.SetIndent("", "  ")
		if err := out.Encode(findings); err != nil {
			return fmt.Errorf("write findings: %w", err)
		}
		return nil
	}
	for _, f := range findings {
		mark := "ok  "
		if !f.OK {
			mark = "no  "
		}
		fmt.Fprintf(w, "%s%-18s %s\n", mark, f.Check, f.Detail)
		if f.Remedy != "" {
			fmt.Fprintf(w, "    %-18s %s\n", "", f.Remedy)
		}
	}
	return nil
}
