package eventloop

import "testing"

func TestSlab(t *testing.T) {
	var s Slab[[3]int]
	addr := map[uint32]*[3]int{}
	for n := range uint32(3 * slabChunk) {
		i, v := s.Get()
		if i != n || *v != [3]int{} {
			t.Fatalf("Get number %d gives index %d with %v", n, i, *v)
		}
		v[0] = int(i)
		addr[i] = v
	}
	if s.Len() != 3*slabChunk || s.Cap() != 3*slabChunk {
		t.Fatalf("Len %d, Cap %d; want %d both", s.Len(), s.Cap(), 3*slabChunk)
	}
	for i, v := range addr {
		if s.At(i) != v || v[0] != int(i) {
			t.Fatalf("index %d moved or changed", i)
		}
	}
	for _, i := range []uint32{5, 700, 300} {
		s.Put(i)
	}
	if s.Len() != 3*slabChunk-3 {
		t.Errorf("Len %d after three went back", s.Len())
	}
	for _, want := range []uint32{300, 700, 5} {
		i, v := s.Get()
		if i != want || v != addr[want] || v[0] != int(want) {
			t.Errorf("Get gives index %d at %p with %v, want %d at %p as it was left: last in, first out", i, v, *v, want, addr[want])
		}
	}
	if i, _ := s.Get(); i != 3*slabChunk {
		t.Errorf("with none free Get gives %d, want a new one", i)
	}
}

func TestSlabAllocatesNothing(t *testing.T) {
	var s Slab[int]
	for range 100 {
		s.Get()
	}
	if n := testing.AllocsPerRun(1000, func() {
		a, _ := s.Get()
		b, _ := s.Get()
		s.Put(a)
		c, _ := s.Get()
		s.Put(c)
		s.Put(b)
	}); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
}
