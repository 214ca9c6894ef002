package quic

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"testing"
)

// TestKeys holds the derivation against RFC 9001, appendix A.1, and RFC 9369, appendix A.1.
func TestKeys(t *testing.T) {
	dcid, _ := hex.DecodeString("8394c8f03e515708")
	for _, c := range []struct {
		scheme              *scheme
		secret, key, iv, hp string
	}{
		{
			&scheme1, "c00cf151ca5be075ed0ebfb5c80323c42d6b7db67881289af4008f1f6c357aea",
			"1f369613dd76d5467730efcbe3b1a22d", "fa044b2f42a3fd3b46fb255c", "9f50449e04a0e810283a1e9933adedd2",
		},
		{
			&scheme2, "14ec9d6eb9fd7af83bf5a668bc17a7e283766aade7ecd0891f70f9ff7f4bf47b",
			"8b1a0bc121284290a29e0971b5cd045d", "91f73e2351d8fa91660e909f", "45b95e15235d6f45a6b19cbcb0294ba9",
		},
	} {
		secret, err := clientSecret(c.scheme, dcid)
		if err != nil || len(secret) != sha256.Size || hex.EncodeToString(secret) != c.secret {
			t.Fatalf("secret %x, %v", secret, err)
		}
		for label, want := range map[string]string{c.scheme.key: c.key, c.scheme.iv: c.iv, c.scheme.hp: c.hp} {
			if got, err := expand(secret, label, len(want)/2); err != nil || hex.EncodeToString(got) != want {
				t.Errorf("%s: %x, %v", label, got, err)
			}
		}
	}
}

func TestOpen(t *testing.T) {
	for name, version := range map[string]uint32{"rfc9001-a2": Version1, "rfc9369-a2": Version2} {
		b := vector(t, name)
		if len(b) != 1200 {
			t.Fatalf("%s has %d bytes", name, len(b))
		}
		h, _ := ParseHeader(b)
		p, ok := parsePacket(&h, b)
		if !ok || h.Version != version || p.kind != initial || p.number != 18 || p.size != 1200 {
			t.Fatalf("%s: %+v %+v", name, h, p)
		}
		var k keys
		if err := k.derive(h.Version, h.DCID); err != nil {
			t.Fatal(err)
		}
		payload, number, ok := k.open(bytes.Clone(b), p.number, -1)
		if !ok || number != 2 || len(payload) != 1162 || !bytes.HasPrefix(payload, []byte{6, 0, 0x40, 0xf1, 1, 0, 0, 0xed}) {
			t.Errorf("%s: %v, number %d, %d bytes", name, ok, number, len(payload))
		}
	}
}

func TestDecodeNumber(t *testing.T) {
	for _, c := range []struct {
		largest, truncated int64
		size               int
		want               int64
	}{
		{0xa82f30ea, 0x9b32, 2, 0xa82f9b32}, // RFC 9000, appendix A.3
		{-1, 0, 1, 0},
		{-1, 0, 4, 0},
		{-1, 0xff, 1, 0xff},
		{-1, 0xffffffff, 4, 0xffffffff},
		{0xfe, 0xff, 1, 0xff},
		{0xff, 0x00, 1, 0x100},
		{0x100, 0xff, 1, 0xff},
		{0x17f, 0x01, 1, 0x101},
		{0x180, 0x01, 1, 0x201},
		{1<<62 - 2, 0x00, 1, 1<<62 - 0x100}, // none is higher than 1<<62 - 1
	} {
		if got := decodeNumber(c.largest, c.truncated, c.size); got != c.want {
			t.Errorf("%x after %x: got %x, want %x", c.truncated, c.largest, got, c.want)
		}
	}
}
