package stapout

import (
	"regexp"
	"slices"

	"golang.org/x/sys/unix"
)

// DiskRemedy is for a disk without room, which shows in a message, or in the
// end
// of a program that writes its files by mmap (elfutils: SIGBUS).
const DiskRemedy = "the disk is full: free some space, or name another folder with --cache.dir"

// DiskFull tells whether there is next to no room where a run works.
func DiskFull(dir string) bool {
	var st unix.Statfs_t
	return unix.Statfs(dir, &st) == nil && st.Bavail*uint64(st.Bsize) < 64<<10
}

// mends are failures whose cause is known; the first that matches wins. Texts
// as stap 4.8, staprun, stapbpf, gcc and the kernel write them.
var failures = []struct {
	match *regexp.Regexp
	mend  string
}{
	{
		regexp.MustCompile(`(?i)no space left on device|disk quota exceeded`),
		DiskRemedy,
	},
	{
		regexp.MustCompile(`(?i)too many open files`),
		"the exporter has no file descriptor left: raise its limit (LimitNOFILE=, ulimit -n)",
	},
	{
		regexp.MustCompile(`(?i)cannot allocate memory|out of memory|fork.*resource temporarily unavailable`),
		"there is no memory, or no process number, left for the exporter: raise its limits (MemoryMax=, TasksMax=, LimitNPROC=), or end something",
	},
	{
		regexp.MustCompile(`task_work_cancel`),
		"this SystemTap's runtime does not compile on this kernel (4.8 and kernels from 6.1.100): use a newer SystemTap, a mended runtime folder with --stap.runtime-dir, or --script.runtime=bpf",
	},
	{
		regexp.MustCompile(`Checking ".*/build/.*" failed|missing kernel-devel|Incorrect version or missing kernel`),
		"install the headers of the running kernel (Debian: apt install linux-headers-$(uname -r); elsewhere stap-prep) or use --script.runtime=bpf",
	},
	{
		regexp.MustCompile(`missing \S+ kernel/module debuginfo|debuginfo missing|No DWARF information found`),
		"install the kernel's debuginfo (stap-prep does it), or probe what needs none: timer, procfs, process(\"…\").function(\"…\")",
	},
	{
		regexp.MustCompile(`buffer size exceeded`),
		"the script's metrics are longer than its procfs file holds (65,535 bytes with the prometheus tapset): let it keep fewer label values",
	},
	{
		probeExists,
		"a process of the same number in another container, or one that was killed, has a probe of this name: try again; cat /sys/kernel/debug/tracing/uprobe_events tells which there are",
	},
	{
		regexp.MustCompile(`File exists`),
		"a module or FIFO of this name is there already: another instance, or something that an earlier run left",
	},
	{
		regexp.MustCompile(`Key was rejected|Required key not available|Lockdown`),
		"this kernel takes signed modules only (secure boot, lockdown): use --script.runtime=bpf",
	},
	{
		regexp.MustCompile(`run \S*stapbpf: permission denied`),
		"run the exporter as root: bpf scripts need it",
	},
	{
		regexp.MustCompile(`run \S*staprun: permission denied|Members of the "stapusr"`),
		"only root and members of SystemTap's groups stapusr and stapdev may load what the exporter compiles: usermod -a -G stapusr,stapdev USER",
	},
	{
		regexp.MustCompile(`Couldn't insert module .*: Operation not permitted`),
		"loading kernel modules needs the capability CAP_SYS_MODULE (containers drop it), kernel.modules_disabled=0 and no lockdown: grant it, or use --script.runtime=bpf",
	},
	{
		regexp.MustCompile(`Skipped too many probes`),
		"too many probes were skipped since the script's arrays were busy, mostly with being read: keep fewer label values, or raise the limit with // stap-exporter: args=\"-DMAXSKIPPED=N\"",
	},
	{
		regexp.MustCompile(`probe overhead .*exceeded threshold`),
		"the script's probes took more than half of a processor: probe less often or do less in them, or lift SystemTap's limit with // stap-exporter: args=\"-DSTP_NO_OVERLOAD\"",
	},
	{
		regexp.MustCompile(`Number of errors: [1-9]`),
		"errors in the script's probes ended it: mend the script, or let it go on with // stap-exporter: args=\"--suppress-handler-errors\" or a higher -DMAXERRORS=N",
	},
	{
		regexp.MustCompile(`map resource limit|RLIMIT_MEMLOCK`),
		"raise the memory-lock limit (LimitMEMLOCK=infinity, ulimit -l unlimited) or give the exporter CAP_SYS_RESOURCE",
	},
	{
		regexp.MustCompile(`Error (opening|creating) probe.*(No such file|debug/tracing)|/tracing/\S+: No such file`),
		"mount debugfs, where stapbpf looks for tracefs: mount -t debugfs debugfs /sys/kernel/debug",
	},
	{
		regexp.MustCompile(`(?i)(gcc|make)\S*: (command )?not found|execvp?e?: (gcc|make)`),
		"install gcc and make",
	},
	{
		regexp.MustCompile(`exec format error`),
		"an executable script must begin with a #! line",
	},
	{
		regexp.MustCompile(
			`(?i)Operation not permitted|Permission denied|must be root|must be a member of the group|not authorized`,
		),
		"the kernel or SystemTap refuses it: run the exporter as root, or as a member of the groups stapusr and stapdev; a container needs CAP_SYS_ADMIN as well",
	},
}

// FindRemedy returns the remedy of the first known failure in text, or "".
func FindRemedy(text string) string {
	for _, m := range failures {
		if m.match.MatchString(text) {
			return m.mend
		}
	}
	return ""
}

var probeExists = regexp.MustCompile(`Error creating probe \d+: File exists`)

// ProbeTaken reports that stapbpf found a probe with its own process id in
// tracefs: of a process that was killed before ids wrapped, or of one that
// lives
// in another container. Starting once more is enough, since that stapbpf has
// another id.
func ProbeTaken(tail []string) bool { return slices.ContainsFunc(tail, probeExists.MatchString) }
