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

const installStap = "install SystemTap (Debian, Ubuntu: apt install systemtap gcc; " +
	"Fedora: dnf install systemtap), or name stap with --stap.path"

// trustStap is the remedy where others can change SystemTap.
const trustStap = "as above, or name another with --stap.path or --stap.runtime-dir, or pass --scripts.allow-insecure"

// stap checks SystemTap's executables. err is that of finding and trusting them.
func (d *diagnosis) stap(err error) {
	if d.tools.Stap == "" {
		d.add(Finding{
			Check:  "systemtap",
			Detail: err.Error(),
			Remedy: installStap,
		})
		return
	}
	if err != nil {
		d.add(Finding{
			Check:  "systemtap",
			Detail: err.Error(),
			Remedy: trustStap,
		})
		return
	}
	d.add(Finding{
		Check:  "systemtap",
		OK:     true,
		Detail: d.tools.Stap + ", " + d.tools.Version(),
	})
	d.companion("staprun", d.tools.Staprun, d.tools.StaprunDenied)
	d.companion("stapbpf", d.tools.Stapbpf, d.tools.StapbpfDenied)
}

// companion checks an executable that stap's modules need.
func (d *diagnosis) companion(name, path, denied string) {
	switch {
	case denied != "":
		d.add(Finding{
			Check:  name,
			Detail: denied + ": this user must not execute it",
			Remedy: "run as root, or for kernel modules: usermod -a -G stapusr,stapdev USER",
		})
	case path == "":
		d.add(Finding{
			Check:  name,
			Detail: "not found beside stap or in PATH",
			Remedy: installStap,
		})
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
		Remedy: "apt install gcc make (only kernel modules need them)",
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
		Remedy: "apt install linux-headers-" + d.system.Release + " (only kernel modules need them)",
	}
	if !f.OK {
		f.Detail = build + " has no .config: the headers of the running kernel are not installed"
	}
	d.add(f)
}

func (d *diagnosis) debuginfo() {
	release := d.system.Release
	for _, path := range []string{
		"/usr/lib/debug/boot/vmlinux-" + release,
		"/usr/lib/debug/lib/modules/" + release + "/vmlinux",
		filepath.Join(d.system.LibModules, release, "vmlinux"),
	} {
		if _, err := os.Stat(path); err == nil {
			d.add(Finding{
				Check:  "kernel debuginfo",
				OK:     true,
				Detail: path,
			})
			return
		}
	}
	d.add(Finding{
		Check: "kernel debuginfo",
		Detail: "not installed: probes of kernel functions by name do not work; " +
			"probes of timers, tracepoints, system calls and user programs do",
		Remedy: "stap-prep, or apt install linux-image-" + release + "-dbg",
	})
}

// modules checks whether the kernel lets this process load modules.
func (d *diagnosis) modules() {
	f := Finding{Check: "module loading"}
	lockdown, _ := os.ReadFile("/sys/kernel/security/lockdown")
	disabled, _ := os.ReadFile(d.system.ModulesDisabled)
	_, noModules := os.Stat(d.system.Modules)
	switch {
	case noModules != nil:
		f.Detail = "this kernel has no loadable modules"
		f.Remedy = "run scripts under bpf, or use a kernel with loadable modules"
	case strings.TrimSpace(string(disabled)) == "1":
		f.Detail = "kernel.modules_disabled is 1"
		f.Remedy = "find what sets it (sysctl.d), remove that, and reboot: only a reboot resets it"
	case strings.Contains(string(lockdown), "[integrity]") || strings.Contains(string(lockdown), "[confidentiality]"):
		f.Detail = "kernel lockdown: " + strings.TrimSpace(string(lockdown))
		f.Remedy = "sign the modules (see stap --sign-module), or turn off secure boot"
	case os.Geteuid() == 0 && !toolchain.HasCapability(d.system.Status, toolchain.CapSysModule):
		f.Detail = "the capability CAP_SYS_MODULE is missing"
		f.Remedy = "grant it to the container or the service (--cap-add SYS_MODULE, CapabilityBoundingSet=)"
	default:
		f.OK, f.Detail = true, "allowed"
	}
	d.add(f)
}

// tracing checks tracefs where stapbpf expects it.
func (d *diagnosis) tracing() {
	path := filepath.Join(d.system.Tracing, "uprobe_events")
	_, err := os.Stat(path)
	f := Finding{
		Check:  "tracefs",
		OK:     err == nil,
		Detail: d.system.Tracing,
		Remedy: "mount -t debugfs debugfs /sys/kernel/debug (only bpf probes of user programs need it)",
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		f.Detail = path + " does not exist: debugfs is not mounted, or the kernel has no CONFIG_UPROBE_EVENTS"
	case err != nil:
		f.Detail, f.Remedy = err.Error(), "run as root: other users must not read tracefs"
	}
	d.add(f)
}

// memlock checks the limit that stapbpf raises to infinity.
func (d *diagnosis) memlock() {
	f := Finding{
		Check:  "memlock limit",
		Remedy: "ulimit -l unlimited, or LimitMEMLOCK=infinity in the service",
	}
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_MEMLOCK, &limit); err != nil {
		f.Detail = err.Error()
		d.add(f)
		return
	}
	switch {
	case limit.Max == unix.RLIM_INFINITY:
		f.OK, f.Detail = true, "unlimited"
	case toolchain.HasCapability(d.system.Status, toolchain.CapSysResource):
		f.OK, f.Detail = true, "can be raised (CAP_SYS_RESOURCE)"
	default:
		f.OK = os.Geteuid() == 0
		f.Detail = fmt.Sprintf("%d bytes and cannot be raised; for root the launcher works around it", limit.Max)
	}
	d.add(f)
}

// groups checks the user. Root may do everything; others need SystemTap's
// groups, see stap(1).
func (d *diagnosis) groups() {
	if os.Geteuid() == 0 {
		d.add(Finding{
			Check:  "user",
			OK:     true,
			Detail: "root",
		})
		return
	}
	ids, _ := os.Getgroups()
	var member []string
	for _, name := range []string{"stapdev", "stapsys", "stapusr"} {
		g, err := user.LookupGroup(name)
		if err == nil && slices.ContainsFunc(ids, func(id int) bool { return fmt.Sprint(id) == g.Gid }) {
			member = append(member, name)
		}
	}
	d.add(Finding{
		Check: "user",
		OK:    slices.Contains(member, "stapdev") && slices.Contains(member, "stapusr"),
		Detail: "not root, in the groups: " + strings.Join(member, " ") +
			" (kernel modules need stapdev and stapusr; bpf needs root)",
		Remedy: "run as root, or: usermod -a -G stapusr,stapdev USER",
	})
}
