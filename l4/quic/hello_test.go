package quic

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// add is Add on bytes that must stay as they are, in front of others that mustn't matter.
func add(t testing.TB, h *Hello, datagram []byte) Status {
	t.Helper()
	b := append(slices.Clone(datagram), 0xc3, 0x5a, 0xff)
	status := h.Add(b[:len(datagram)])
	if !bytes.Equal(b[:len(datagram)], datagram) || !bytes.Equal(b[len(datagram):], []byte{0xc3, 0x5a, 0xff}) {
		t.Fatal("Add changed the datagram")
	}
	return status
}

func want(t testing.TB, h *Hello, datagram []byte, status Status) {
	t.Helper()
	if got := add(t, h, datagram); got != status {
		t.Fatalf("got %v, want %v", got, status)
	}
}

func isHello(t testing.TB, h *Hello, sni string, alpn ...string) {
	t.Helper()
	if h.SNI() != sni || !slices.Equal(h.ALPN(), alpn) {
		t.Fatalf("got %q %q, want %q %q", h.SNI(), h.ALPN(), sni, alpn)
	}
}

// both runs a test for both versions.
func both(t *testing.T, f func(t *testing.T, c *client)) {
	for name, version := range map[string]uint32{"v1": Version1, "v2": Version2} {
		t.Run(name, func(t *testing.T) { f(t, newClient(version)) })
	}
}

func TestVectors(t *testing.T) {
	var h Hello
	for _, name := range []string{"rfc9001-a2", "rfc9369-a2"} {
		want(t, &h, vector(t, name), Done)
		isHello(t, &h, "example.com", "alpn")
		want(t, &h, []byte("whatever"), Done)
		h.Reset()
		isHello(t, &h, "")
	}
}

func TestOneDatagram(t *testing.T) {
	both(t, func(t *testing.T, c *client) {
		var h Hello
		message := small(t)
		want(t, &h, c.initial(pad(crypto(message, 0, len(message)))), Done)
		isHello(t, &h, "www.example.org", "h3", "hq-interop")
	})
}

// A post-quantum key share makes a ClientHello of two datagrams, which come in either order and more than once.
func TestTwoDatagrams(t *testing.T) {
	both(t, func(t *testing.T, c *client) {
		message := large(t)
		one, two := c.initial(pad(crypto(message, 0, 1100))), c.initial(pad(crypto(message, 1100, len(message))))
		for _, order := range [][][]byte{{one, two}, {two, one}, {one, one, two}, {two, two, one}} {
			var h Hello
			for _, datagram := range order[:len(order)-1] {
				want(t, &h, datagram, More)
				isHello(t, &h, "")
			}
			want(t, &h, order[len(order)-1], Done)
			isHello(t, &h, "pq.example.org", "h3")
		}
	})
}

// TestPieces cuts ClientHellos as no client does: pieces that overlap, in any order, over several packets and datagrams, between other
// frames. Add must say Done with the packet that has the last missing byte, not before and not after.
func TestPieces(t *testing.T) {
	messages := [][]byte{small(t), large(t)}
	var h Hello
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		message := messages[r.IntN(2)]
		c := newClient([]uint32{Version1, Version2}[r.IntN(2)])
		c.number, c.numberBytes = int64(r.IntN(100)), 1+r.IntN(4)
		c.token = make([]byte, r.IntN(3)*40)

		var pieces [][2]int
		for at := 0; at < len(message); {
			end := min(len(message), at+1+r.IntN(200))
			pieces = append(pieces, [2]int{max(0, at-r.IntN(30)), min(len(message), end+r.IntN(30))})
			at = end
		}
		r.Shuffle(len(pieces), func(i, j int) { pieces[i], pieces[j] = pieces[j], pieces[i] })

		h.Reset()
		come, missing, done := make([]bool, len(message)), len(message), false
		for len(pieces) > 0 {
			var datagram []byte
			for range 1 + r.IntN(3) {
				var payload []byte
				for range 1 + r.IntN(4) {
					payload = append(payload, noise(r)...)
					if len(pieces) == 0 {
						break
					}
					from, to := pieces[0][0], pieces[0][1]
					pieces = pieces[1:]
					payload = append(payload, crypto(message, from, to)...)
					for i := from; i < to; i++ {
						if !come[i] {
							come[i] = true
							missing--
						}
					}
				}
				datagram = append(datagram, c.initial(payload)...)
			}
			done = missing == 0
			if got := add(t, &h, datagram); got != map[bool]Status{false: More, true: Done}[done] {
				t.Fatalf("seed %d: %v with %d bytes missing", seed, got, missing)
			}
		}
		if !done || h.SNI() != map[int]string{len(messages[0]): "www.example.org", len(messages[1]): "pq.example.org"}[len(message)] {
			t.Fatalf("seed %d: %q", seed, h.SNI())
		}
	}
}

