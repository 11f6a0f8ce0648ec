package docs

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const root = "../.."

const (
	maxFileLines    = 400
	maxPackageLines = 2700 // without tests
)

// files returns the paths below root, relative to it, that are part of the
// project and whose name ends in one of the suffixes.
func files(t *testing.T, suffixes ...string) (paths []string) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name := d.Name(); name == "bin" || name == ".git" || name == "node_modules" {
				return filepath.SkipDir
			}
			return nil
		}
		for _, suffix := range suffixes {
			if strings.HasSuffix(path, suffix) {
				rel, err := filepath.Rel(root, path)
				if err != nil {
					return err
				}
				paths = append(paths, filepath.ToSlash(rel))
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(paths) == 0 {
		t.Fatalf("no file ends in %q", suffixes)
	}
	return paths
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// forbidden returns a pattern of the words in the last column of
// docs/glossary.md, and their plurals and past tenses; not of those in italics,
// which have other meanings.
func forbidden(t *testing.T) *regexp.Regexp {
	t.Helper()
	var words []string
	for line := range strings.Lines(read(t, "docs/glossary.md")) {
		columns := strings.Split(strings.TrimSpace(line), "|")
		if len(columns) != 5 || strings.HasPrefix(columns[1], "-") || strings.TrimSpace(columns[1]) == "term" {
			continue
		}
		for word := range strings.SplitSeq(columns[3], ",") {
			if word = strings.TrimSpace(word); word != "" && !strings.HasPrefix(word, "*") {
				words = append(words, regexp.QuoteMeta(word))
			}
		}
	}
	if len(words) < 10 {
		t.Fatalf("the glossary forbids only %q", words)
	}
	return regexp.MustCompile(`(?i)\b(` + strings.Join(words, "|") + `)(s|ed|ing)?\b`)
}

func TestGlossary(t *testing.T) {
	exempt := []string{"docs/glossary.md", "CHANGELOG.md"}
	pattern := forbidden(t)
	kinds := []string{
		".go", ".md", ".stp", ".8", ".service", ".socket", ".html", ".yml", "Makefile", "need", "bench-compare",
		"acceptance", "packaging/install", "packaging/default/stap-exporter", ".ci/run",
	}
	for _, path := range files(t, kinds...) {
		if slices.Contains(exempt, path) {
			continue
		}
		for i, line := range strings.Split(read(t, path), "\n") {
			if word := pattern.FindString(line); word != "" {
				t.Errorf("%s:%d: %q: docs/glossary.md has another word for it", path, i+1, word)
			}
		}
	}
}

func TestSizes(t *testing.T) {
	packages := map[string]int{}
	for _, path := range files(t, ".go") {
		lines := strings.Count(read(t, path), "\n")
		if lines > maxFileLines {
			t.Errorf("%s has %d lines: split it by idea, %d are the most", path, lines, maxFileLines)
		}
		if !strings.HasSuffix(path, "_test.go") {
			packages[filepath.Dir(path)] += lines
		}
	}
	for name, lines := range packages {
		if lines > maxPackageLines {
			t.Errorf("package %s has %d lines: split it, %d are the most", name, lines, maxPackageLines)
		}
	}
}

// Each package of the main module has a line in docs/packages.md.
func TestPackagesAreListed(t *testing.T) {
	text := read(t, "docs/packages.md")
	seen := map[string]bool{}
	for _, path := range files(t, ".go") {
		dir := filepath.Dir(path)
		parts := strings.Split(dir, "/")
		if seen[dir] || parts[0] == "bench" || parts[0] == "test" || strings.HasSuffix(dir, "/oracle") {
			continue
		}
		seen[dir] = true
		if !strings.Contains(text, "`"+dir+"`") {
			t.Errorf("docs/packages.md does not name %s", dir)
		}
	}
}

var (
	inlineCode = regexp.MustCompile("`([^`\n ]+)`")
	link       = regexp.MustCompile(`\]\(([^)#:\n]+)(#[^)]*)?\)`)
	sourcePath = regexp.MustCompile(`^[a-z0-9-]+(/[A-Za-z0-9_.-]+)+$`)
)

// Every path of the tree that a document names exists.
func TestDocumentsNameExistingPaths(t *testing.T) {
	top := map[string]bool{}
	entries, err := os.ReadDir(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		top[e.Name()] = e.IsDir()
	}
	for _, path := range files(t, ".md") {
		text := read(t, path)
		var named []string
		for _, m := range inlineCode.FindAllStringSubmatch(text, -1) {
			first, _, _ := strings.Cut(m[1], "/")
			if sourcePath.MatchString(m[1]) && top[first] && first != "bin" {
				named = append(named, m[1])
			}
		}
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			named = append(named, filepath.Join(filepath.Dir(path), m[1]))
		}
		for _, name := range named {
			if _, err := os.Stat(filepath.Join(root, name)); err != nil {
				t.Errorf("%s names %s: %v", path, name, err)
			}
		}
	}
}

var scenarioName = regexp.MustCompile(`(?m)^\t\{"([^"]+: [^"]+)", `)

// Each scenario of the guest has its row in docs/faults.md. The table that a
// run prints shows an underscore as a blank.
func TestScenariosHaveARow(t *testing.T) {
	text := read(t, "docs/faults.md")
	names := scenarioName.FindAllStringSubmatch(read(t, "test/vm/guest/scenarios_test.go"), -1)
	if len(names) < 30 {
		t.Fatalf("only %d scenarios found", len(names))
	}
	for _, m := range names {
		if name := strings.ReplaceAll(m[1], "_", " "); !strings.Contains(text, "| "+name+" |") {
			t.Errorf("docs/faults.md has no row for the scenario %q", name)
		}
	}
}
