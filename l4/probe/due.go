package probe

import "time"

// entry is a target that has been added.
type entry struct {
	target *Target // immutable

	// Under the Runner's lock.
	due    time.Time
	order  uint64 // who was added or came back sooner goes first at the same time
	place  int    // in the heap; -1 = not there: being checked, or removed
	gone   bool
	cancel func() // ends the check under way; nil = none
}

// dueHeap is a container/heap of entries, the first that is due on top.
type dueHeap []*entry

func (h dueHeap) Len() int { return len(h) }

func (h dueHeap) Less(i, j int) bool {
	if h[i].due.Equal(h[j].due) {
		return h[i].order < h[j].order
	}
	return h[i].due.Before(h[j].due)
}

func (h dueHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].place, h[j].place = i, j
}

func (h *dueHeap) Push(x any) {
	e := x.(*entry)
	e.place = len(*h)
	*h = append(*h, e)
}

func (h *dueHeap) Pop() any {
	last := len(*h) - 1
	e := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	e.place = -1
	return e
}
