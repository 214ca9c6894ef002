package quic

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"
)

func TestParseHeader(t *testing.T) {
	cid20, cid21 := strings.Repeat("ab", 20), strings.Repeat("ab", 21)
	cid255 := strings.Repeat("cd", 255)
	for _, c := range []struct {
		name, in   string
		ok, long   bool
		version    uint32
		dcid, scid string
		initial    bool
	}{
		{name: "empty", in: ""},
		{name: "one byte", in: "40", ok: true},
		{name: "short", in: "40 0102", ok: true, dcid: "0102"},
		{name: "short, greased", in: "00 0102", ok: true, dcid: "0102"},
		{name: "short, long enough", in: "7f" + cid21, ok: true, dcid: cid20},
		{name: "version 1, Initial", in: "c0 00000001 02 aabb 01 cc 00", ok: true, long: true, version: Version1, dcid: "aabb", scid: "cc", initial: true},
		{name: "version 1, 0-RTT", in: "d0 00000001 02 aabb 01 cc 00", ok: true, long: true, version: Version1, dcid: "aabb", scid: "cc"},
		{name: "version 2, Retry", in: "c0 6b3343cf 02 aabb 01 cc 00", ok: true, long: true, version: Version2, dcid: "aabb", scid: "cc"},
		{name: "version 2, Initial", in: "d0 6b3343cf 02 aabb 01 cc 00", ok: true, long: true, version: Version2, dcid: "aabb", scid: "cc", initial: true},
		{name: "no connection IDs", in: "c0 00000001 00 00", ok: true, long: true, version: Version1, initial: true},
		{name: "six bytes", in: "c0 00000001 00"},
		{name: "DCID cut", in: "c0 00000001 04 aabb"},
		{name: "no SCID", in: "c0 00000001 02 aabb"},
		{name: "SCID cut", in: "c0 00000001 02 aabb 03 cccc"},
		{name: "20 bytes", in: "c0 00000001 14" + cid20 + "14" + cid20, ok: true, long: true, version: Version1, dcid: cid20, scid: cid20, initial: true},
		{name: "DCID of 21", in: "c0 00000001 15" + cid21 + "00"},
		{name: "SCID of 21", in: "d0 6b3343cf 00 15" + cid21},
		{name: "255 bytes of another version", in: "80 0a0a0a0a ff" + cid255 + "ff" + cid255, ok: true, long: true, version: 0x0a0a0a0a, dcid: cid255, scid: cid255},
		{name: "Version Negotiation", in: "80 00000000 01 aa 01 bb 00000001", ok: true, long: true, dcid: "aa", scid: "bb"},
		{name: "Initial without fixed bit", in: "80 00000001 02 aabb 01 cc 00"},
		{name: "Initial without fixed bit, cut", in: "80 00000001 02 aabb 01 cc"},
		{name: "version 2, Initial without fixed bit", in: "90 6b3343cf 02 aabb 01 cc 00"},
		{name: "Initial without fixed bit, but a token", in: "80 00000001 02 aabb 01 cc 01 ff", ok: true, long: true, version: Version1, dcid: "aabb", scid: "cc", initial: true},
		{name: "Handshake without fixed bit", in: "a0 00000001 02 aabb 01 cc 00", ok: true, long: true, version: Version1, dcid: "aabb", scid: "cc"},
	} {
		b, err := hex.DecodeString(strings.ReplaceAll(c.in, " ", ""))
		if err != nil {
			t.Fatal(c.name, err)
		}
		h, ok := ParseHeader(b)
		if ok != c.ok || h.Long != c.long || h.Version != c.version || hex.EncodeToString(h.DCID) != c.dcid || hex.EncodeToString(h.SCID) != c.scid {
			t.Errorf("%s: got %v %+v", c.name, ok, h)
		}
		if got := h.Initial(b); got != c.initial {
			t.Errorf("%s: Initial is %v", c.name, got)
		}
		// An append to a connection ID must not reach into the datagram.
		before := bytes.Clone(b)
		_, _ = append(h.DCID, 0x55), append(h.SCID, 0x55)
		if !bytes.Equal(b, before) {
			t.Errorf("%s: an append wrote into the datagram", c.name)
		}
	}
	if (&Header{Long: true, Version: Version1}).Initial(nil) {
		t.Error("no bytes are an Initial packet")
	}
}

