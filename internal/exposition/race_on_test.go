//go:build race

package exposition

// raceEnabled: under the race detector sync.Pool drops some of what it is
// given, so allocations cannot be counted.
const raceEnabled = true
