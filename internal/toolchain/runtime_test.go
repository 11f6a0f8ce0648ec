package toolchain

import "testing"

func TestParseRuntime(t *testing.T) {
	for _, r := range []Runtime{Auto, Kernel, BPF} {
		if got, err := ParseRuntime(r.String()); got != r || err != nil {
			t.Errorf("%s: %s (%v)", r, got, err)
		}
	}
	if _, err := ParseRuntime("dyninst"); err == nil {
		t.Error("dyninst is accepted")
	}
}
