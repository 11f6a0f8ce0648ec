package httpfront

import (
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"

	"stap-exporter/httpfront/api"

	"github.com/valyala/fasthttp"
)

// The table in outcome.go has every status code that the package uses.
func TestEveryStatusCodeIsExplained(t *testing.T) {
	names := map[string]string{} // of fasthttp's constants
	for code := 100; code < 600; code++ {
		name := strings.Map(func(r rune) rune {
			if unicode.IsLetter(r) {
				return r
			}
			return -1
		}, fasthttp.StatusMessage(code))
		names["Status"+name] = strconv.Itoa(code)
	}
	names["StatusOK"] = "200"
	table, err := os.ReadFile("outcome.go")
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	used := regexp.MustCompile(`fasthttp\.(Status[A-Z]\w+)`)
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range used.FindAllSubmatch(source, -1) {
			name := string(m[1])
			if name == "StatusMessage" {
				continue
			}
			if code := names[name]; code == "" || !strings.Contains(string(table), "\n//\t"+code+" ") {
				t.Errorf("%s uses %s: no line %q in the table of outcome.go", file, name, code)
			}
		}
	}
}

// README and man page name every path, and the man page every field of the
// status API.
func TestDocumentsNameEveryEndpoint(t *testing.T) {
	s := New(Config{
		Scripts:       &fakeScripts{},
		Telemetry:     http.NotFoundHandler(),
		TelemetryPath: "/metrics",
		Events:        func() any { return nil },
	})
	paths := slices.Sorted(maps.Keys(s.routes))
	for _, path := range FixedPaths() {
		if s.routes[path].get == nil && s.routes[path].post == nil {
			t.Errorf("%s is a fixed path without a handler", path)
		}
	}
	for _, path := range paths {
		if path != "/metrics" && !slices.Contains(FixedPaths(), path) {
			t.Errorf("%s has a handler, but is not a fixed path", path)
		}
	}
	for action := range actions {
		paths = append(paths, "/"+action)
	}
	paths = append(paths, "/NAME.stp", "?name[]=", "?mode=all", string(apiScripts)+"NAME")
	for _, file := range []string{"../README.md", "../packaging/man/stap-exporter.8"} {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		text := strings.ReplaceAll(string(source), `\-`, "-")
		for _, path := range paths {
			if !regexp.MustCompile(regexp.QuoteMeta(path) + `(?:[^a-z-]|$|a\.stp)`).MatchString(text) {
				t.Errorf("%s does not name %s", file, path)
			}
		}
		if strings.HasSuffix(file, ".md") {
			continue
		}
		_, section, _ := strings.Cut(text, "\n.SH STATUS API\n")
		section, _, _ = strings.Cut(section, "\n.SH EVENTS\n")
		words := strings.FieldsFunc(section, func(r rune) bool { return strings.ContainsRune(" \n\".,()", r) })
		for _, reply := range []reflect.Type{
			reflect.TypeFor[api.Script](),
			reflect.TypeFor[api.Directives](),
			reflect.TypeFor[api.Metric](),
			reflect.TypeFor[api.Error](),
			reflect.TypeFor[api.ScriptDetail](),
			reflect.TypeFor[api.Exits](),
			reflect.TypeFor[api.Exit](),
			reflect.TypeFor[api.Reads](),
		} {
			for f := range reply.Fields() {
				if field := f.Tag.Get("json"); field != "" && !slices.Contains(words, field) {
					t.Errorf("STATUS API does not name %s", field)
				}
			}
		}
	}
}
