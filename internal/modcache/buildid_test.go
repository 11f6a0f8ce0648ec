package modcache

import (
	"debug/elf"
	"fmt"
	"testing"
)

func TestBuildIDIsTheNotesDescription(t *testing.T) {
	id, err := buildID("/bin/true")
	if err != nil {
		t.Fatal(err)
	}
	f, err := elf.Open("/bin/true")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	note, err := f.Section(".note.gnu.build-id").Data()
	if err != nil || fmt.Sprintf("%x", note[16:]) != id || len(id) != 40 {
		t.Errorf("build-id is %s, the note is %x (%v)", id, note, err)
	}
}
