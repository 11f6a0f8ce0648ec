package stap

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"stap-exporter/internal/script"
	"stap-exporter/internal/toolchain"
)

// Finding is one line of a diagnosis.
type Finding struct {
	Check  string `json:"check"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail"`         // what was found
	Remedy string `json:"mend,omitempty"` // what to do about it, unless OK
}

// The checks that say whether a runtime works: a script was compiled, run and
// read.
const (
	CheckKernel = "kernel modules"
	CheckBPF    = "bpf"
)

// works is a script that needs no debuginfo and has metrics in both runtimes.
const works = `global a
probe begin { a[1] = 1 }
probe timer.s(1000) { a[1]++ }
probe prometheus { @prometheus_dump_array1(a, "works", "x") }
`

// Diagnose says what this host can and cannot do for scripts. It tries each
// runtime for real, in cfg.Dir, which must be nobody else's; that takes as long
// as compiling a kernel module. cfg.Runtime is ignored.
func Diagnose(cfg Config) []Finding {
	cfg.Runtime = toolchain.BPF // no trial in the background
	sys, err := toolchain.ThisSystem()
	if err != nil {
		return []Finding{{Check: "kernel", Detail: err.Error()}}
	}
	d := diagnosis{system: sys}
	h, err := newHost(cfg, d.system)
	if err != nil {
		h = &Host{cfg: cfg.withDefaults(), system: d.system}
		h.tools, _ = toolchain.Find(cfg.Stap)
	}
	defer h.Close()
	d.host = h
	d.stap(err)
	d.compiler()
	d.headers()
	d.debuginfo()
	d.modules()
	d.tracing()
	d.memlock()
	d.groups()
	d.try(CheckKernel, toolchain.Kernel)
	d.try(CheckBPF, toolchain.BPF)
	return d.findings
}

type diagnosis struct {
	host     *Host
	system   toolchain.System
	findings []Finding
}

func (d *diagnosis) add(f Finding) {
	if f.OK {
		f.Remedy = ""
	}
	d.findings = append(d.findings, f)
}

const installStap = "Debian, Ubuntu: apt install systemtap gcc; Fedora: dnf install systemtap; or name stap with --stap.path"

func (d *diagnosis) stap(err error) {
	if d.host.tools.Stap == "" {
		d.add(Finding{Check: "systemtap", Detail: err.Error(), Remedy: installStap})
		return
	}
	d.add(Finding{Check: "systemtap", OK: true, Detail: d.host.tools.Stap + ", " + d.host.tools.Version()})
	t := d.host.tools
	for _, each := range []struct{ name, path, denied string }{{"staprun", t.Staprun, t.StaprunDenied}, {"stapbpf", t.Stapbpf, t.StapbpfDenied}} {
		switch {
		case each.denied != "":
			d.add(
				Finding{
					Check:  each.name,
					Detail: each.denied + ": this user may not execute it",
					Remedy: "run as root, or for kernel modules: usermod -a -G stapusr,stapdev USER",
				},
			)
		case each.path == "":
			d.add(Finding{Check: each.name, Detail: "not found beside stap or in PATH", Remedy: installStap})
		}
	}
}

func (d *diagnosis) compiler() {
	var missing []string
	for _, name := range []string{"gcc", "make"} {
		if _, err := toolchain.LookPath(name); err != nil {
			missing = append(missing, name)
		}
	}
	f := Finding{
		Check:  "compiler",
		OK:     missing == nil,
		Detail: "gcc and make are installed",
		Remedy: "apt install gcc make (needed for kernel modules only)",
	}
	if missing != nil {
		f.Detail = strings.Join(missing, " and ") + " not found"
	}
	d.add(f)
}

