package script

// Script is one .stp file of the scripts folder, as Scan found it. It is a value: nobody changes it.
type Script struct {
	Name       string // the file's name in the folder, for example "example.stp"; served at "/" + Name
	Path       string // the file's absolute path in the scripts folder, symlinks unresolved
	Module     string // the kernel module (or bpf object) that it is loaded as, see Instance.Module
	Executable bool   // run as it is, with "-m Module" added to its arguments; otherwise stap runs it
	Autostart  bool   // started with the server, never stopped by keepalive, restarted when it ends
}
