package health

// Schedule says who is due when: a binary heap of IDs by time. Putting, removing and popping take O(log n), and allocate
// nothing once the Schedule has grown to its size; it never shrinks. Of IDs that are due at the same time the smallest
// comes first, so that the order is the same in every run.
//
// IDs are small numbers, given again when they are free: the Schedule takes four bytes for each up to the greatest.
// The zero value is an empty Schedule.
type Schedule struct {
	heap  []due
	where []uint32 // by ID: 1 + its index in heap; 0 = not there
}

// due is one ID in the heap.
type due struct {
	at int64
	id uint32
}

func (d due) before(e due) bool { return d.at < e.at || d.at == e.at && d.id < e.id }

// Len returns how many IDs there are.
func (s *Schedule) Len() int { return len(s.heap) }

// Put makes the ID due at a time (nanoseconds); one that is there already is moved.
func (s *Schedule) Put(id uint32, at int64) {
	if more := int(id) + 1 - len(s.where); more > 0 {
		s.where = append(s.where, make([]uint32, more)...)
	}
	d := due{at, id}
	if place := s.where[id]; place > 0 {
		s.settle(int(place)-1, d)
		return
	}
	s.heap = append(s.heap, d)
	s.settle(len(s.heap)-1, d)
}

// Remove takes an ID out. Any ID may be given.
func (s *Schedule) Remove(id uint32) {
	if int(id) >= len(s.where) || s.where[id] == 0 {
		return
	}
	i, last := int(s.where[id])-1, len(s.heap)-1
	moved := s.heap[last]
	s.heap = s.heap[:last]
	s.where[id] = 0
	if i != last {
		s.settle(i, moved)
	}
}

// Next returns when the first is due; false if there is none.
func (s *Schedule) Next() (at int64, ok bool) {
	if len(s.heap) == 0 {
		return 0, false
	}
	return s.heap[0].at, true
}

// Pop takes out the first that is due at now, and returns it; false if none is.
func (s *Schedule) Pop(now int64) (id uint32, ok bool) {
	if len(s.heap) == 0 || s.heap[0].at > now {
		return 0, false
	}
	id = s.heap[0].id
	s.Remove(id)
	return id, true
}

// settle puts d into the heap, starting from place i, whose content has gone: up past those that come after it, else
// down past those that come before.
func (s *Schedule) settle(i int, d due) {
	for i > 0 {
		parent := (i - 1) / 2
		if !d.before(s.heap[parent]) {
			break
		}
		s.set(i, s.heap[parent])
		i = parent
	}
	for {
		child := 2*i + 1
		if child >= len(s.heap) {
			break
		}
		if child+1 < len(s.heap) && s.heap[child+1].before(s.heap[child]) {
			child++
		}
		if !s.heap[child].before(d) {
			break
		}
		s.set(i, s.heap[child])
		i = child
	}
	s.set(i, d)
}

func (s *Schedule) set(i int, d due) {
	s.heap[i] = d
	s.where[d.id] = uint32(i) + 1
}
