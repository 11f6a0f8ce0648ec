package docs

import (
	"go/parser"
	"go/token"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "stap-exporter/"

// imported returns the packages of this module that the code imports, tests
// aside: package by package, each without the module's path.
func imported(t *testing.T) map[string][]string {
	t.Helper()
	found := map[string][]string{}
	for _, file := range files(t, ".go") {
		top, _, _ := strings.Cut(file, "/")
		if strings.HasSuffix(file, "_test.go") || slices.Contains([]string{"bench", "test"}, top) {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, file), nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		from := path.Dir(file)
		for _, spec := range parsed.Imports {
			name, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			to, ours := strings.CutPrefix(name, module)
			if ours && !slices.Contains(found[from], to) {
				found[from] = append(found[from], to)
			}
		}
	}
	return found
}

// listed returns the same as docs/packages.md has it.
func listed(t *testing.T) map[string][]string {
	t.Helper()
	full := func(name string) string {
		switch top, _, _ := strings.Cut(name, "/"); top {
		case "cmd", "supervisor", "actors", "httpfront":
			return name
		}
		return "internal/" + name
	}
	found := map[string][]string{}
	from := ""
	for line := range strings.Lines(read(t, "docs/packages.md")) {
		if !strings.HasPrefix(line, "    ") {
			continue
		}
		line = strings.TrimSpace(line)
		if name, rest, ok := strings.Cut(line, " → "); ok {
			from, line = full(name), rest
		}
		for _, name := range strings.FieldsFunc(line, func(r rune) bool { return r == ',' || r == ' ' }) {
			found[from] = append(found[from], full(name))
		}
	}
	return found
}

// docs/packages.md lists what each package imports.
func TestImportsAreListed(t *testing.T) {
	got, want := imported(t), listed(t)
	for from := range got {
		slices.Sort(got[from])
		slices.Sort(want[from])
		if !slices.Equal(got[from], want[from]) {
			t.Errorf("%s imports %q, docs/packages.md says %q", from, got[from], want[from])
		}
	}
	for from := range want {
		if len(got[from]) == 0 {
			t.Errorf("docs/packages.md lists imports of %s, which has none", from)
		}
	}
}

// Each package has a rule of its own in .golangci.yml.
func TestImportRules(t *testing.T) {
	rules := read(t, ".golangci.yml")
	seen := map[string]bool{}
	for _, file := range files(t, ".go") {
		dir := path.Dir(file)
		top, _, _ := strings.Cut(file, "/")
		if seen[dir] || strings.HasSuffix(file, "_test.go") || slices.Contains([]string{"bench", "test"}, top) ||
			strings.HasSuffix(dir, "/oracle") {
			continue
		}
		seen[dir] = true
		if !strings.Contains(rules, `"${config-path}/`+dir+`/*.go"`) {
			t.Errorf(".golangci.yml has no rule for %s", dir)
		}
	}
}
