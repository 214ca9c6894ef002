package quic

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
)

// keys are what a client's Initial packets are protected with. They follow from the version and the Destination Connection ID of its
// first one (RFC 9001, section 5.2), and stay when the server's choice replaces that.
type keys struct {
	version uint32
	dcid    [maxCID]byte
	n       int // bytes of dcid
	aead    cipher.AEAD
	hp      cipher.Block
	iv      [12]byte

	// Here, because what goes through the interfaces above escapes.
	nonce [12]byte
	mask  [aes.BlockSize]byte
}

// scheme is in what the versions differ.
type scheme struct {
	salt        string
	key, iv, hp string // labels
}

var (
	scheme1 = scheme{ // RFC 9001, sections 5.1 and 5.2
		salt: "\x38\x76\x2c\xf7\xf5\x59\x34\xb3\x4d\x17\x9a\xe6\xa4\xc8\x0c\xad\xcc\xbb\x7f\x0a",
		key:  "quic key", iv: "quic iv", hp: "quic hp",
	}
	scheme2 = scheme{ // RFC 9369, sections 3.3.1 and 3.3.2
		salt: "\x0d\xed\xe3\xde\xf7\x00\xa6\xdb\x81\x93\x81\xbe\x6e\x26\x9d\xcb\xf9\xbd\x2e\xd9",
		key:  "quicv2 key", iv: "quicv2 iv", hp: "quicv2 hp",
	}
)

// are says whether k are the keys of a connection whose first packet had this version and DCID.
func (k *keys) are(version uint32, dcid []byte) bool {
	return k.aead != nil && k.version == version && bytes.Equal(k.dcid[:k.n], dcid)
}

// derive makes the keys for a version, 1 or 2, and a DCID of at most 20 bytes. It fails where the standard library is told to refuse (such
// keys aren't approved by FIPS 140).
func (k *keys) derive(version uint32, dcid []byte) error {
	k.aead, k.version, k.n = nil, version, copy(k.dcid[:], dcid)
	s := &scheme1
	if version == Version2 {
		s = &scheme2
	}
	secret, err := clientSecret(s, dcid)
	if err != nil {
		return err
	}
	key, err := expand(secret, s.key, 16)
	if err != nil {
		return err
	}
	iv, err := expand(secret, s.iv, len(k.iv))
	if err != nil {
		return err
	}
	hp, err := expand(secret, s.hp, 16)
	if err != nil {
		return err
	}
	copy(k.iv[:], iv)
	if k.hp, err = aes.NewCipher(hp); err != nil {
		return err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return err
	}
	k.aead, err = cipher.NewGCM(block)
	return err
}

// clientSecret is RFC 9001's client_initial_secret.
func clientSecret(s *scheme, dcid []byte) ([]byte, error) {
	common, err := hkdf.Extract(sha256.New, dcid, []byte(s.salt))
	if err != nil {
		return nil, err
	}
	return expand(common, "client in", sha256.Size)
}

// expand is TLS's HKDF-Expand-Label with an empty context, for n below 256 (RFC 8446, section 7.1).
func expand(secret []byte, label string, n int) ([]byte, error) {
	const prefix = "tls13 "
	info := string([]byte{0, byte(n), byte(len(prefix) + len(label))}) + prefix + label + "\x00"
	return hkdf.Expand(sha256.New, secret, info, n)
}

// open removes the protection of an Initial packet whose number is at the given offset (RFC 9001, sections 5.3 and 5.4), in place: b is a
// copy. largest is the highest number of the packets before it, -1 for none. The payload points into b; ok is false if the packet is
// too short or wasn't made with k.
func (k *keys) open(b []byte, at int, largest int64) (payload []byte, number int64, ok bool) {
	sample := at + 4 // as if the number had four bytes: how many it has is masked
	if len(b) < sample+aes.BlockSize {
		return nil, 0, false
	}
	k.hp.Encrypt(k.mask[:], b[sample:sample+aes.BlockSize])
	b[0] ^= k.mask[0] & 0x0f
	size := 1 + int(b[0]&3)
	var truncated int64
	for i := range size {
		b[at+i] ^= k.mask[1+i]
		truncated = truncated<<8 | int64(b[at+i])
	}
	number = decodeNumber(largest, truncated, size)
	k.nonce = k.iv
	for i := range 8 {
		k.nonce[4+i] ^= byte(number >> (8 * (7 - i)))
	}
	head, sealed := b[:at+size], b[at+size:]
	payload, err := k.aead.Open(sealed[:0], k.nonce[:], sealed, head)
	return payload, number, err == nil
}

// decodeNumber returns the packet number closest to the one after largest that ends in these bytes (RFC 9000, appendix A.3).
func decodeNumber(largest, truncated int64, size int) int64 {
	window := int64(1) << (8 * size)
	expected := largest + 1
	candidate := expected&^(window-1) | truncated
	switch {
	case candidate <= expected-window/2 && candidate < 1<<62-window:
		return candidate + window
	case candidate > expected+window/2 && candidate >= window:
		return candidate - window
	}
	return candidate
}
