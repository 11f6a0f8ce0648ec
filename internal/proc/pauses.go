package proc

import "time"

// Pauses are growing waits between checks of a condition.
type Pauses struct{ now, longest time.Duration }

// NewPauses returns pauses from first to longest.
func NewPauses(first, longest time.Duration) *Pauses { return &Pauses{first, longest} }

// Next returns the next pause.
func (p *Pauses) Next() time.Duration {
	d := p.now
	p.now = min(p.now*3/2, p.longest)
	return d
}
