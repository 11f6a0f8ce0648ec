package actors

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"stap-exporter/internal/scrape"
)

// scrape.Causes names each constant of its file, the actor uses each, and it
// uses no other words.
func TestCausesAreAll(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	code := ""
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasSuffix(file, "_test.go") {
			code += string(text)
		}
	}
	own, err := os.ReadFile("../internal/scrape/cause.go")
	if err != nil {
		t.Fatal(err)
	}
	var declared []scrape.Cause
	for _, m := range regexp.MustCompile(`(?m)^\t(Cause\w+) +Cause = "(.+?)"`).FindAllSubmatch(own, -1) {
		declared = append(declared, scrape.Cause(m[2]))
		if !regexp.MustCompile(`\bscrape\.` + string(m[1]) + `\b`).MatchString(code) {
			t.Errorf("%s is not used", m[1])
		}
	}
	if !slices.Equal(declared, scrape.Causes()) {
		t.Errorf("declared: %q\nCauses: %q", declared, scrape.Causes())
	}
	words := regexp.MustCompile(`(?m)^.*(?:\bbecome\w*\(.*".*"\)|\b(re)?start\w*\(.*"|nextCause = "[^"]|\bCause\().*$`)
	for _, literal := range words.FindAllString(code, -1) {
		t.Errorf("a cause that is no constant: %s", strings.TrimSpace(literal))
	}
}
