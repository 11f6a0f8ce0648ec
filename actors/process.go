package actors

import (
	"context"

	"stap-exporter/internal/procfs"
	"stap-exporter/internal/script"
	"stap-exporter/internal/stap"
)

// OnHost starts the runs of scripts as processes of this host.
func OnHost(h *stap.Host) Starter { return hostStarter{h} }

type hostStarter struct{ host *stap.Host }

// Start hands the run's events on as messages of this package.
func (s hostStarter) Start(sc script.Script, run uint64, report func(message any)) Process {
	return s.host.Start(sc, run, func(e stap.Event) {
		switch e := e.(type) {
		case stap.Progress:
			report(ProcessProgressed{e.Run, e.OSPID, e.Activity})
		case stap.Ready:
			report(ProcessReady{e.Run, e.OSPID, &fileSource{file: e.File}})
		case stap.Exited:
			report(ProcessExited{e.Run, e.Exit})
		}
	})
}

// fileSource is the file of one run. Its reads come one after the other, so it needs no lock.
type fileSource struct {
	file procfs.File
	cut  bool // the last read was cut off
}

// Read reads the file. After a FIFO was left in the middle its writer may hold the text of a probe that ran before: that text goes to the next reader, here to nobody.
func (f *fileSource) Read(ctx context.Context, enough <-chan struct{}) ([]byte, error) {
	if f.cut && f.file.FIFO {
		if _, err := f.file.Read(ctx, enough); err != nil {
			return nil, err
		}
	}
	body, err := f.file.Read(ctx, enough)
	f.cut = err != nil
	return body, err
}

// Patient is true for a FIFO whose writer would die of SIGPIPE.
func (f *fileSource) Patient() bool { return !f.file.Abandonable }