// noise is frames that don't matter.
func noise(r *rand.Rand) []byte {
	switch r.IntN(8) {
	case 0:
		return make([]byte, r.IntN(50)) // PADDING
	case 1:
		return []byte{1, 1} // PING
	case 2:
		return varint(varint(varint(varint([]byte{2}, 1<<r.IntN(62)), 1<<r.IntN(62)), 0), 1<<r.IntN(62)) // ACK
	case 3:
		return []byte{3, 9, 1, 0, 1, 7, 0x40, 0x50, 0x80, 0, 0, 9} // ACK with ECN counts
	case 4:
		return []byte{2, 0x41, 0, 5, 2, 1, 0, 1, 2, 3} // ACK with two ranges
	case 5:
		return []byte{0x1c, 1, 6, 3, 'b', 'y', 'e'} // CONNECTION_CLOSE
	case 6:
		return []byte{6, 5, 0} // CRYPTO without data
	}
	return nil
}

func TestCoalesced(t *testing.T) {
	both(t, func(t *testing.T, c *client) {
		message := small(t)
		whole := func() []byte { return c.initial(crypto(message, 0, len(message))) }
		short := append([]byte{0x41}, make([]byte, 40)...)
		for name, datagram := range map[string][]byte{
			"0-RTT after":              slices.Concat(whole(), c.opaque(zeroRTT, 300)),
			"0-RTT before":             slices.Concat(c.opaque(zeroRTT, 300), whole()),
			"Handshake before":         slices.Concat(c.opaque(handshake, 300), whole()),
			"short after":              slices.Concat(whole(), short),
			"zeros after":              slices.Concat(whole(), make([]byte, 500)),
			"two":                      slices.Concat(c.initial(crypto(message, 100, len(message))), c.initial(crypto(message, 0, 100))),
			"one that doesn't open":    slices.Concat(c.opaque(initial, 100), whole()),
			"another version's before": slices.Concat(newClient(Version1+Version2-c.version).opaque(handshake, 50), whole()),
		} {
			var h Hello
			expect := Done
			if name == "another version's before" {
				expect = Failed
			}
			if got := add(t, &h, datagram); got != expect {
				t.Errorf("%s: %v", name, got)
			}
		}

		// What stands behind a packet without a length can't be found.
		var h Hello
		want(t, &h, slices.Concat(short, whole()), Failed)
		want(t, &h, slices.Concat(c.opaque(retry, 20), whole()), Failed)
		// Coalesced packets for another connection are none of the server's business.
		other := newClient(c.version)
		other.dcid = []byte("another!")
		want(t, &h, slices.Concat(other.opaque(handshake, 20), whole()), Failed)

		// So many packets are no client's.
		c.numberBytes = 1
		many := bytes.Repeat(c.initial([]byte{1, 1, 1}), maxPackets)
		want(t, &h, slices.Concat(many, whole()), More)
		want(t, &h, slices.Concat(many[:len(many)-len(many)/maxPackets], whole()), Done)
	})
}

