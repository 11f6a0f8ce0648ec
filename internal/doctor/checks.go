package doctor

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"stap-exporter/internal/toolchain"
)

const installStap = "Debian, Ubuntu: apt install systemtap gcc; Fedora: dnf install systemtap; or name stap with --stap.path"

func (d *diagnosis) stap(err error) {
	if d.tools.Stap == "" {
		d.add(Finding{Check: "systemtap", Detail: err.Error(), Remedy: installStap})
		return
	}
	d.add(Finding{Check: "systemtap", OK: true, Detail: d.tools.Stap + ", " + d.tools.Version()})
	t := d.tools
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
