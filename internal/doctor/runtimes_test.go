package doctor

import (
	"errors"
	"strings"
	"testing"
	"time"

	"stap-exporter/internal/runner"
)

func TestFindingOf(t *testing.T) {
	for _, c := range []struct {
		exit    runner.Exit
		body    string
		readErr error
		want    string // a part of the finding's detail
	}{
		{exit: runner.Exit{Code: 1}, want: "does not run"},
		{exit: runner.Exit{Ready: true}, readErr: errors.New("no"), want: "cannot be read"},
		{exit: runner.Exit{Ready: true}, body: "x", want: "metrics are wrong"},
		{
			exit: runner.Exit{Ready: true, Residue: []string{"module x"}},
			body: worksMetrics,
			want: "left residue: module x",
		},
	} {
		f := findingOf(CheckBPF, c.exit, []byte(c.body), c.readErr, time.Second)
		if f.OK || !strings.Contains(f.Detail, c.want) || f.Remedy == "" {
			t.Errorf("got %+v, want a failure with %q and a remedy", f, c.want)
		}
	}
	f := findingOf(CheckBPF, runner.Exit{Code: 1, Remedy: "install gcc"}, nil, nil, time.Second)
	if f.Remedy != "install gcc" {
		t.Errorf("the remedy of the run is lost: %+v", f)
	}
	if f := findingOf(CheckBPF, runner.Exit{Ready: true}, []byte(worksMetrics), nil, time.Second); !f.OK {
		t.Errorf("a run that works: %+v", f)
	}
}
