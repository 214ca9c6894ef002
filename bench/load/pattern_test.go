package load

import (
	"bytes"
	"testing"
)

func TestPatternIsPeriodic(t *testing.T) {
	p := newPattern()
	want := append([]byte(nil), p[:period]...)
	for len(want) < len(p) {
		want = append(want, p[:period]...)
	}
	if !bytes.Equal(p, want[:len(p)]) {
		t.Fatal("a chunk isn't a piece of the stream")
	}
}

func TestPatternMatches(t *testing.T) {
	p := newPattern()
	for _, c := range []struct {
		name        string
		offset, len uint64
		spoil       int // index to alter; -1 none
		shift       uint64
		want        bool
	}{
		{"start", 0, 1000, -1, 0, true},
		{"nothing", 5, 0, -1, 0, true},
		{"across comparisons", 1 << 40, readChunk, -1, 0, true},
		{"first byte", 7, readChunk, 0, 0, false},
		{"last byte", 7, readChunk, readChunk - 1, 0, false},
		{"within", 7, readChunk, compare, 0, false},
		{"a lost page", 0, 4096, -1, 4096, false},
		{"a lost pipe", 99, 4096, -1, 64 << 10, false},
		{"a lost mebibyte", 99, 4096, -1, 1 << 20, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := append([]byte(nil), p.chunk(c.offset+c.shift, c.len)...)
			if c.spoil >= 0 {
				b[c.spoil] ^= 1
			}
			if got := p.matches(c.offset, b); got != c.want {
				t.Fatalf("matches %v, want %v", got, c.want)
			}
		})
	}
}
