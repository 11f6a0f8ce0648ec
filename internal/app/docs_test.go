package app

import (
	"bytes"
	"os"
	"os/exec"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"stap-exporter/internal/scrape"
	"stap-exporter/internal/telemetry"
	"stap-exporter/test/harness"
)

const manPage = "../../packaging/man/stap-exporter.8"

func readText(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// manText returns the man page as man(1) shows it, each paragraph on one line.
func manText(t *testing.T) string {
	t.Helper()
	harness.NeedProgram(t, "man")
	cmd := exec.Command("man", "-l", "--warnings", manPage)
	cmd.Env = append(os.Environ(), "MANWIDTH=10000", "LC_ALL=C.UTF-8", "MAN_KEEP_FORMATTING=")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil || stderr.Len() > 0 {
		t.Fatalf("man -l --warnings: %v\n%s", err, stderr.String())
	}
	return string(out)
}

// groff finds mistakes in more macros than man does.
func TestManPage(t *testing.T) {
	harness.NeedProgram(t, "groff")
	groff := exec.Command("groff", "-man", "-ww", "-b", "-z", "-Tutf8", manPage)
	if out, err := groff.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("groff: %v\n%s", err, out)
	}
}

var longFlag = regexp.MustCompile(`--(?:\[no-\])?([a-z]+(?:[.-][a-z]+)*)`)

// README and man page name every flag. They and the files of packaging/ name no
// other.
func TestDocumentsNameEveryFlag(t *testing.T) {
	flags := allFlags(t)
	inOwnHelp := []string{"compile", "json"} // of check and doctor; README does not have them
	others := []string{"now", "suppress-handler-errors"}
	documents := map[string]string{
		"README":   readText(t, "../../README.md"),
		"defaults": readText(t, "../../packaging/default/stap-exporter"),
		"unit":     readText(t, "../../packaging/systemd/stap-exporter.service"),
		"socket":   readText(t, "../../packaging/systemd/stap-exporter.socket"),
	}
	if !testing.Short() { // man is needed
		documents["man page"] = manText(t)
	}
	for document, text := range documents {
		named := map[string]bool{}
		for _, m := range longFlag.FindAllStringSubmatch(text, -1) {
			named[m[1]] = true
			if !slices.Contains(flags, m[1]) && !slices.Contains(others, m[1]) &&
				!strings.HasPrefix(m[0], "--target-") {
				t.Errorf("%s: there is no flag %s", document, m[0])
			}
		}
		for _, flag := range flags {
			if !named[flag] &&
				(document == "man page" || document == "README" && !slices.Contains(inOwnHelp, flag)) {
				t.Errorf("%s does not name --%s", document, flag)
			}
		}
	}
}

// allFlags returns the long flags of all commands.
func allFlags(t *testing.T) (flags []string) {
	t.Helper()
	var help bytes.Buffer
	for _, command := range [][]string{{"--help"}, {"check", "--help"}, {"doctor", "--help"}} {
		if opts, err := ParseFlags(command, "test", &help); opts.Command != CommandNone || err != nil {
			t.Fatalf("%q: %v", command, err)
		}
	}
	for _, m := range longFlag.FindAllStringSubmatch(help.String(), -1) {
		if !strings.HasPrefix(m[1], "help-") { // kingpin's, for authors of man pages
			flags = append(flags, m[1])
		}
	}
	if len(flags) < 20 {
		t.Fatalf("the help has %q", flags)
	}
	return flags
}

// The man page names every field and kind of an event, and every cause.
func TestManPageOfEvents(t *testing.T) {
	_, section, found := strings.Cut(manText(t), "\nEVENTS\n")
	section, _, ended := strings.Cut(section, "\nMETRICS\n")
	if !found || !ended {
		t.Fatal("no section EVENTS")
	}
	words := telemetry.EventKinds()
	for _, cause := range scrape.Causes() {
		words = append(words, string(cause))
	}
	for cause := range scrape.EndCauses {
		words = append(words, cause.String())
	}
	for field := range reflect.TypeFor[telemetry.Event]().Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		words = append(words, name)
	}
	for _, word := range words {
		if !regexp.MustCompile(`\b` + regexp.QuoteMeta(word) + `\b`).MatchString(section) {
			t.Errorf("EVENTS does not name %q", word)
		}
	}
}