// The client takes the server's connection ID for its own once it has seen one; the keys stay.
func TestKeysStay(t *testing.T) {
	both(t, func(t *testing.T, c *client) {
		var h Hello
		message := small(t)
		want(t, &h, c.initial(crypto(message, 0, 90)), More)
		c.dcid = []byte{1, 2, 3}
		want(t, &h, c.initial(crypto(message, 90, len(message))), Done)
		isHello(t, &h, "www.example.org", "h3", "hq-interop")

		// Without the first one, nothing can be read.
		h.Reset()
		want(t, &h, c.initial(crypto(message, 0, len(message))), Failed)
	})
}

// Packets of others, or with other keys, end nothing that has begun, and leave nothing behind where it hasn't.
func TestOthers(t *testing.T) {
	both(t, func(t *testing.T, c *client) {
		message := small(t)
		other := newClient(c.version)
		other.origin = []byte("another!")
		wrong := other.initial(crypto(large(t), 0, 50)) // the DCID says other keys
		other.dcid = other.origin
		stranger := other.initial(crypto(large(t), 0, 50))
		elder := newClient(Version1 + Version2 - c.version)
		elder.keysOf = c.version
		mixed := elder.initial(crypto(large(t), 0, 50)) // a server doesn't open that

		var h Hello
		want(t, &h, wrong, Failed)
		want(t, &h, []byte{0x80}, NotQUIC)
		want(t, &h, c.initial(crypto(message, 0, 50)), More)
		for _, datagram := range [][]byte{wrong, stranger, mixed, {}, {0x80}, {0x40, 1, 2}, c.opaque(handshake, 50), c.opaque(initial, 0)} {
			want(t, &h, datagram, More)
		}
		want(t, &h, c.initial(crypto(message, 50, len(message))), Done)
		isHello(t, &h, "www.example.org", "h3", "hq-interop")
	})
}

func TestFirstDatagram(t *testing.T) {
	both(t, func(t *testing.T, c *client) {
		negotiation := append(newClient(0).long(0x80), 0, 0, 0, 1)
		for name, x := range map[string]struct {
			datagram []byte
			status   Status
		}{
			"nothing":             {nil, NotQUIC},
			"long header cut":     {c.long(0xc0)[:9], NotQUIC},
			"DNS over DTLS":       {[]byte{0x16, 0xfe, 0xfd, 0, 0, 0}, Failed}, // looks like a short header
			"short header":        {append([]byte{0x40}, make([]byte, 30)...), Failed},
			"Version Negotiation": {negotiation, Failed},
			"another version":     {newClient(0xff00001d).opaque(initial, 1200), Failed},
			"Retry":               {c.opaque(retry, 30), Failed},
			"Handshake":           {c.opaque(handshake, 1200), Failed},
			"0-RTT":               {c.opaque(zeroRTT, 1200), More},
			"0-RTT cut":           {c.opaque(zeroRTT, 1200)[:1000], Failed},
			"too short to sample": {c.opaque(initial, 0), Failed},
		} {
			var h Hello
			if got := add(t, &h, x.datagram); got != x.status {
				t.Errorf("%s: %v, want %v", name, got, x.status)
			}
		}

		// 0-RTT packets may overtake.
		var h Hello
		message := small(t)
		want(t, &h, c.opaque(zeroRTT, 1200), More)
		want(t, &h, c.initial(crypto(message, 0, len(message))), Done)
	})
}

// RFC 9287: a client that comes back with a token may clear the fixed bit.
func TestGreased(t *testing.T) {
	both(t, func(t *testing.T, c *client) {
		var h Hello
		message := small(t)
		c.noFixedBit = true
		want(t, &h, c.initial(crypto(message, 0, len(message))), NotQUIC)
		c.token = []byte("token")
		want(t, &h, c.initial(crypto(message, 0, len(message))), Done)
	})
}