func TestParsePacket(t *testing.T) {
	for _, version := range []uint32{Version1, Version2} {
		for _, k := range []kind{initial, zeroRTT, handshake, retry} {
			c := newClient(version)
			c.token = bytes.Repeat([]byte{7}, 70)
			var b []byte
			if k == initial {
				b = c.initial(make([]byte, 30))
			} else {
				b = c.opaque(k, 50)
			}
			whole := len(b)
			b = append(b, 1, 2, 3)
			h, ok := ParseHeader(b)
			p, ends := parsePacket(&h, b)
			if !ok || ends == (k == retry) || ends && (p.kind != k || p.size != whole) || p.number != 0 && p.number != whole-50 {
				t.Errorf("version %x, kind %d: got %+v %v", version, k, p, ends)
			}
			for cut := range whole {
				h, ok := ParseHeader(b[:cut])
				if !ok || !h.Long {
					continue
				}
				if p, ends := parsePacket(&h, b[:cut]); ends {
					t.Fatalf("version %x, kind %d, cut to %d: got %+v", version, k, cut, p)
				}
			}
		}
	}
}

func TestServerID(t *testing.T) {
	for _, c := range []struct {
		dcid string
		n    int
		id   string
		ok   bool
	}{
		// draft-ietf-quic-load-balancers, "Unencrypted CIDs"
		{"07c4605e4504cc4f", 3, "c4605e", true},
		{"20a350d28b4203487d970b", 4, "a350d28b", true},

		{"07c4605e4504cc4f", 7, "c4605e4504cc4f", true},
		{"07c4605e4504cc4f", 8, "", false},
		{"07c4605e4504cc4f", 0, "", false},
		{"07c4605e4504cc4f", -1, "", false},
		{"dfc4605e4504cc4f", 3, "c4605e", true},
		{"e7c4605e4504cc4f", 3, "", false},
		{"ffc4605e4504cc4f", 3, "", false},
		{"07", 1, "", false},
		{"", 1, "", false},
	} {
		dcid, _ := hex.DecodeString(c.dcid)
		if id, ok := ServerID(dcid, c.n); ok != c.ok || hex.EncodeToString(id) != c.id {
			t.Errorf("%s, %d: got %x %v", c.dcid, c.n, id, ok)
		}
	}
}

func TestNoAllocations(t *testing.T) {
	long, short := vector(t, "rfc9001-a2"), append([]byte{0x40, 0x07}, make([]byte, 40)...)
	bad := append([]byte{0xc0, 0, 0, 0, 1, 21}, make([]byte, 40)...)
	if n := testing.AllocsPerRun(100, func() {
		for _, b := range [][]byte{long, short, bad} {
			h, ok := ParseHeader(b)
			if id, routable := ServerID(h.DCID, 3); ok && routable {
				sink += len(id)
			}
			if h.Initial(b) {
				sink++
			}
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

var sink int

func BenchmarkParseHeader(b *testing.B) {
	short := append([]byte{0x40, 0x07, 0xc4, 0x60, 0x5e, 0x45, 0x04, 0xcc, 0x4f}, make([]byte, 1200)...)
	for _, c := range []struct {
		name string
		in   []byte
	}{{"short", short}, {"long", vector(b, "rfc9001-a2")}} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				h, ok := ParseHeader(c.in)
				if id, routable := ServerID(h.DCID, 3); ok && routable {
					sink += len(id)
				}
			}
		})
	}
}
