package stapout

import (
	"regexp"
	"slices"
)

// failure is a failure whose cause is known.
type failure struct {
	match  *regexp.Regexp // a message of SystemTap, gcc, the kernel or the exporter
	remedy string         // "cause: what the operator can do", shown to users
}

// failures is the table of known failures. The first match wins, so the general
// messages stand last. Observed with SystemTap 4.8: the texts of stap, staprun
// and stapbpf.
var failures = []failure{
	{
		match:  regexp.MustCompile(`(?i)no space left on device|disk quota exceeded`),
		remedy: DiskRemedy,
	},
	{
		match:  regexp.MustCompile(`(?i)too many open files`),
		remedy: "the exporter has no file descriptor left: raise its limit (LimitNOFILE=, ulimit -n)",
	},
	{
		match: regexp.MustCompile(
			`(?i)cannot allocate memory|out of memory|fork.*resource temporarily unavailable`,
		),
		remedy: "the exporter has no memory or no process left: " +
			"raise its limits (MemoryMax=, TasksMax=, LimitNPROC=), or stop other processes",
	},
	{
		match: regexp.MustCompile(`task_work_cancel`),
		remedy: "this SystemTap's runtime does not compile on this kernel (4.8 does not on 6.1.100 and later): " +
			"use a newer SystemTap, name a patched runtime directory with --stap.runtime-dir, " +
			"or use --script.runtime=bpf",
	},
	{
		match: regexp.MustCompile(
			`Checking ".*/build/.*" failed|missing kernel-devel|Incorrect version or missing kernel`,
		),
		remedy: "the headers of the running kernel are missing: " +
			"install them (Debian: apt install linux-headers-$(uname -r); elsewhere: stap-prep), " +
			"or use --script.runtime=bpf",
	},
	{
		match: regexp.MustCompile(
			`missing \S+ kernel/module debuginfo|debuginfo missing|No DWARF information found`,
		),
		remedy: "the kernel's debuginfo is missing: install it with stap-prep, " +
			"or use probes that need none: timer, procfs, process(\"…\").function(\"…\")",
	},
	{
		match: regexp.MustCompile(`buffer size exceeded`),
		remedy: "the script's metrics are longer than its procfs file holds " +
			"(65,535 bytes with the prometheus tapset): keep fewer label values in the script",
	},
	{
		match: probeExists,
		remedy: "a probe of this name exists already: " +
			"it belongs to a process with the same number in another container, or to one that was killed; " +
			"try again, or list the probes with cat /sys/kernel/debug/tracing/uprobe_events",
	},
	{
		match: regexp.MustCompile(`File exists`),
		remedy: "a module or FIFO of this name exists already: " +
			"stop the other instance, or remove what an earlier run left",
	},
	{
		match:  regexp.MustCompile(`Key was rejected|Required key not available|Lockdown`),
		remedy: "this kernel loads only signed modules (secure boot, lockdown): use --script.runtime=bpf",
	},
	{
		match:  regexp.MustCompile(`run \S*stapbpf: permission denied`),
		remedy: "bpf scripts need root: run the exporter as root",
	},
	{
		match: regexp.MustCompile(`run \S*staprun: permission denied|Members of the "stapusr"`),
		remedy: "only root and members of SystemTap's groups stapusr and stapdev " +
			"may load what the exporter compiles: run the exporter as root, or usermod -a -G stapusr,stapdev USER",
	},
	{
		match: regexp.MustCompile(`Couldn't insert module .*: Operation not permitted`),
		remedy: "loading kernel modules needs the capability CAP_SYS_MODULE (containers drop it), " +
			"kernel.modules_disabled=0 and no lockdown: grant it, or use --script.runtime=bpf",
	},
	{
		match: regexp.MustCompile(`Skipped too many probes`),
		remedy: "too many probes were skipped because the script's arrays were busy, mostly with being read: " +
			"keep fewer label values, or raise the limit with // stap-exporter: args=\"-DMAXSKIPPED=N\"",
	},
	{
		match: regexp.MustCompile(`probe overhead .*exceeded threshold`),
		remedy: "the script's probes took more than half of a CPU: probe less often, do less in the probes, " +
			"or lift SystemTap's limit with // stap-exporter: args=\"-DSTP_NO_OVERLOAD\"",
	},
	{
		match: regexp.MustCompile(`Number of errors: [1-9]`),
		remedy: "errors in the script's probes ended it: fix the script, or let it continue " +
			"with // stap-exporter: args=\"--suppress-handler-errors\" or a higher -DMAXERRORS=N",
	},
	{
		match: regexp.MustCompile(`map resource limit|RLIMIT_MEMLOCK`),
		remedy: "the memory-lock limit is too low: raise it (LimitMEMLOCK=infinity, ulimit -l unlimited), " +
			"or give the exporter CAP_SYS_RESOURCE",
	},
	{
		match: regexp.MustCompile(
			`Error (opening|creating) probe.*(No such file|debug/tracing)|/tracing/\S+: No such file`,
		),
		remedy: "stapbpf finds no tracefs: mount debugfs with mount -t debugfs debugfs /sys/kernel/debug",
	},
	{
		match:  regexp.MustCompile(`(?i)(gcc|make)\S*: (command )?not found|execvp?e?: (gcc|make)`),
		remedy: "the compiler is missing: install gcc and make",
	},
	{
		match:  regexp.MustCompile(`exec format error`),
		remedy: "an executable script must begin with a #! line: add it, or remove the execute permission",
	},
	{
		match: regexp.MustCompile(
			`(?i)Operation not permitted|Permission denied|must be root|must be a member of the group|not authorized`,
		),
		remedy: "the kernel or SystemTap denies it: " +
			"run the exporter as root or as a member of the groups stapusr and stapdev; " +
			"in a container also grant CAP_SYS_ADMIN",
	},
}

var probeExists = regexp.MustCompile(`Error creating probe \d+: File exists`)

// FindRemedy returns the remedy of the first known failure in text, or "" when
// it has none.
func FindRemedy(text string) string {
	for _, f := range failures {
		if f.match.MatchString(text) {
			return f.remedy
		}
	}
	return ""
}

// ProbeTaken reports whether stapbpf found a probe with its own process ID in
// tracefs. The probe belongs to a process that was killed before the IDs
// wrapped around, or to one in another container. It is enough to start again:
// the next stapbpf has another ID.
func ProbeTaken(tail []string) bool { return slices.ContainsFunc(tail, probeExists.MatchString) }
