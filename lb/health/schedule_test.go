package health

import (
	"math"
	"testing"
	"time"
)

const (
	ms  = int64(time.Millisecond)
	sec = int64(time.Second)
)

func TestSchedule(t *testing.T) {
	type op struct {
		do string // put, remove, pop, next
		id uint32
		at int64 // of put and of next's answer; now of pop
		ok bool
	}
	tests := []struct {
		name string
		ops  []op
	}{
		{"empty", []op{{do: "next"}, {do: "pop", at: math.MaxInt64}, {do: "remove", id: 0}, {do: "remove", id: math.MaxUint32}}},
		{"due to the nanosecond", []op{{do: "put", id: 3, at: 10}, {do: "next", at: 10, ok: true}, {do: "pop", at: 9}, {do: "pop", id: 3, at: 10, ok: true}, {do: "next"}}},
		{"late", []op{{do: "put", id: 3, at: 10}, {do: "pop", id: 3, at: 1000, ok: true}}},
		{"before zero", []op{{do: "put", id: 3, at: -10}, {do: "pop", at: -11}, {do: "pop", id: 3, at: -10, ok: true}}},
		{"in order", []op{
			{do: "put", id: 0, at: 30}, {do: "put", id: 1, at: 10}, {do: "put", id: 2, at: 20},
			{do: "pop", id: 1, at: 99, ok: true}, {do: "pop", id: 2, at: 99, ok: true}, {do: "pop", id: 0, at: 99, ok: true}, {do: "pop", at: 99}}},
		{"the smallest of equals", []op{
			{do: "put", id: 2, at: 5}, {do: "put", id: 0, at: 5}, {do: "put", id: 1, at: 5},
			{do: "pop", id: 0, at: 5, ok: true}, {do: "pop", id: 1, at: 5, ok: true}, {do: "pop", id: 2, at: 5, ok: true}}},
		{"put off", []op{
			{do: "put", id: 0, at: 10}, {do: "put", id: 1, at: 20}, {do: "put", id: 0, at: 30},
			{do: "pop", id: 1, at: 99, ok: true}, {do: "next", at: 30, ok: true}, {do: "pop", id: 0, at: 99, ok: true}, {do: "pop", at: 99}}},
		{"brought forward", []op{
			{do: "put", id: 0, at: 10}, {do: "put", id: 1, at: 20}, {do: "put", id: 1, at: 5},
			{do: "next", at: 5, ok: true}, {do: "pop", id: 1, at: 5, ok: true}, {do: "pop", at: 5}}},
		{"removed", []op{
			{do: "put", id: 0, at: 10}, {do: "put", id: 1, at: 20}, {do: "remove", id: 0}, {do: "remove", id: 0},
			{do: "pop", id: 1, at: 99, ok: true}, {do: "pop", at: 99}}},
		{"put again", []op{
			{do: "put", id: 0, at: 10}, {do: "remove", id: 0}, {do: "put", id: 0, at: 7}, {do: "pop", id: 0, at: 7, ok: true}, {do: "pop", at: 99}}},
		// The last of the heap goes to the place of the removed one, from where it has to go up: 9 is in another branch.
		{"filled from another branch", []op{
			{do: "put", id: 0, at: 1}, {do: "put", id: 1, at: 10}, {do: "put", id: 2, at: 2}, {do: "put", id: 3, at: 11},
			{do: "put", id: 4, at: 12}, {do: "put", id: 5, at: 3}, {do: "put", id: 6, at: 9}, {do: "remove", id: 3},
			{do: "remove", id: 0}, {do: "remove", id: 2}, {do: "remove", id: 5},
			{do: "pop", id: 6, at: 99, ok: true}, {do: "pop", id: 1, at: 99, ok: true}, {do: "pop", id: 4, at: 99, ok: true}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var s Schedule
			for i, op := range test.ops {
				switch op.do {
				case "put":
					s.Put(op.id, op.at)
				case "remove":
					s.Remove(op.id)
				case "next":
					if at, ok := s.Next(); at != op.at || ok != op.ok {
						t.Errorf("step %d: Next says %d, %v, want %d, %v", i, at, ok, op.at, op.ok)
					}
				case "pop":
					if id, ok := s.Pop(op.at); id != op.id || ok != op.ok {
						t.Errorf("step %d: Pop says %d, %v, want %d, %v", i, id, ok, op.id, op.ok)
					}
				}
				checkHeap(t, &s)
			}
		})
	}
}

// checkHeap holds a Schedule against its definition: none before its parent, and all where they are said to be.
func checkHeap(t *testing.T, s *Schedule) {
	t.Helper()
	for i, d := range s.heap {
		if i > 0 && d.before(s.heap[(i-1)/2]) {
			t.Fatalf("ID %d, due at %d, is behind ID %d, due at %d", d.id, d.at, s.heap[(i-1)/2].id, s.heap[(i-1)/2].at)
		}
		if int(s.where[d.id]) != i+1 {
			t.Fatalf("ID %d is at %d, and said to be at %d", d.id, i, int(s.where[d.id])-1)
		}
	}
	there := 0
	for _, place := range s.where {
		if place > 0 {
			there++
		}
	}
	if there != len(s.heap) || s.Len() != there {
		t.Fatalf("%d are said to be there, Len is %d, the heap has %d", there, s.Len(), len(s.heap))
	}
}
