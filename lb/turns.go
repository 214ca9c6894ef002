package lb

// turnHeap orders indexes by when their next turn is due: turn/weight, the
// smaller the sooner, and the lower index first of equals. Turns and weights
// stay below 2^32, so that they can be compared by cross-multiplying.
type turnHeap struct {
	weight []uint64 // per index
	turn   []uint64 // per index; may change only while the index is out of the heap, or on top before fix
	order  []uint32 // the heap
}

func (h *turnHeap) less(a, b uint32) bool {
	x, y := h.turn[a]*h.weight[b], h.turn[b]*h.weight[a]
	return x < y || x == y && a < b
}

func (h *turnHeap) push(i uint32) {
	h.order = append(h.order, i)
	at := len(h.order) - 1
	for at > 0 {
		up := (at - 1) / 2
		if !h.less(i, h.order[up]) {
			break
		}
		h.order[at] = h.order[up]
		at = up
	}
	h.order[at] = i
}

// pop takes out the index whose turn is due first; the heap isn't empty.
func (h *turnHeap) pop() uint32 {
	top := h.order[0]
	end := len(h.order) - 1
	h.order[0] = h.order[end]
	h.order = h.order[:end]
	if end > 0 {
		h.fix()
	}
	return top
}

// fix moves the index on top down to where its turn belongs.
func (h *turnHeap) fix() {
	i, at := h.order[0], 0
	for {
		down := 2*at + 1
		if down >= len(h.order) {
			break
		}
		if down+1 < len(h.order) && h.less(h.order[down+1], h.order[down]) {
			down++
		}
		if !h.less(h.order[down], i) {
			break
		}
		h.order[at] = h.order[down]
		at = down
	}
	h.order[at] = i
}
