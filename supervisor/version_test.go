package supervisor

import (
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"stap-exporter/internal/runner"
	"stap-exporter/internal/scrape"
	"stap-exporter/internal/script"
	"stap-exporter/internal/toolchain"
)

// A new version that stap refuses leaves the old one running, and status, log
// and events have the reason. A good version takes over.
func TestRefusedVersion(t *testing.T) {
	f, h := newDirectory(t, "a.stp"), newHost()
	var refuse atomic.Bool
	h.onValidate = func(script.Script) runner.Exit {
		if refuse.Load() {
			return runner.Exit{Code: 1, Stage: toolchain.StageCompile, Tail: []string{"parse error: expected x"}}
		}
		return runner.Exit{}
	}
	core, logs := observer.New(zap.WarnLevel)
	s := f.serve(h, Config{Logger: zap.New(core)})
	s.Scrape([]byte("a.stp"), waiting())
	refuse.Store(true)
	f.write("a.stp", "probe {\n")
	reload(t, s)
	eventually(
		t,
		"it is refused",
		func() bool { return strings.Contains(status(t, s, "a.stp").NewVersion, "parse error") },
	)
	if a := s.Scrape([]byte("a.stp"), waiting()); a.Err != nil || h.count("a.stp") != 1 {
		t.Errorf("the old version: %v, %d starts", a.Err, h.count("a.stp"))
	}
	if logs.FilterMessageSnippet("new version of a script refused").Len() != 1 ||
		logs.FilterMessage("script refused").Len() != 0 {
		t.Errorf("log: %v", logs.All())
	}
	events := s.Events()
	if last := events[len(events)-1]; last.Kind != "version-refused" || !strings.Contains(last.Reason, "parse error") {
		t.Errorf("last event: %+v", last)
	}
	reload(t, s)
	refuse.Store(false)
	f.write("a.stp", "probe begin {} // repaired\n")
	reload(t, s)
	eventually(t, "the repaired version runs", func() bool {
		st := status(t, s, "a.stp")
		return st.Run == 2 && st.State == scrape.Running && st.NewVersion == ""
	})
}

// A new version with an invalid header is logged once: as a refused version
// while the old one runs, and else as a refused script.
func TestInvalidHeaderIsLoggedOnce(t *testing.T) {
	f, h := newDirectory(t, "a.stp", "idle.stp"), newHost()
	core, logs := observer.New(zap.WarnLevel)
	s := f.serve(h, Config{Logger: zap.New(core)})
	s.Scrape([]byte("a.stp"), waiting())
	for _, name := range []string{"a.stp", "idle.stp"} {
		f.write(name, "// stap-exporter: keepalive=banana\nprobe begin {}\n")
	}
	reload(t, s)
	eventually(t, "both are refused", func() bool {
		return status(t, s, "a.stp").NewVersion != "" && status(t, s, "idle.stp").Script.Refused != nil
	})
	running, idle := logs.FilterMessageSnippet("new version of a script refused"), logs.FilterMessage("script refused")
	if running.Len() != 1 || idle.Len() != 1 || idle.All()[0].ContextMap()["script"] != "idle.stp" {
		t.Errorf("log: %v", logs.All())
	}
}

// A change of the file ends the back-off, as does writing the same text again.
func TestChangeEndsBackOff(t *testing.T) {
	f, h := newDirectory(t, "autostart.stp"), newHost()
	h.onStart = func(p *process) {
		if p.run <= 3 {
			go p.exit(runner.Exit{Code: 1, Stage: toolchain.StageCompile})
			return
		}
		p.ready()
	}
	s := f.serve(h, Config{})
	for run := uint64(1); run <= 3; run++ {
		eventually(t, "it is in back-off", func() bool {
			st := status(t, s, "autostart.stp")
			return st.State == scrape.BackingOff && st.Run == run
		})
		f.write("autostart.stp", "probe begin {}\n") // the same text in another file
		reload(t, s)
	}
	eventually(t, "it runs", func() bool { return status(t, s, "autostart.stp").State == scrape.Running })
}

// A change of a script's mode or header is a new version, as one of its text
// is.
func TestModeAndHeaderCount(t *testing.T) {
	f, h := newDirectory(t, "a.stp"), newHost()
	s := f.serve(h, Config{})
	s.Scrape([]byte("a.stp"), waiting())
	if err := os.Chmod(filepath.Join(f.dir, "a.stp"), 0o700); err != nil {
		t.Fatal(err)
	}
	reload(t, s)
	eventually(t, "it runs as an executable", func() bool {
		st := status(t, s, "a.stp")
		return st.Script.Executable && st.State == scrape.Running && st.Run == 2
	})
	f.write("a.stp", "# stap-exporter: keepalive=never\nprobe begin {}\n# stap-exporter: x\n")
	reload(t, s)
	eventually(t, "it is a script again, with a directive", func() bool {
		st := status(t, s, "a.stp")
		return !st.Script.Executable && st.Script.Directives.Keepalive != nil && st.State == scrape.Running
	})
	f.write("a.stp", "# stap-exporter: keepalive=1x\n")
	reload(t, s)
	eventually(
		t,
		"the status has the invalid header",
		func() bool { return strings.Contains(status(t, s, "a.stp").NewVersion, "keepalive") },
	)
	if a := s.Scrape([]byte("a.stp"), waiting()); a.Err != nil {
		t.Errorf("the old version: %v", a.Err)
	}
}
