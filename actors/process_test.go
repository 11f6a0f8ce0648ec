package actors

import "testing"

// A text that has not changed is not checked again; any change of it, or the script's end, makes another page.
func TestSameTextSamePage(t *testing.T) {
	f := &fileSource{name: "s.stp"}
	first := f.check([]byte("x 1\ny 2"), false)
	for _, c := range []struct {
		name, text string
		ended      bool
		same       bool
		want       string
	}{
		{"the same", "x 1\ny 2", false, true, "x 1\ny 2\n"},
		{"the script has ended", "x 1\ny 2", true, false, "x 1\n"},
		{"another value", "x 1\ny 3\n", false, false, "x 1\ny 3\n"},
		{"longer", "x 1\ny 3\nz 1\n", false, false, "x 1\ny 3\nz 1\n"},
		{"blank", "\n", false, false, "# s.stp has no samples yet\n"},
		{"blank again", "\n", false, true, "# s.stp has no samples yet\n"},
		{"as at first", "x 1\ny 2", false, false, "x 1\ny 2\n"},
	} {
		page := f.check([]byte(c.text), c.ended)
		if (page == first) != c.same || string(page.Text()) != c.want {
			t.Errorf("%s: same page %v, %q", c.name, page == first, page.Text())
		}
		first = page
	}
}
