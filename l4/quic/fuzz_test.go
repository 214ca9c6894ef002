package quic

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strings"
	"testing"
)

// FuzzHeader holds that a header is what the datagram begins with, whatever follows in memory.
func FuzzHeader(f *testing.F) {
	f.Add(vector(f, "rfc9001-a2")[:40])
	f.Add(vector(f, "rfc9369-a2")[:40])
	f.Add([]byte{0x40, 0x07, 0xc4, 0x60, 0x5e, 0x45, 0x04, 0xcc, 0x4f, 1, 2, 3})
	f.Add([]byte{0x80, 0, 0, 0, 0, 1, 0xaa, 1, 0xbb, 0, 0, 0, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		before := slices.Clone(b)
		h, ok := ParseHeader(b)
		again, okAgain := ParseHeader(append(slices.Clone(b), 0xff, 0, 1)[:len(b)])
		if ok != okAgain || h.Long != again.Long || h.Version != again.Version || !bytes.Equal(h.DCID, again.DCID) || !bytes.Equal(h.SCID, again.SCID) {
			t.Fatalf("two answers: %v %+v, %v %+v", ok, h, okAgain, again)
		}
		if !ok {
			return
		}
		front := append([]byte{b[0]}, h.DCID...)
		if h.Long {
			front = binary.BigEndian.AppendUint32([]byte{b[0]}, h.Version)
			front = vec(vec(front, 1, h.DCID), 1, h.SCID)
		}
		if !bytes.HasPrefix(b, front) || !h.Long && len(h.DCID) != min(len(b)-1, maxCID) {
			t.Fatalf("%x doesn't begin with %+v", b, h)
		}
		if h.Initial(b) && (h.Version != Version1 && h.Version != Version2 || len(h.DCID) > maxCID) {
			t.Fatalf("an Initial packet: %+v", h)
		}
		if h.Long {
			if p, ends := parsePacket(&h, b); ends && (p.number < len(front) || p.size < p.number || p.size > len(b)) {
				t.Fatalf("%+v of %d bytes, after a header of %d", p, len(b), len(front))
			}
		}
		for n := range maxCID + 2 {
			id, routable := ServerID(h.DCID, n)
			if routable != (n > 0 && n < len(h.DCID) && h.DCID[0] < 0xe0) || routable && !bytes.Equal(id, h.DCID[1:1+n]) {
				t.Fatalf("server ID of %d bytes in %x: %x %v", n, h.DCID, id, routable)
			}
		}
		if !bytes.Equal(b, before) {
			t.Fatal("the datagram changed")
		}
	})
}

// FuzzHello gives a Hello some datagrams, each of which stands after its length. What is sealed is the payload of a packet to be, so that
// the fuzzer gets behind the encryption.
func FuzzHello(f *testing.F) {
	datagrams := func(all ...[]byte) (b []byte) {
		for _, d := range all {
			b = vec(b, 2, d)
		}
		return b
	}
	message := wrap(1, helloBody(serverName(0, "a.example"), alpn("h3")))
	ack := []byte{2, 9, 0, 1, 0, 1, 1}
	f.Add(datagrams(vector(f, "rfc9001-a2")), false, false)
	f.Add(datagrams(vector(f, "rfc9369-a2"), []byte{0x40, 1, 2}), false, false)
	f.Add(datagrams(newClient(Version1).opaque(zeroRTT, 30), newClient(Version1).initial(crypto(message, 0, 50))), false, false)
	f.Add(datagrams(crypto(message, 0, len(message))), true, false)
	f.Add(datagrams(crypto(message, 40, len(message)), slices.Concat(ack, crypto(message, 0, 60))), true, true)
	f.Fuzz(func(t *testing.T, data []byte, sealed, second bool) {
		version := Version1
		if second {
			version = Version2
		}
		run := func(h *Hello) (all []Status) {
			c := newClient(version)
			r := reader{b: data}
			for range 100 {
				if len(r.b) == 0 {
					break
				}
				datagram := r.vector(2)
				if sealed {
					datagram = c.initial(datagram)
				}
				status := add(t, h, datagram)
				if (status == Done) != h.done || status != Done && (h.SNI() != "" || h.ALPN() != nil) {
					t.Fatalf("%v with %q %q", status, h.SNI(), h.ALPN())
				}
				if sealed && status == NotQUIC {
					t.Fatal("a packet that opens isn't QUIC")
				}
				all = append(all, status)
				bounded(t, h)
			}
			return all
		}
		var h Hello
		first := run(&h)
		sni, alpn := h.SNI(), h.ALPN()
		h.Reset()
		if again := run(&h); !slices.Equal(first, again) || h.SNI() != sni || !slices.Equal(h.ALPN(), alpn) {
			t.Fatalf("two answers: %v %q %q, %v %q %q", first, sni, alpn, again, h.SNI(), h.ALPN())
		}
		if strings.ToLower(sni) != sni || strings.HasSuffix(sni, ".") || len(sni) > maxName || len(alpn) > maxALPN {
			t.Fatalf("%q %q", sni, alpn)
		}
	})
}

// bounded fails unless h keeps as little as it promises, in order.
func bounded(t *testing.T, h *Hello) {
	t.Helper()
	if cap(h.crypto.data) > maxCrypto || cap(h.scratch) > 128<<10 || h.crypto.n > maxSpans {
		t.Fatalf("%d bytes of data, %d of scratch, %d spans", cap(h.crypto.data), cap(h.scratch), h.crypto.n)
	}
	end := -1
	for _, s := range h.crypto.spans[:h.crypto.n] {
		if int(s.start) <= end || s.end <= s.start || int(s.end) > len(h.crypto.data) {
			t.Fatalf("spans %v of %d bytes", h.crypto.spans[:h.crypto.n], len(h.crypto.data))
		}
		end = int(s.end)
	}
}

// FuzzClientHello holds that what Go's TLS server understands is understood here, in the same way.
func FuzzClientHello(f *testing.F) {
	f.Add(small(f)[4:])
	f.Add(helloBody(serverName(0, "A.Example"), alpn("h3", "h3-29")))
	f.Add(helloBody(serverName(7, "x"), extension(43, []byte{2, 3, 4})))
	f.Fuzz(func(t *testing.T, body []byte) {
		if len(body) > maxCrypto-4 {
			return
		}
		got, ok := parseClientHello(body)
		sni, alpn, served := asServer(body)
		if !served {
			return
		}
		name := ""
		if sni != "" {
			name = hostName([]byte(sni))
		}
		if !ok || got.sni != name || !slices.Equal(got.alpn, alpn[:min(len(alpn), maxALPN)]) {
			t.Fatalf("got %v %q, a server reads %q %q", ok, got, sni, alpn)
		}
	})
}
