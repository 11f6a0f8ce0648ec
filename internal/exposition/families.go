package exposition

import (
	"hash/maphash"
)

// family is one metric family of a text.
type family struct {
	name    []byte
	hash    uint64
	typ     Type
	typed   bool       // a TYPE line or a directive set typ
	helped  bool       // a HELP line with text was seen, or a directive has one
	present bool       // a line of the family was seen
	samples int        // samples seen
	given   *directive // metadata from the script's header; nil: none

	// Used by repair only.
	sampled     bool  // a sample precedes the current line
	rearranged  bool  // HELP and TYPE must be written before all other lines
	first, last int32 // the family's lines, a list through rec.next; -1: none
}

// families holds the families of a text in order of appearance and finds them
// by name.
type families struct {
	list []family
	// hash table with open addressing, a power of two; index into list plus 1,
	// 0 = free
	slots []int32
}

func (t *families) reset() {
	clear(t.list) // releases the texts
	t.list = t.list[:0]
	if len(t.slots) == 0 {
		t.slots = make([]int32, 64)
		return
	}
	clear(t.slots)
}

// find returns the index of the family with exactly this name, or -1.
func (t *families) find(name []byte, hash uint64) int32 {
	mask := uint64(len(t.slots) - 1)
	for i := hash & mask; ; i = (i + 1) & mask {
		n := t.slots[i]
		if n == 0 {
			return -1
		}
		if f := &t.list[n-1]; f.hash == hash && string(f.name) == string(name) {
			return n - 1
		}
	}
}

// add appends a family; find must not know its name.
func (t *families) add(name []byte, hash uint64) int32 {
	if 2*(len(t.list)+1) > len(t.slots) {
		t.slots = make([]int32, 2*len(t.slots))
		for i := range t.list {
			t.place(t.list[i].hash, int32(i)+1)
		}
	}
	t.list = append(t.list, family{
		name:  name,
		hash:  hash,
		first: -1,
		last:  -1,
	})
	n := int32(len(t.list))
	t.place(hash, n)
	return n - 1
}

func (t *families) place(hash uint64, n int32) {
	mask := uint64(len(t.slots) - 1)
	i := hash & mask
	for t.slots[i] != 0 {
		i = (i + 1) & mask
	}
	t.slots[i] = n
}

// exact returns the family with exactly this name and adds it if necessary.
func (t *families) exact(name []byte) int32 {
	hash := maphash.Bytes(seed, name)
	if n := t.find(name, hash); n >= 0 {
		return n
	}
	return t.add(name, hash)
}

// parent returns the summary or histogram that a sample of this name is a part
// of, or -1.
func (t *families) parent(name []byte) int32 {
	base, bucket := stripSuffix(name)
	if base == nil {
		return -1
	}
	n := t.find(base, maphash.Bytes(seed, base))
	if n < 0 {
		return -1
	}
	if typ := t.list[n].typ; typ == Histogram || typ == Summary && !bucket {
		return n
	}
	return -1
}

// resolve returns the family that a line with this name belongs to, as expfmt
// determines it while it reads from top to bottom: the family of that name,
// else the summary or histogram that the name is a part of, else a new family.
// expfmt treats HELP and TYPE lines in the same way as samples.
func (t *families) resolve(name []byte) int32 {
	hash := maphash.Bytes(seed, name)
	n := t.find(name, hash)
	if n >= 0 && t.list[n].present {
		return n
	}
	// Before its first line, a histogram or summary from a directive counts
	// only if its HELP and TYPE can be inserted, which is not possible when it
	// is itself a part of another one. A directive for exactly this name does
	// not count before the family's first line.
	if p := t.parent(name); p >= 0 && (t.list[p].present || t.owner(t.list[p].name) < 0) {
		return p
	}
	if n >= 0 {
		return n
	}
	return t.add(name, hash)
}

// owner is parent for a text whose HELP and TYPE lines are all known. A family
// that is itself a part of another one is no parent, because its own TYPE is
// dropped.
func (t *families) owner(name []byte) int32 {
	n := t.parent(name)
	if n >= 0 && t.owner(t.list[n].name) >= 0 {
		return -1
	}
	return n
}

// stripSuffix returns the name without its suffix _sum, _count or _bucket, or
// nil when it has none of them.
func stripSuffix(name []byte) (base []byte, bucket bool) {
	switch {
	case hasSuffix(name, "_sum"):
		return name[:len(name)-len("_sum")], false
	case hasSuffix(name, "_count"):
		return name[:len(name)-len("_count")], false
	case hasSuffix(name, "_bucket"):
		return name[:len(name)-len("_bucket")], true
	}
	return nil, false
}

// hasSuffix reports whether name ends in suffix and is longer than it.
func hasSuffix(name []byte, suffix string) bool {
	return len(name) > len(suffix) && string(name[len(name)-len(suffix):]) == suffix
}

// fits checks that expfmt accepts the sample in this family: expfmt parses le
// and quantile as numbers and rejects negative counts. PromParser accepts
// anything.
func (f *family) fits(s *sample) Reason {
	switch f.typ {
	case Summary:
		for i := range s.labels {
			if string(s.labels[i].name) == "quantile" {
				if _, ok := number(s.labels[i].value); !ok {
					return BadLabel
				}
			}
		}
	case Histogram:
		counts := len(s.name) != len(f.name) && hasSuffix(s.name, "_count")
		for i := range s.labels {
			if string(s.labels[i].name) == "le" {
				le, ok := number(s.labels[i].value)
				if !ok {
					return BadLabel
				}
				counts = counts || le == le // not NaN
			}
		}
		if len(s.name) != len(f.name) && hasSuffix(s.name, "_sum") {
			return None
		}
		if v, _ := number(s.value); counts && v < 0 {
			return BadValue
		}
	case Untyped, Counter, Gauge:
	}
	return None
}