func TestTruncatedAndMutated(t *testing.T) {
	both(t, func(t *testing.T, c *client) {
		message := small(t)
		c.token = []byte("token")
		datagram := c.initial(crypto(message, 0, len(message)))
		var h Hello
		for cut := range datagram {
			h.Reset()
			if got := add(t, &h, datagram[:cut]); got != NotQUIC && got != Failed {
				t.Fatalf("cut to %d: %v", cut, got)
			}
		}
		for at := range datagram {
			for bit := range 8 {
				damaged := slices.Clone(datagram)
				damaged[at] ^= 1 << bit
				h.Reset()
				if got := add(t, &h, damaged); got == Done {
					t.Fatalf("bit %d of byte %d changed: %v", bit, at, got)
				}
				want(t, &h, datagram, Done)
			}
		}
	})
}

// A long conversation counts past what a truncated number holds.
func TestNumbers(t *testing.T) {
	var h Hello
	message := small(t)
	c := newClient(Version1)
	c.numberBytes = 1
	for i := range 300 {
		want(t, &h, c.initial(pad(crypto(message, i%50, 50))), More)
	}
	want(t, &h, c.initial(pad(crypto(message, 0, len(message)))), Done)
}

// wrap is a handshake message of a type, with the length that its body has.
func wrap(kind byte, body []byte) []byte {
	return append([]byte{kind, byte(len(body) >> 16), byte(len(body) >> 8), byte(len(body))}, body...)
}

// padded is a ClientHello with an extension of n bytes.
func padded(n int) []byte {
	body := append(make([]byte, 2+32+1), 0, 2, 0x13, 0x01, 1, 0)
	body = binary.BigEndian.AppendUint16(body, uint16(4+n))
	body = binary.BigEndian.AppendUint16(body, 21)
	body = binary.BigEndian.AppendUint16(body, uint16(n))
	return wrap(1, append(body, make([]byte, n)...))
}

func TestBounds(t *testing.T) {
	largest := padded(maxCrypto - len(padded(0)))
	tooLarge := padded(maxCrypto - len(padded(0)) + 1)
	small := small(t)
	for name, x := range map[string]struct {
		payloads [][]byte
		status   Status
	}{
		"as large as allowed":        {[][]byte{crypto(largest, 0, 9000), crypto(largest, 9000, maxCrypto)}, Done},
		"one more":                   {[][]byte{crypto(tooLarge, 0, 20)}, Failed},
		"one more, from the end":     {[][]byte{crypto(tooLarge, maxCrypto, maxCrypto+1)}, Failed},
		"beyond":                     {[][]byte{varint([]byte{6}, 1<<62-1), {0}}, Failed},
		"offset and length overflow": {[][]byte{append(varint([]byte{6}, 1<<62-1), 1, 9)}, Failed},
		"another message":            {[][]byte{crypto(wrap(2, make([]byte, 50)), 0, 1)}, Failed},
		"unlike before":              {[][]byte{crypto(small, 10, 60), crypto(large(t), 40, 90)}, Failed},
		"like before":                {[][]byte{crypto(small, 10, 60), crypto(small, 40, 90)}, More},
		"malformed":                  {[][]byte{crypto(wrap(1, make([]byte, 50)), 0, 54)}, Failed},
		"more than the message":      {[][]byte{crypto(append(slices.Clone(small), 1, 2), 0, len(small)+2)}, Done},
		"a frame that isn't allowed": {[][]byte{append(crypto(small, 0, 10), 0x08, 1, 2)}, Failed},
		"application's close":        {[][]byte{{0x1d, 0, 0}}, Failed},
		"CRYPTO cut":                 {[][]byte{crypto(small, 0, 50)[:40]}, Failed},
		"ACK cut":                    {[][]byte{append(make([]byte, 9), 2, 9, 0, 3, 0, 1, 1)}, Failed},
		"ACK of 2^62 ranges":         {[][]byte{append(varint([]byte{2, 9, 0}, 1<<62-1), 0, 1, 1)}, Failed},
		"varint cut":                 {[][]byte{append(make([]byte, 9), 6, 0x80)}, Failed},
	} {
		t.Run(name, func(t *testing.T) {
			var h Hello
			c := newClient(Version1)
			for i, payload := range x.payloads {
				if i < len(x.payloads)-1 && name != "beyond" {
					want(t, &h, c.initial(payload), More)
				} else {
					want(t, &h, c.initial(payload), x.status)
				}
			}
			if x.status == Failed {
				isHello(t, &h, "")
				want(t, &h, c.initial(crypto(small, 0, len(small))), Failed) // for good
				h.Reset()
				want(t, &h, c.initial(crypto(small, 0, len(small))), Done)
			}
		})
	}
}

