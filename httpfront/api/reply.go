// Package api is the JSON of the status API, /api/v1. Field names are stable:
// fields may be added, none is removed or changes its meaning. Times are RFC
// 3339 in UTC, durations seconds.
//
// The files:
//   - reply.go: replies and errors
//   - script.go: one script
//   - history.go: a script's runs that ended, and its reads
package api

// ScriptList is the reply of /api/v1/scripts.
type ScriptList struct {
	Scripts []Script `json:"scripts"` // sorted by name; [] when none
}

// EventList is the reply of /api/v1/events.
type EventList struct {
	Events any `json:"events"` // oldest first, at most 1,000
}

// Accepted is the reply to an accepted POST to /api/v1/scripts/NAME/ACTION.
type Accepted struct {
	Script string `json:"script"` // its name
	Action string `json:"action"` // start, stop or restart
}

// Error is any reply that is not a 200 or 202.
type Error struct {
	Error string `json:"error"`
}
