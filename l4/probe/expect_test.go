package probe

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/iotest"
)

// crumbs reads a byte at a time, and never ends.
type crumbs struct{ reads int }

func (c *crumbs) Read(p []byte) (int, error) {
	c.reads++
	p[0] = 'a'
	return 1, nil
}

// An endpoint that answers in crumbs for ever costs reads, but not a look at everything for each.
func TestAwaitCrumbs(t *testing.T) {
	e, err := parseExpect("~b")
	if err != nil {
		t.Fatal(err)
	}
	in := &crumbs{}
	got, v, err := e.await(in)
	if len(got) != mostRead || v != failed || err != nil || in.reads != mostRead {
		t.Errorf("%d bytes in %d reads, verdict %d, %v", len(got), in.reads, v, err)
	}
}

// A match that came while nobody looked is seen at the end.
func TestAwaitLooksAtTheEnd(t *testing.T) {
	e, err := parseExpect("~b")
	if err != nil {
		t.Fatal(err)
	}
	in := iotest.OneByteReader(io.MultiReader(bytes.NewReader(bytes.Repeat([]byte("a"), 10*freelyMatched)), bytes.NewReader([]byte("b")),
		iotest.ErrReader(io.ErrNoProgress)))
	if got, v, _ := e.await(in); v != met {
		t.Errorf("verdict %d after %d bytes", v, len(got))
	}
}

func TestAwaitError(t *testing.T) {
	e, err := parseExpect("abc")
	if err != nil {
		t.Fatal(err)
	}
	got, v, err := e.await(io.MultiReader(bytes.NewReader([]byte("ab")), iotest.ErrReader(io.ErrNoProgress)))
	if string(got) != "ab" || v != undecided || !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("%q, verdict %d, %v", got, v, err)
	}
}

// However the answer is cut, the verdict is that on all of it; only a regular expression may like a part better than the whole, and
// then it is met.
func FuzzExpect(f *testing.F) {
	f.Add("PONG", []byte("PONG\r\n"), uint8(1))
	f.Add("PONG", []byte("PON"), uint8(2))
	f.Add("\x00\xff", []byte("\x00\xfe"), uint8(1))
	f.Add("~^O+K$", []byte("OOK, not"), uint8(3))
	f.Add("~(?m)^role:(primary|replica)\r?$", []byte("# x\nrole:replica\r\n"), uint8(7))
	f.Add("~", []byte(""), uint8(0))
	f.Fuzz(func(t *testing.T, expect string, answer []byte, step uint8) {
		if len(expect) > 200 || len(answer) > 4096 {
			return // large repetitions are slow, and nothing else
		}
		e, err := parseExpect(expect)
		if err != nil || e == nil {
			return
		}
		whole := e.judge(answer, true)
		if whole == undecided {
			t.Fatal("undecided at the end")
		}
		got, v, err := e.await(&steps{answer, int(step) + 1})
		if err != nil && !errors.Is(err, io.EOF) {
			t.Fatal(err)
		}
		if !bytes.HasPrefix(answer, got) {
			t.Fatalf("read %q of %q", got, answer)
		}
		if v == undecided || whole == met && v != met || e.match == nil && v != whole {
			t.Fatalf("%d in steps of %d, %d as a whole", v, step, whole)
		}
		if v == met && e.judge(got, true) != met {
			t.Fatalf("met by %q, which doesn't", got)
		}
		_ = e.String()
	})
}

// steps reads so many bytes at a time.
type steps struct {
	left []byte
	step int
}

func (s *steps) Read(p []byte) (int, error) {
	if len(s.left) == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), s.step)], s.left)
	s.left = s.left[n:]
	return n, nil
}