func TestSpans(t *testing.T) {
	var h Hello
	c := newClient(Version1)
	message := padded(1000)
	for i := range maxSpans {
		want(t, &h, c.initial(crypto(message, 10+2*i, 11+2*i)), More)
	}
	// What touches a piece doesn't make one more.
	want(t, &h, c.initial(crypto(message, 11, 12)), More)
	want(t, &h, c.initial(crypto(message, 500, 501)), More)
	want(t, &h, c.initial(crypto(message, 502, 503)), Failed)

	h.Reset()
	for i := range maxSpans {
		want(t, &h, c.initial(crypto(message, 10+2*i, 11+2*i)), More)
	}
	want(t, &h, c.initial(crypto(message, 0, len(message))), Done) // fills all gaps
}

func TestGrow(t *testing.T) {
	var h Hello
	c := newClient(Version1)
	message := wrap(1, helloBody(serverName(0, "a.example"), extension(21, make([]byte, 9000))))
	for at := 0; at+1000 < len(message); at += 1000 {
		want(t, &h, c.initial(crypto(message, at, at+1000)), More)
	}
	want(t, &h, c.initial(crypto(message, 9000, len(message))), Done)
	isHello(t, &h, "a.example")
}

func TestResetKeepsMemory(t *testing.T) {
	var h Hello
	c := newClient(Version1)
	message := large(t)
	datagrams := [][]byte{c.initial(pad(crypto(message, 0, 1100))), c.initial(pad(crypto(message, 1100, len(message))))}
	run := func() {
		h.Reset()
		for _, d := range datagrams {
			h.Add(d)
		}
	}
	run()
	data, scratch := &h.crypto.data[0], &h.scratch[0]
	run()
	if h.SNI() != "pq.example.org" || data != &h.crypto.data[0] || scratch != &h.scratch[0] {
		t.Error("another buffer after Reset")
	}
}

func TestStatusString(t *testing.T) {
	if got := fmt.Sprint(More, Done, NotQUIC, Failed); got != "more done not QUIC failed" {
		t.Error(got)
	}
}

func BenchmarkHello(b *testing.B) {
	message := realHello(b, &tls.Config{ServerName: "www.example.org", NextProtos: []string{"h3"}})
	c := newClient(Version1)
	for _, x := range []struct {
		name      string
		datagrams [][]byte
		status    Status
	}{
		{"one", [][]byte{vector(b, "rfc9001-a2")}, Done},
		{"two", [][]byte{c.initial(pad(crypto(message, 0, 1100))), c.initial(pad(crypto(message, 1100, len(message))))}, Done},
		{"junk", [][]byte{c.opaque(initial, 1100)}, Failed}, // what a flood costs
	} {
		b.Run(x.name, func(b *testing.B) {
			var h Hello
			b.ReportAllocs()
			for b.Loop() {
				h.Reset()
				var status Status
				for _, d := range x.datagrams {
					status = h.Add(d)
				}
				if status != x.status {
					b.Fatal(status)
				}
			}
		})
	}
}
