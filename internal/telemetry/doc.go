// Package telemetry is what the exporter reports about itself: every metric
// definition, the log of what happens to the scripts, and the list of the last
// events.
//
// A Recorder is fed with the events of the scripts (scrape.Event) and with what
// the supervisor reports about its actors. It reads the rest, such as states
// and CPU time, at each scrape of the exporter's own metrics. It knows neither
// actors nor HTTP. docs/metrics.md lists the metrics for users; a test holds
// the list against the definitions here.
package telemetry
