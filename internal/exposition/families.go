package exposition

import (
	"hash/maphash"
)

// family is one metric family of a text.
type family struct {
	name    []byte
	hash    uint64
	typ     Type
	typed   bool       // a TYPE line or a directive gave typ
	helped  bool       // a HELP line with text was seen, or a directive gave one
	present bool       // a line of it was seen
	samples int        // samples seen
	given   *directive // what the script's header says of it; nil: nothing

	// For mending only.
	sampled     bool  // a sample stands before the line that is looked at
	rearranged  bool  // its HELP and TYPE must be written before all else
	first, last int32 // its lines, as a list through rec.next; -1: none
}

// families holds the families of a text in order of appearance, and finds them
// by name.
type families struct {
	list  []family
	slots []int32 // open addressing, power of two; index into list plus 1, 0 = free
}

func (t *families) reset() {
	clear(t.list) // do not keep texts alive
	t.list = t.list[:0]
	if len(t.slots) == 0 {
		t.slots = make([]int32, 64)
		return
	}
	clear(t.slots)
}

// find returns the index of the family with exactly this name, -1 when there is
// none.
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

// add appends a family that find did not find.
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

// exact returns the family with this name, made if need be.
func (t *families) exact(name []byte) int32 {
	hash := maphash.Bytes(seed, name)
	if n := t.find(name, hash); n >= 0 {
		return n
	}
	return t.add(name, hash)
}

// parent returns the summary or histogram that a sample of this name is a part
// of, -1 when there is none.
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

// resolve returns the family that a line about this name belongs to, as expfmt
// sees it while it reads from top to bottom: the one of that name, else the
// summary or histogram that it is a part of, else a new one.
// expfmt looks at HELP and TYPE lines in the same way as at samples.
func (t *families) resolve(name []byte) int32 {
	hash := maphash.Bytes(seed, name)
	n := t.find(name, hash)
	if n >= 0 && t.list[n].present {
		return n
	}
	// A directive's histogram or summary of which no line has been seen counts
	// only if its HELP and TYPE can be inserted: not when it is itself a part
	// of another.
	// And one of the same name does not count before a line of it has been
	// seen.
	if p := t.parent(name); p >= 0 && (t.list[p].present || t.owner(t.list[p].name) < 0) {
		return p
	}
	if n >= 0 {
		return n
	}
	return t.add(name, hash)
}

// owner is parent in a text whose HELP and TYPE lines are all known: a family
// that is itself a part of another is no parent, since its own TYPE does not
// hold.
func (t *families) owner(name []byte) int32 {
	n := t.parent(name)
	if n >= 0 && t.owner(t.list[n].name) >= 0 {
		return -1
	}
	return n
}

// stripSuffix returns the name without its _sum, _count or _bucket, nil when it
// has none.
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

// hasSuffix tells whether name ends in suffix and has something before it.
func hasSuffix(name []byte, suffix string) bool {
	return len(name) > len(suffix) && string(name[len(name)-len(suffix):]) == suffix
}

// fits tells whether expfmt takes the sample as part of this family: it reads
// le and quantile as numbers, and wants no negative counts.
// PromParser is content with anything.
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
