package flow

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// state is a T of a likely size.
type state [8]uint64

// crowd inserts n flows of as many clients in a few networks, and returns their keys.
func crowd(t *Table[state], n int, r *Rules) []Key {
	keys := make([]Key, n)
	for i := range keys {
		keys[i] = client(i)
		t.Insert(&keys[i], r, 0)
	}
	return keys
}

// client is the key of the ith client: an IPv4 address and port as a proxy would see them.
func client(i int) Key {
	return Key{
		Client: [16]byte{10: 0xff, 11: 0xff, 12: 10, 13: byte(i >> 14), 14: byte(i >> 6), 15: 7},
		Port:   uint16(1024 + i&63),
	}
}

// BenchmarkArrive finds flows in random order, which is what a cache likes least.
func BenchmarkArrive(b *testing.B) {
	for _, n := range []int{64, 10_000, 60_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			t := New[state](1, 0)
			keys := crowd(t, n, &Rules{Idle: time.Minute})
			order := rand.New(rand.NewPCG(1, 2))
			order.Shuffle(n, func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				if _, a := t.Arrive(&keys[i], 1, 1); a != Forward {
					b.Fatal(a)
				}
				if i++; i == n {
					i = 0
				}
			}
		})
	}
}

// BenchmarkArriveOpen looks for flows that aren't there.
func BenchmarkArriveOpen(b *testing.B) {
	t := New[state](1, 0)
	crowd(t, 10_000, &Rules{Idle: time.Minute})
	k := client(0)
	b.ReportAllocs()
	for b.Loop() {
		k.Tag++
		if _, a := t.Arrive(&k, 1, 1); a != Open {
			b.Fatal(a)
		}
	}
}

// BenchmarkChurn is the life of a flow of one question and one answer, among 10,000 that stay.
func BenchmarkChurn(b *testing.B) {
	t := New[state](1, 0)
	r := &Rules{Idle: time.Minute, Responses: 1}
	crowd(t, 10_000, r)
	k := client(0)
	b.ReportAllocs()
	for b.Loop() {
		k.Tag++
		if _, a := t.Arrive(&k, 1, 1); a != Open {
			b.Fatal(a)
		}
		id, _ := t.Insert(&k, r, 1)
		t.Owe(id, 1, 1)
		if a := t.Answer(id, 1, 1); a != End {
			b.Fatal(a)
		}
		t.Remove(id)
	}
}
