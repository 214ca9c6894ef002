package quic

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"os"
	"slices"
	"strings"
	"testing"
)

// This file makes what a client sends. It shares nothing with the code under test but the names of the versions.

// vector reads a datagram that an RFC publishes.
func vector(t testing.TB, name string) []byte {
	t.Helper()
	text, err := os.ReadFile("testdata/" + name + ".hex")
	if err != nil {
		t.Fatal(err)
	}
	b, err := hex.DecodeString(strings.Join(strings.Fields(string(text)), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// realHello is the ClientHello of Go's own client, as the message that goes into CRYPTO frames.
func realHello(t testing.TB, config *tls.Config) []byte {
	t.Helper()
	config = config.Clone()
	config.MinVersion = tls.VersionTLS13
	conn := tls.QUICClient(&tls.QUICConfig{TLSConfig: config})
	defer conn.Close()
	conn.SetTransportParameters([]byte{1, 4, 0x80, 0, 0x75, 0x30})
	if err := conn.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	for {
		switch e := conn.NextEvent(); e.Kind {
		case tls.QUICWriteData:
			if e.Level == tls.QUICEncryptionLevelInitial {
				return slices.Clone(e.Data)
			}
		case tls.QUICNoEvent:
			t.Fatal("the client wrote nothing")
		}
	}
}

// small fits into a datagram, large doesn't.
func small(t testing.TB) []byte {
	return realHello(t, &tls.Config{ServerName: "www.example.org", NextProtos: []string{"h3", "hq-interop"}, CurvePreferences: []tls.CurveID{tls.X25519}})
}

func large(t testing.TB) []byte {
	hello := realHello(t, &tls.Config{ServerName: "pq.example.org", NextProtos: []string{"h3"}, CurvePreferences: []tls.CurveID{tls.X25519MLKEM768}})
	if len(hello) <= 1200 {
		t.Fatalf("a post-quantum ClientHello of %d bytes", len(hello))
	}
	return hello
}

func mac(key []byte, parts ...string) []byte {
	m := hmac.New(sha256.New, key)
	for _, p := range parts {
		m.Write([]byte(p))
	}
	return m.Sum(nil)
}

// stretch is HKDF-Expand-Label for what fits into one block.
func stretch(secret []byte, label string, n int) []byte {
	label = "tls13 " + label
	return mac(secret, "\x00", string(rune(n)), string(rune(len(label))), label, "\x00", "\x01")[:n]
}

// client protects Initial packets.
type client struct {
	version     uint32
	origin      []byte // the first DCID: the keys come of it
	dcid, scid  []byte // what is on the wire
	token       []byte
	number      int64
	numberBytes int    // 0 = 4
	noFixedBit  bool   // greased
	keysOf      uint32 // 0 = version
}

func newClient(version uint32) *client {
	id := []byte{0x83, 0x94, 0xc8, 0xf0, 0x3e, 0x51, 0x57, 0x08}
	return &client{version: version, origin: id, dcid: id, scid: []byte{1, 2, 3, 4, 5}}
}

// bits are the type bits of a long header.
func (c *client) bits(k kind) byte {
	n := map[kind]byte{initial: 0, zeroRTT: 1, handshake: 2, retry: 3}[k]
	if c.version == Version2 {
		n = (n + 1) % 4
	}
	return 0xc0 | n<<4
}

// long is a long header up to the connection IDs.
func (c *client) long(first byte) []byte {
	b := binary.BigEndian.AppendUint32([]byte{first}, c.version)
	b = append(append(b, byte(len(c.dcid))), c.dcid...)
	return append(append(b, byte(len(c.scid))), c.scid...)
}

// opaque is a packet that nobody here can read.
func (c *client) opaque(k kind, size int) []byte {
	b := c.long(c.bits(k))
	if k == initial {
		b = append(b, 0) // no token
	}
	return append(varint(b, uint64(size)), make([]byte, size)...)
}

// initial protects a payload and counts up the number.
func (c *client) initial(payload []byte) []byte {
	salt, prefix := "38762cf7f55934b34d179ae6a4c80cadccbb7f0a", "quic "
	if c.keysOf == Version2 || c.keysOf == 0 && c.version == Version2 {
		salt, prefix = "0dede3def700a6db819381be6e269dcbf9bd2ed9", "quicv2 "
	}
	rawSalt, _ := hex.DecodeString(salt)
	secret := stretch(mac(rawSalt, string(c.origin)), "client in", 32)
	key, iv, hp := stretch(secret, prefix+"key", 16), stretch(secret, prefix+"iv", 12), stretch(secret, prefix+"hp", 16)

	n := c.numberBytes
	if n == 0 {
		n = 4
	}
	if len(payload)+n < 4 {
		payload = append(slices.Clone(payload), 0, 0, 0)
	}
	first := c.bits(initial) | byte(n-1)
	if c.noFixedBit {
		first &^= 0x40
	}
	b := varint(c.long(first), uint64(len(c.token)))
	b = append(b, c.token...)
	b = varint(b, uint64(n+len(payload)+16))
	at := len(b)
	for i := n - 1; i >= 0; i-- {
		b = append(b, byte(c.number>>(8*i)))
	}

	nonce := slices.Clone(iv)
	for i := range 8 {
		nonce[11-i] ^= byte(c.number >> (8 * i))
	}
	block, _ := aes.NewCipher(key)
	gcm, _ := cipher.NewGCM(block)
	b = gcm.Seal(b, nonce, payload, b)

	var mask [16]byte
	block, _ = aes.NewCipher(hp)
	block.Encrypt(mask[:], b[at+4:at+20])
	b[0] ^= mask[0] & 0x0f
	for i := range n {
		b[at+i] ^= mask[1+i]
	}
	c.number++
	return b
}

// varint appends an integer in as few bytes as it takes.
func varint(b []byte, v uint64) []byte {
	switch {
	case v < 1<<6:
		return append(b, byte(v))
	case v < 1<<14:
		return binary.BigEndian.AppendUint16(b, 1<<14|uint16(v))
	case v < 1<<30:
		return binary.BigEndian.AppendUint32(b, 2<<30|uint32(v))
	}
	return binary.BigEndian.AppendUint64(b, 3<<62|v)
}

// crypto is a CRYPTO frame with the bytes of a message from one offset to another.
func crypto(message []byte, from, to int) []byte {
	return append(varint(varint([]byte{0x06}, uint64(from)), uint64(to-from)), message[from:to]...)
}

// pad fills a payload so that its datagram has 1,200 bytes or so.
func pad(payload []byte) []byte {
	return append(slices.Clone(payload), make([]byte, max(0, 1150-len(payload)))...)
}
