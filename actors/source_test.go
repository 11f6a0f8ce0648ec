package actors

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"stap-exporter/internal/exposition"
	"stap-exporter/internal/procfile"
	"stap-exporter/internal/scrape"
)

// A text that has not changed is not sanitized again. A change of it, or the
// script's end, makes another page.
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

// The source lets its file know whether the read before was empty.
func TestEmptyReads(t *testing.T) {
	f := &fileSource{
		name:  "s.stp",
		alive: func() bool { return true },
		file:  procfile.File{Path: filepath.Join(t.TempDir(), "f"), Abandonable: true},
	}
	abandoned, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := os.WriteFile(f.file.Path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Read(abandoned, nil); !errors.Is(err, procfile.ErrEmpty) || f.file.WasEmpty {
		t.Errorf("abandoned: error %v, was empty: %v", err, f.file.WasEmpty)
	}
	for _, c := range []struct {
		text, want string
	}{
		{"", "# s.stp has no samples yet\n"},
		{"", "# s.stp has no samples yet\n"},
		{"x 1\n", "x 1\n"},
	} {
		if err := os.WriteFile(f.file.Path, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		page, err := f.Read(t.Context(), nil)
		if err != nil || string(page.Text()) != c.want || f.file.WasEmpty != (c.text == "") {
			t.Errorf("%q: page %v, error %v, was empty: %v", c.text, page, err, f.file.WasEmpty)
		}
	}
}

// A read renders the forms that its waiters want, and no other.
func TestReadRendersWhatIsWanted(t *testing.T) {
	zipped := exposition.Form{Format: exposition.FormatOpenMetrics, Gzip: true}
	var early, next waitList
	early.add(&ReadMetrics{Query: scrape.Query{Form: zipped}})
	early.moveTo(&next)
	next.add(&ReadMetrics{})
	if want := exposition.Forms(0).With(zipped).With(exposition.Form{}); next.forms != want || early.forms != 0 {
		t.Errorf("forms %b, want %b; of the list that was moved %b", next.forms, want, early.forms)
	}
	next.empty()
	if next.forms != 0 {
		t.Errorf("forms %b of an empty list", next.forms)
	}
}
