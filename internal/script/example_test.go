package script_test

import (
	"fmt"
	"log"
	"os"
	"path/filepath"

	"stap-exporter/internal/instance"
	"stap-exporter/internal/script"
)

func ExampleScan() {
	dir, err := os.MkdirTemp("", "scripts")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	const reads = `#!/usr/bin/stap -v
// stap-exporter: keepalive=5m runtime=bpf args="-DMAXSTRINGLEN=128"
// stap-exporter: metric reads_total counter "Read calls by thread."
global reads
probe nd_syscall.read { reads[tid()]++ }
`
	for name, text := range map[string]string{
		"reads.stp":      reads,
		"misspelled.stp": "// stap-exporter: keepalife=5m\n",
		"README":         "not a script",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755); err != nil {
			log.Fatal(err)
		}
	}

	inst := instance.New(os.Geteuid(), dir, []string{":9900"})
	found, err := script.Scan(dir, inst, script.ScanOptions{AllowInsecure: true})
	if err != nil {
		log.Fatal(err)
	}
	for _, s := range found.Scripts {
		if s.Refused != nil {
			fmt.Printf("%s is refused\n", s.Name)
			continue
		}
		fmt.Println(s.Name, s.Runtime, s.Options.Stap, *s.Directives.Keepalive)
		for _, m := range s.Directives.Metrics {
			fmt.Printf("%s is a %s: %s\n", m.Name, m.Type, m.Help)
		}
	}
	// Output:
	// misspelled.stp is refused
	// reads.stp bpf [-v -D MAXSTRINGLEN=128] 5m0s
	// reads_total is a counter: Read calls by thread.
}
