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

// manText is the man page as its reader sees it, in lines that are not broken.
func manText(t *testing.T) string {
	t.Helper()
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

// The man page is free of mistakes, also in those macros that man does not warn
// of.
func TestManPage(t *testing.T) {
	groff := exec.Command("groff", "-man", "-ww", "-b", "-z", "-Tutf8", manPage)
	if out, err := groff.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("groff: %v\n%s", err, out)
	}
}

var longFlag = regexp.MustCompile(`--(?:\[no-\])?([a-z]+(?:[.-][a-z]+)*)`)

// README and man page name every flag, and no other.
func TestDocumentsNameEveryFlag(t *testing.T) {
	var help bytes.Buffer
	for _, command := range [][]string{{"--help"}, {"check", "--help"}, {"doctor", "--help"}} {
		if _, done, err := ParseFlags(command, "test", &help); !done || err != nil {
			t.Fatalf("%q: %v", command, err)
		}
	}
	var flags []string
	for _, m := range longFlag.FindAllStringSubmatch(help.String(), -1) {
		if !strings.HasPrefix(m[1], "help-") { // of kingpin, for those who write man pages
			flags = append(flags, m[1])
		}
	}
	if len(flags) < 20 {
		t.Fatalf("help tells of %q", flags)
	}
	ofCheckAndDoctor := []string{"compile", "json"} // their own --help has them
	others := []string{"now", "suppress-handler-errors"}
	for where, text := range map[string]string{
		"README": readText(t, "../../README.md"), "man page": manText(t),
		"defaults": readText(t, "../../packaging/default/stap-exporter"), "unit": readText(t, "../../packaging/systemd/stap-exporter.service"),
		"socket": readText(t, "../../packaging/systemd/stap-exporter.socket"),
	} {
		named := map[string]bool{}
		for _, m := range longFlag.FindAllStringSubmatch(text, -1) {
			named[m[1]] = true
			if !slices.Contains(flags, m[1]) && !slices.Contains(others, m[1]) &&
				!strings.HasPrefix(m[0], "--target-") {
				t.Errorf("%s: there is no flag %s", where, m[0])
			}
		}
		for _, flag := range flags {
			if !named[flag] && (where == "man page" || where == "README" && !slices.Contains(ofCheckAndDoctor, flag)) {
				t.Errorf("%s does not name --%s", where, flag)
			}
		}
	}
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