func (d *diagnosis) headers() {
	build := filepath.Join(d.system.LibModules, d.system.Release, "build")
	f := Finding{
		Check:  "kernel headers",
		OK:     d.system.HasBuildTree(),
		Detail: build,
		Remedy: "apt install linux-headers-" + d.system.Release + " (needed for kernel modules only)",
	}
	if !f.OK {
		f.Detail = build + " has no .config: the headers of the running kernel are not installed"
	}
	d.add(f)
}

func (d *diagnosis) debuginfo() {
	for _, path := range []string{"/usr/lib/debug/boot/vmlinux-" + d.system.Release, "/usr/lib/debug/lib/modules/" + d.system.Release + "/vmlinux", filepath.Join(d.system.LibModules, d.system.Release, "vmlinux")} {
		if _, err := os.Stat(path); err == nil {
			d.add(Finding{Check: "kernel debuginfo", OK: true, Detail: path})
			return
		}
	}
	d.add(
		Finding{
			Check:  "kernel debuginfo",
			Detail: "not installed: probes of kernel functions by name do not resolve; timers, tracepoints, system calls and user programs do",
			Remedy: "stap-prep, or apt install linux-image-" + d.system.Release + "-dbg",
		},
	)
}

func (d *diagnosis) modules() {
	f := Finding{Check: "module loading", OK: true, Detail: "allowed"}
	locked, _ := os.ReadFile("/sys/kernel/security/lockdown")
	disabled, _ := os.ReadFile(d.system.ModulesDisabled)
	_, noModules := os.Stat(d.system.Modules)
	switch {
	case noModules != nil:
		f.OK, f.Detail, f.Remedy = false, "this kernel has no loadable modules", "scripts run under bpf here; kernel modules need another kernel"
	case strings.TrimSpace(string(disabled)) == "1":
		f.OK, f.Detail, f.Remedy = false, "kernel.modules_disabled is 1", "it can only be undone by a reboot; find what sets it (sysctl.d)"
	case strings.Contains(string(locked), "[integrity]") || strings.Contains(string(locked), "[confidentiality]"):
		f.OK, f.Detail, f.Remedy = false, "kernel lockdown: "+strings.TrimSpace(
			string(locked),
		), "sign the modules (see stap --sign-module), or turn off secure boot"
	case os.Geteuid() == 0 && !toolchain.HasCapability(d.system.Status, toolchain.CapSysModule):
		f.OK, f.Detail, f.Remedy = false, "the capability CAP_SYS_MODULE is missing", "give it to the container or the service (--cap-add SYS_MODULE, CapabilityBoundingSet=)"
	}
	d.add(f)
}

func (d *diagnosis) tracing() {
	path := filepath.Join(d.system.Tracing, "uprobe_events")
	_, err := os.Stat(path)
	f := Finding{
		Check:  "tracefs",
		OK:     err == nil,
		Detail: d.system.Tracing,
		Remedy: "mount -t debugfs debugfs /sys/kernel/debug (stapbpf looks for tracefs there; needed for bpf probes in programs)",
	}
	if errors.Is(err, fs.ErrNotExist) {
		f.Detail = path + " is not there: debugfs is not mounted, or the kernel has no CONFIG_UPROBE_EVENTS"
	} else if err != nil {
		f.Detail, f.Remedy = err.Error(), "run as root: others cannot look there"
	}
	d.add(f)
}

func (d *diagnosis) memlock() {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_MEMLOCK, &limit); err != nil {
		d.add(Finding{Check: "memlock limit", Detail: err.Error()})
		return
	}
	switch {
	case limit.Max == unix.RLIM_INFINITY:
		d.add(Finding{Check: "memlock limit", OK: true, Detail: "unlimited"})
	case toolchain.HasCapability(d.system.Status, toolchain.CapSysResource):
		d.add(Finding{Check: "memlock limit", OK: true, Detail: "can be raised (CAP_SYS_RESOURCE)"})
	default:
		d.add(Finding{
			Check:  "memlock limit",
			OK:     os.Geteuid() == 0,
			Detail: fmt.Sprintf("%d bytes and may not be raised; for root the exporter gets around that", limit.Max),
			Remedy: "ulimit -l unlimited, or LimitMEMLOCK=infinity in the service",
		})
	}
}

