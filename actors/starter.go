package actors

import (
	"stap-exporter/internal/exposition"
	"stap-exporter/internal/runner"
	"stap-exporter/internal/script"
)

// OnHost starts the runs of scripts as processes of this host.
func OnHost(h *runner.Host) Starter { return hostStarter{h} }

type hostStarter struct{ host *runner.Host }

// Start hands the run's events on, a ready run with the source of its metrics.
func (s hostStarter) Start(sc script.Script, run uint64, report func(message any)) Process {
	return s.host.Start(sc, run, func(e runner.Event) {
		ready, ok := e.(runner.Ready)
		if !ok {
			report(e)
			return
		}
		report(ProcessReady{ready, &fileSource{
			name:       sc.Name,
			file:       ready.File,
			alive:      ready.Alive,
			directives: metadata(sc),
		}})
	})
}

// Validate compiles the script on the host.
func (s hostStarter) Validate(sc script.Script, validation uint64, report func(message any)) Process {
	run := s.host.Validate(sc, validation, func(e runner.Event) {
		if e, ok := e.(runner.Exited); ok {
			report(ValidationEnded(e))
		}
	})
	if run == nil {
		return nil
	}
	return run
}

// metadata is what the script's header declares about its metrics. What is
// wrong in it is ignored: the check subcommand reports it.
func metadata(sc script.Script) *exposition.Directives {
	list := make([]exposition.Metadata, 0, len(sc.Directives.Metrics))
	for _, m := range sc.Directives.Metrics {
		typ, _ := exposition.ParseType(m.Type)
		list = append(list, exposition.Metadata{Name: m.Name, Type: typ, Help: m.Help})
	}
	d, _ := exposition.NewDirectives(list)
	return d
}
