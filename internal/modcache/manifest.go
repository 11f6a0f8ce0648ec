package modcache

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
)

// manifest is the JSON file beside a cached module. A module without one is no
// entry.
type manifest struct {
	Key         string       `json:"key"`
	Module      string       `json:"module"`
	Size        int64        `json:"size"`        // of the module, in bytes
	SHA256      string       `json:"sha256"`      // of the module, in hex
	Script      string       `json:"script"`      // path; informative
	Compiled    time.Time    `json:"compiled"`    // when the compile began; informative
	Executables []executable `json:"executables"` // that the module depends on
}

const maxManifest = 4 << 20 // bytes; a manifest with a thousand executables has 300 kB

// readManifest reads the manifest at path. It fails when the manifest is not of
// this key and module.
func readManifest(path, key, module string) (m manifest, err error) {
	f, err := openPrivate(path)
	if err != nil {
		return m, err
	}
	defer func() { _ = f.Close() }()
	text, err := io.ReadAll(io.LimitReader(f, maxManifest))
	if err != nil {
		return m, err
	}
	if err := json.Unmarshal(text, &m); err != nil {
		return m, fmt.Errorf("read manifest: %w", err)
	}
	if m.Key != key || m.Module != module {
		return m, errors.New("manifest belongs to another module")
	}
	return m, nil
}
