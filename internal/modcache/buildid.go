package modcache

import (
	"debug/elf"
	"encoding/hex"
	"errors"
	"fmt"
)

var errNoELF = errors.New("not an ELF file")

// buildID returns the build-id of an ELF file in hex, "" when it has none.
func buildID(path string) (string, error) {
	f, err := elf.Open(path)
	if err != nil {
		return "", fmt.Errorf("%w: %w", errNoELF, err)
	}
	defer func() { _ = f.Close() }()
	s := f.Section(".note.gnu.build-id")
	if s == nil || s.Size > 4096 {
		return "", nil
	}
	note, err := s.Data()
	if err != nil {
		return "", fmt.Errorf("%w: %w", errNoELF, err)
	}
	if len(note) < 16 {
		return "", errNoELF
	}
	// Sizes of name ("GNU\0") and description, type, name, description: elf(5).
	size := int(f.ByteOrder.Uint32(note[4:]))
	if size < 0 || 16+size > len(note) {
		return "", errNoELF
	}
	return hex.EncodeToString(note[16 : 16+size]), nil
}
