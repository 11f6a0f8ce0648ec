package actors

import "time"

// Clock is the actor's time. Tests have their own.
type Clock interface {
	Now() time.Time
	// AfterFunc calls f in a goroutine of its own after d, unless stop is
	// called first.
	AfterFunc(d time.Duration, f func()) (stop func())
}

// SystemClock is the real time.
type SystemClock struct{}

// Now returns the time with its monotonic part.
func (SystemClock) Now() time.Time { return time.Now() }

// AfterFunc is time.AfterFunc.
func (SystemClock) AfterFunc(d time.Duration, f func()) (stop func()) {
	t := time.AfterFunc(d, f)
	return func() { t.Stop() }
}
