package script

// Script is one .stp file, as Scan or Inspect found it. It is a value that
// nobody changes; copies share its slices.
type Script struct {
	// the file's name in the folder, for example "example.stp"; served at "/" +
	// Name
	Name   string
	Path   string // the file's absolute path in the scripts folder, symlinks unresolved
	Module string // the kernel module (or bpf object) that it is loaded as, see Instance.Module
	// a wrapper or another program: run as it is, with "-m Module" added to its
	// arguments. False for all that the exporter hands to stap itself,
	// executables whose first line names stap among them
	Executable bool
	// started with the server, never stopped by keepalive, restarted when it
	// ends: by the name, unless the header says otherwise. False while Refused
	Autostart bool

	// what follows stap in the first line of an executable, as written; nil
	// when that line does not name stap
	Shebang []string
	// what stap is given beside what the exporter gives it; empty for wrappers
	Options Options
	// "auto", "kernel" or "bpf" as the header or else the first line asks for
	// it; empty: as --runtime says
	Runtime    string
	Directives Directives // what the header says

	// why it must not be started: matches ErrUntrusted, ErrDirective, or both;
	// nil for a good script. It stays in the catalogue, to answer with the
	// reason
	Refused error
	// what would have been refused without ScanOptions.AllowInsecure; matches
	// ErrUntrusted
	Insecure error
}
