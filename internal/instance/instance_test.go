package instance

import (
	"regexp"
	"strings"
	"testing"
)

var (
	validModule = regexp.MustCompile(`^[a-z0-9_]+$`)
	testInst    = New(0, "/etc/stap-exporter", []string{":9900"})
)

func TestNewInstance(t *testing.T) {
	if !regexp.MustCompile(`^[0-9a-f]{8}$`).MatchString(testInst.ID) {
		t.Errorf("ID %q is not 8 hex digits", testInst.ID)
	}
	listen := []string{"b:2", "a:1"}
	if New(0, "/d", listen) != New(0, "/d", []string{"a:1", "b:2"}) {
		t.Error("the order of the addresses matters")
	}
	if listen[0] != "b:2" {
		t.Error("the caller's addresses were sorted")
	}
	seen := map[Instance]string{}
	for name, i := range map[string]Instance{
		"base":                 New(0, "/d", []string{"a:1", "b:2"}),
		"other user":           New(1, "/d", []string{"a:1", "b:2"}),
		"other directory":      New(0, "/e", []string{"a:1", "b:2"}),
		"other address":        New(0, "/d", []string{"a:1", "b:3"}),
		"one address":          New(0, "/d", []string{"a:1"}),
		"no address":           New(0, "/d", nil),
		"empty address":        New(0, "/d", []string{""}),
		"addresses in one":     New(0, "/d", []string{"a:1,b:2"}),
		"address in directory": New(0, "/d,3:a:1", []string{"b:2"}),
		"digits moved":         New(1, "2/d", nil),
		"digits moved back":    New(12, "/d", nil),
	} {
		if other, ok := seen[i]; ok {
			t.Errorf("%s and %s have the same instance", name, other)
		}
		seen[i] = name
	}
}

// The formula must not change: a name from the log is still the same after an
// update of the exporter.
func TestModuleFormula(t *testing.T) {
	inst := Instance{ID: "0123abcd"}
	for name, want := range map[string]string{
		"example.stp":                     "stap_exporter_0123abcd_example_3db15ca6eaa1",
		"Read Calls (per-cpu) v2.stp":     "stap_exporter_0123abcd_read_calls_per_cpu_",
		"a-b.stp":                         "stap_exporter_0123abcd_a_b_",
		"日本.stp":                          "stap_exporter_0123abcd___",
		strings.Repeat("x", 251) + ".stp": "stap_exporter_0123abcd_xxxxxxxxxxxxxxxxxx_",
	} {
		got := inst.Module(name)
		if !strings.HasPrefix(got, want) || len(got) > 54 || (!strings.HasSuffix(want, "_") && got != want) {
			t.Errorf("module of %q is %q, want %q", name, got, want)
		}
	}
	if n := len(inst.Module("abcdefghijklmnopqrstuvwxyz.stp")); n != 54 {
		t.Errorf("the longest module name has %d characters, want 54", n)
	}
}

func TestModulesDiffer(t *testing.T) {
	late := strings.Repeat("x", 250)
	seen := map[string]string{}
	for _, name := range []string{
		"a-b.stp", "a_b.stp", "A_b.stp", "a b.stp", "a--b.stp", "a%b.stp", "a\u00e9.stp", "ae\u0301.stp",
		late + "1.stp", late + "2.stp", "a.stp", "a.stp.stp", "-.stp", "_.stp",
	} {
		m := testInst.Module(name)
		if other, ok := seen[m]; ok {
			t.Errorf("%q and %q are both %q", name, other, m)
		}
		seen[m] = name
	}
	other := New(0, "/etc/stap-exporter", []string{":9999"})
	if other.Module("a.stp") == testInst.Module("a.stp") {
		t.Error("two instances have the same module")
	}
}

func FuzzModule(f *testing.F) {
	f.Add("a-b.stp", "a_b.stp")
	f.Add("Example.stp", "example.stp")
	f.Add("", "\x00\xff")
	f.Add(strings.Repeat("日", 83)+".stp", strings.Repeat("日", 84)+".stp")
	f.Fuzz(func(t *testing.T, a, b string) {
		ma, mb := testInst.Module(a), testInst.Module(b)
		for _, m := range []string{ma, mb} {
			if !validModule.MatchString(m) || len(m) > 54 || !strings.HasPrefix(m, modulePrefix+testInst.ID+"_") {
				t.Errorf("%q is not a module name", m)
			}
		}
		if (a == b) != (ma == mb) {
			t.Errorf("%q is %q, %q is %q", a, ma, b, mb)
		}
		if ma != testInst.Module(a) {
			t.Errorf("the module of %q changed", a)
		}
	})
}
