package script

// Script is one .stp file, as Scan or Inspect found it. It is immutable; copies
// share its slices.
type Script struct {
	// Name is the file's name in the script directory, for example
	// "example.stp". It is served at "/" + Name.
	Name   string
	Path   string // absolute, symlinks unresolved
	Module string // name of its kernel module, or bpf object: see instance.Module
	// Executable: a wrapper or another program, run as it is with "-m Module"
	// added to its arguments. False for all that the exporter passes to stap
	// itself, including executables whose first line names stap.
	Executable bool
	// Autostart: started with the server, never stopped by keepalive, restarted
	// when it ends. The name decides, unless the header does. False while
	// Refused is set.
	Autostart bool

	// Shebang is what follows stap in the first line of an executable, as
	// written; nil when that line does not name stap.
	Shebang []string
	// Options for stap from the header; empty for wrappers.
	Options Options
	// Runtime is "auto", "kernel" or "bpf" if the header, or else the first
	// line, names one; empty: --script.runtime applies.
	Runtime    string
	Directives Directives // of the header

	// Refused is why the script must not be started; nil for a good one. It
	// matches trust.ErrUntrusted, ErrInvalidHeader, or both. The script stays
	// in the catalogue, and requests for it are answered with the reason.
	Refused error
	// Insecure would be Refused without ScanOptions.AllowInsecure. It matches
	// trust.ErrUntrusted.
	Insecure error
}
