package supervisor

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"

	"stap-exporter/actors"
	"stap-exporter/internal/procfile"
	"stap-exporter/internal/runner"
	"stap-exporter/internal/scrape"
	"stap-exporter/internal/script"
	"stap-exporter/internal/toolchain"
)

// panicky is a starter whose processes panic, once each time it is armed, in
// the goroutine of the actor that prioritizes them.
type panicky struct {
	actors.Starter
	armed *atomic.Bool
}

func (p panicky) Start(s script.Script, run uint64, report func(any)) actors.Process {
	return panickyProcess{p.Starter.Start(s, run, report), p.armed}
}

type panickyProcess struct {
	actors.Process
	armed *atomic.Bool
}

func (p panickyProcess) Prioritize() {
	if p.armed.CompareAndSwap(true, false) {
		panic("a bug")
	}
	p.Process.Prioritize()
}

// An actor has a bug while its script waits for a start slot: the request gets
// an internal error, the queue slot is free again, and the scripts behind move
// up. With real processes.
func TestPanicWhileQueued(t *testing.T) {
	dir := t.TempDir()
	scripts := make([]script.Script, 0, 3)
	for _, name := range []string{"b.stp", "c.stp", "d.stp"} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte("#!/bin/sh\nexec sleep 1000\n"), 0o700); err != nil {
			t.Fatal(err)
		}
		scripts = append(scripts, script.Script{
			Name:       name,
			Path:       path,
			Module:     "queued_" + name[:1],
			Executable: true,
		})
	}
	host, err := runner.NewHost(runner.Config{
		Stap:          "/bin/true",
		Runtime:       toolchain.Kernel,
		Dir:           filepath.Join(dir, "private"),
		MaxParallel:   1,
		AllowInsecure: true,
		Logger:        zap.NewNop(),
		Roots:         procfile.Roots{Kernel: filepath.Join(dir, "kernel"), FIFO: filepath.Join(dir, "fifo")},
		TermGrace:     time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer host.Close()
	armed := new(atomic.Bool)
	s, err := StartWith(Config{
		Scripts:     scripts,
		Host:        host,
		ReadTimeout: time.Second,
		Logger:      zap.NewNop(),
	}, panicky{actors.OnHost(host), armed})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if residue := s.Shutdown(ctx); residue != nil {
			t.Errorf("residue: %v", residue)
		}
	}()
	request := func(name string) scrape.Answer {
		return s.Scrape([]byte(name), scrape.Query{Deadline: time.Now().Add(20 * time.Second)})
	}
	at := func(name string) *scrape.Status {
		for _, st := range s.Statuses() {
			if st.Script.Name == name {
				return st
			}
		}
		return nil
	}
	request("b.stp")
	eventually(t, "b.stp starts", func() bool { return at("b.stp").OSPID != 0 })
	for i, name := range []string{"c.stp", "d.stp"} {
		request(name)
		eventually(t, name+" is in the queue", func() bool { return at(name).QueuePosition == i+1 })
	}
	armed.Store(true)
	if a := s.Scrape([]byte("c.stp"), waiting()); !errors.Is(a.Err, scrape.ErrInternal) {
		t.Errorf("the request that hits the bug: %v", a.Err)
	}
	eventually(
		t,
		"the slot of c.stp is free",
		func() bool { return at("d.stp").QueuePosition == 1 && at("d.stp").QueueLength == 1 },
	)
	eventually(
		t,
		"c.stp is in back-off",
		func() bool { st := at("c.stp"); return st.State == scrape.BackingOff && st.QueuePosition == 0 },
	)
	if err := s.StopScript("b.stp"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "d.stp starts", func() bool { return at("d.stp").OSPID != 0 })
}
