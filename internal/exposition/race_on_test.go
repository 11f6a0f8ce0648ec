//go:build race

package exposition

// raceEnabled disables tests that count allocations: under the race detector
// sync.Pool drops some of the values that it receives.
const raceEnabled = true