// groups: root may do everything; others need SystemTap's groups, see stap(1).
func (d *diagnosis) groups() {
	if os.Geteuid() == 0 {
		d.add(Finding{Check: "user", OK: true, Detail: "root"})
		return
	}
	ours, _ := os.Getgroups()
	in := func(name string) bool {
		g, err := user.LookupGroup(name)
		return err == nil && slices.ContainsFunc(ours, func(id int) bool { return fmt.Sprint(id) == g.Gid })
	}
	var has []string
	for _, name := range []string{"stapdev", "stapsys", "stapusr"} {
		if in(name) {
			has = append(has, name)
		}
	}
	d.add(Finding{
		Check: "user",
		OK:    in("stapdev") && in("stapusr"),
		Detail: "not root, in the groups: " + strings.Join(
			has,
			" ",
		) + " (kernel modules of one's own need stapdev and stapusr; bpf needs root)",
		Remedy: "run as root, or: usermod -a -G stapusr,stapdev USER",
	})
}

// try runs a script under runtime and reads its metrics.
func (d *diagnosis) try(check string, runtime toolchain.Runtime) {
	h := d.host
	if h.tools.Stap == "" {
		d.add(Finding{Check: check, Detail: "SystemTap is not installed", Remedy: installStap})
		return
	}
	if missing := h.system.Missing(h.tools.Staprun); runtime == toolchain.Kernel && missing != "" {
		d.add(
			Finding{
				Check:  check,
				Detail: "do not work here: they need " + missing,
				Remedy: "see the checks above; scripts run under bpf where that works",
			},
		)
		return
	}
	path := filepath.Join(h.cfg.Dir, "works.stp")
	if err := os.WriteFile(path, []byte(works), 0o600); err != nil {
		d.add(Finding{Check: check, Detail: err.Error(), Remedy: "name another folder with --cache.dir"})
		return
	}
	begun := time.Now()
	s := script.Script{
		Name:    "works.stp",
		Path:    path,
		Module:  fmt.Sprintf("%sdoctor_%d", cmp.Or(h.cfg.ModulePrefix, "stap_exporter_"), os.Getpid()),
		Runtime: runtime.String(),
	}
	events := make(chan Event, 64)
	run := h.Start(s, 1, func(e Event) {
		switch e.(type) {
		case Ready, Exited:
			events <- e
		}
	})
	var body []byte
	var readErr error
	for e := range events {
		switch e := e.(type) {
		case Ready:
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			body, readErr = e.File.Read(ctx, nil)
			cancel()
			run.Stop(nil)
		case Exited:
			d.add(judgeTry(check, e.Exit, body, readErr, time.Since(begun)))
			return
		}
	}
}

// judgeTry turns the end of a try into a finding.
func judgeTry(check string, e Exit, body []byte, readErr error, took time.Duration) Finding {
	f := Finding{Check: check, Remedy: e.Remedy}
	switch {
	case !e.Ready:
		f.Detail = "a script does not run: " + strings.Join(strings.Split(e.Reason(), "\n"), "; ")
	case readErr != nil:
		f.Detail = "a script runs, but its metrics cannot be read: " + readErr.Error()
	case string(body) != "works{x=\"1\"} 1\n":
		f.Detail = fmt.Sprintf("a script's metrics are not what it gave: %q", body)
	case len(e.Residue) > 0:
		f.Detail = "a script was run, but left behind: " + strings.Join(e.Residue, ", ")
	default:
		f.OK, f.Detail = true, fmt.Sprintf(
			"work: a script was compiled, run and read in %v",
			took.Round(10*time.Millisecond),
		)
	}
	if !f.OK && f.Remedy == "" {
		f.Remedy = "see the message; stap-report gathers what SystemTap's own developers ask for"
	}
	return f
}
