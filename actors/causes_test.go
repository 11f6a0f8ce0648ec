package actors

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Causes names each constant of causes.go, each is used, and no other file
// makes up words of its own.
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
		if file != "causes.go" && !strings.HasSuffix(file, "_test.go") {
			code += string(text)
		}
	}
	own, err := os.ReadFile("causes.go")
	if err != nil {
		t.Fatal(err)
	}
	var declared []Cause
	for _, m := range regexp.MustCompile(`(?m)^\t(Cause\w+) +Cause = "(.+?)"`).FindAllSubmatch(own, -1) {
		declared = append(declared, Cause(m[2]))
		if !regexp.MustCompile(`\b` + string(m[1]) + `\b`).MatchString(code) {
			t.Errorf("%s is not used", m[1])
		}
	}
	if !slices.Equal(declared, Causes()) {
		t.Errorf("declared: %q\nCauses: %q", declared, Causes())
	}
	for _, literal := range regexp.MustCompile(`(?m)^.*(?:\bbecome\w*\(.*".*"\)|\bstartOver\(.*"|wanted = "[^"]|\bCause\().*$`).FindAllString(code, -1) {
		t.Errorf("a cause that is no constant: %s", strings.TrimSpace(literal))
	}
}
