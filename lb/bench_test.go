package lb

import (
	"fmt"
	"testing"
)

var benchSizes = []int{10, 1000, 10_000}

// BenchmarkPick is a Pick and a Release on one loop, with each member under a
// load of one to three.
func BenchmarkPick(b *testing.B) {
	for _, o := range []Options{
		{Policy: RoundRobin}, {Policy: LeastConnections}, {Policy: Random}, {Policy: P2C},
		{Policy: RingHash}, {Policy: Maglev}, {Policy: First},
		{Policy: RingHash, HashBalance: 1.25}, {Policy: Maglev, HashBalance: 1.25},
	} {
		for _, n := range benchSizes {
			b.Run(fmt.Sprintf("%v/balance=%v/%d", o.Policy, o.HashBalance, n), func(b *testing.B) {
				members := cluster(equal(n)...)
				for i, m := range members {
					m.Endpoint.active.Store(int64(1 + i%3))
				}
				s := mustSet(b, o, members)
				r := &Request{Rand: NewRand(1)}
				b.ReportAllocs()
				for b.Loop() {
					r.Hash += golden
					i, _ := s.Pick(r)
					s.Member(i).Endpoint.Release()
				}
			})
		}
	}
}

func BenchmarkNewSet(b *testing.B) {
	for _, p := range allPolicies {
		for _, n := range benchSizes {
			b.Run(fmt.Sprintf("%v/%d", p, n), func(b *testing.B) {
				members := cluster(randomWeights(n, 10, NewRand(1))...)
				b.ReportAllocs()
				for b.Loop() {
					mustSet(b, Options{Policy: p}, members)
				}
			})
		}
	}
}

func BenchmarkHashAddrPort(b *testing.B) {
	a := addr(1)
	for b.Loop() {
		HashAddrPort(a)
	}
}
