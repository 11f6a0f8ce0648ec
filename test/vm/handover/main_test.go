package main

import (
	"os"
	"testing"
)

func TestBaseOf(t *testing.T) {
	for name, want := range map[string]string{
		"counting.stp": "counting", "counting-autostart.stp": "counting", "counting on demand.stp": "counting",
		"/run/scripts/a_b-07.stp": "a_b", "<input>": "input", "": "",
	} {
		source := `  _stp_print_kernel_info("` + name + `", "4.8/0.188", (num_online_cpus() * sizeof(struct context)));`
		if got := baseOf([]byte(source)); got != want {
			t.Errorf("base of %q is %q, want %q", name, got, want)
		}
	}
	if got := baseOf([]byte("int x;")); got != "" {
		t.Errorf("base of a source without name is %q", got)
	}
}

func TestRenameTakesKernelModulesOnly(t *testing.T) {
	program, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	for _, image := range [][]byte{nil, []byte("no ELF"), program} {
		if err := rename(image, "name"); err == nil {
			t.Errorf("renamed %d bytes that are not a module", len(image))
		}
	}
}

func TestOtherCallsGoToTheRealMake(t *testing.T) {
	for _, args := range [][]string{nil, {"all"}, {"M=" + t.TempDir(), "modules"}} {
		if err := handOver(args); err != errOtherBuild { //nolint:errorlint // the value itself
			t.Errorf("make %q: %v", args, err)
		}
	}
}
