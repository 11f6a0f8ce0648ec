package httpfront

import (
	"maps"
	"net/http"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// README and man page name every path that is answered, and the man page every
// field of the status API.
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
			t.Errorf("%s is a fixed path that nothing answers", path)
		}
	}
	for _, path := range paths {
		if path != "/metrics" && !slices.Contains(FixedPaths(), path) {
			t.Errorf("%s is answered, but not one of the fixed paths", path)
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
		_, api, _ := strings.Cut(text, "\n.SH STATUS API\n")
		api, _, _ = strings.Cut(api, "\n.SH EVENTS\n")
		for _, of := range []reflect.Type{reflect.TypeFor[apiScript](), reflect.TypeFor[apiDirectives](), reflect.TypeFor[apiMetric](), reflect.TypeFor[apiError](), reflect.TypeFor[apiScriptDetail](), reflect.TypeFor[apiExits](), reflect.TypeFor[apiExit](), reflect.TypeFor[apiReads]()} {
			for f := range of.Fields() {
				field := f.Tag.Get("json")
				if field != "" &&
					!slices.Contains(
						strings.FieldsFunc(api, func(r rune) bool { return strings.ContainsRune(" \n\".,()", r) }),
						field,
					) {
					t.Errorf("STATUS API does not name %s", field)
				}
			}
		}
	}
}
