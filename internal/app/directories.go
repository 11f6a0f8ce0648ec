package app

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"

	"stap-exporter/internal/trust"
)

// directories are the exporter's, with absolute paths.
type directories struct {
	scripts string // real path of the script directory
	named   string // the script directory as named: a symlink may be changed later
	cache   string // real path
}

func findDirectories(opts Options) (d directories, err error) {
	if d.scripts, err = scriptDir(opts.scripts); err != nil {
		return d, err
	}
	if d.named, err = filepath.Abs(opts.scripts); err != nil {
		return d, fmt.Errorf("find script directory %q: %w", opts.scripts, err)
	}
	d.cache, err = makeCacheDir(opts.cacheDir)
	return d, err
}

// scriptDir returns the real path of the script directory. Its errors are
// ConfigErrors unless their cause is transient.
func scriptDir(dir string) (string, error) {
	path, err := filepath.EvalSymlinks(dir)
	if err == nil {
		path, err = filepath.Abs(path)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return "", ConfigError{
			fmt.Errorf("script directory %q does not exist: create it, or name another with --scripts", dir),
		}
	}
	if err != nil {
		return "", misconfigured(fmt.Errorf("open script directory %q: %w: name another with --scripts", dir, err))
	}
	return path, nil
}

// stapPath matches the paths that stap takes for its temporary files. Observed
// with SystemTap 4.8: "Safety pattern mismatch for TMPDIR".
var stapPath = regexp.MustCompile(`^[-/._0-9A-Za-z]+$`)

// makeCacheDir creates the cache directory and returns its real path. A symlink
// in dir is followed only if trust allows it. The errors are ConfigErrors
// unless their cause is transient.
func makeCacheDir(dir string) (string, error) {
	path, err := trust.MakeDir(dir, trust.Self())
	if err != nil {
		return "", misconfigured(fmt.Errorf("create cache directory: %w, or name another with --cache.dir", err))
	}
	if !stapPath.MatchString(path) {
		return "", ConfigError{fmt.Errorf(
			"cache directory %q: the path must have letters, digits and -/._ only, as SystemTap requires: "+
				"name another with --cache.dir",
			path,
		)}
	}
	return path, nil
}

// lockDir returns the directory of the instances' locks. It is one per user,
// not per cache directory, since exporters with different cache directories
// would still use the same module names.
func lockDir(cacheDir string) string {
	var candidates []string
	if os.Geteuid() == 0 {
		candidates = append(candidates, "/run/stap-exporter")
	} else {
		if own := os.Getenv("XDG_RUNTIME_DIR"); own != "" {
			candidates = append(candidates, filepath.Join(own, "stap-exporter"))
		}
		if own, err := os.UserCacheDir(); err == nil {
			candidates = append(candidates, filepath.Join(own, "stap-exporter"))
		}
	}
	for _, dir := range candidates {
		if path, err := trust.MakeDir(dir, trust.Self()); err == nil {
			return path
		}
	}
	return cacheDir
}
