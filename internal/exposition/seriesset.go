package exposition

// seriesSet finds samples by the hash of their series. Two series may share a
// hash, so the caller must compare the samples.
type seriesSet struct {
	slots []seriesSlot // hash table with open addressing, a power of two, at most half full
	mask  uint64
}

type seriesSlot struct {
	hash uint64
	id   int32 // 0 = free
}

const maxKeptSlots = 1 << 16 // 1 MiB; a larger set is not kept for reuse

// reset empties the set and makes room for n samples.
func (t *seriesSet) reset(n int) {
	size := 64
	for size < 2*n {
		size *= 2
	}
	if size > cap(t.slots) || cap(t.slots) > maxKeptSlots && size <= maxKeptSlots {
		t.slots = make([]seriesSlot, size)
	} else {
		t.slots = t.slots[:size]
		clear(t.slots)
	}
	t.mask = uint64(size - 1)
}

// next searches for the hash from slot i on. It returns the id and the slot of
// the sample, or 0 and the free slot for put.
func (t *seriesSet) next(hash, i uint64) (id int32, slot uint64) {
	for ; ; i++ {
		s := &t.slots[i&t.mask]
		if s.id == 0 || s.hash == hash {
			return s.id, i
		}
	}
}

func (t *seriesSet) put(slot, hash uint64, id int32) {
	t.slots[slot&t.mask] = seriesSlot{hash, id}
}
