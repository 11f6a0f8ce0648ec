package supervisor

import (
	"os"
	"path/filepath"
	"testing"

	"stap-exporter/internal/instance"
	"stap-exporter/internal/script"
)

// directory is a script directory that the real scan reads.
type directory struct {
	t   *testing.T
	dir string
}

func newDirectory(t *testing.T, names ...string) *directory {
	f := &directory{t, t.TempDir()}
	for _, n := range names {
		f.write(n, "probe begin {}\n")
	}
	return f
}

// write replaces a file as an editor does.
func (f *directory) write(name, text string) {
	f.t.Helper()
	path := filepath.Join(f.dir, name)
	if err := os.WriteFile(path+"~", []byte(text), 0o600); err != nil {
		f.t.Fatal(err)
	}
	if err := os.Rename(path+"~", path); err != nil {
		f.t.Fatal(err)
	}
}

func (f *directory) remove(name string) {
	f.t.Helper()
	if err := os.Remove(filepath.Join(f.dir, name)); err != nil {
		f.t.Fatal(err)
	}
}

func (f *directory) scan() (script.Catalogue, error) {
	return script.Scan(f.dir, instance.New(0, f.dir, nil), script.ScanOptions{AllowInsecure: true})
}

// serve starts a supervisor of the directory's scripts.
func (f *directory) serve(h *host, cfg Config) *Supervisor {
	f.t.Helper()
	c, err := f.scan()
	if err != nil {
		f.t.Fatal(err)
	}
	cfg.Scripts, cfg.Refused, cfg.Scan = c.Scripts, c.Refused, f.scan
	return startTree(f.t, h, cfg)
}

func reload(t *testing.T, s *Supervisor) {
	t.Helper()
	if err := s.Reload(); err != nil {
		t.Fatal(err)
	}
}
