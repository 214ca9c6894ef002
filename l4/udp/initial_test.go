package udp

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"slices"
	"testing"
)

// clientHello is the ClientHello of Go's own client. With a post-quantum key share it takes two datagrams.
func clientHello(t testing.TB, name string, curve tls.CurveID) []byte {
	t.Helper()
	conn := tls.QUICClient(&tls.QUICConfig{TLSConfig: &tls.Config{
		ServerName: name, NextProtos: []string{"h3"}, MinVersion: tls.VersionTLS13, CurvePreferences: []tls.CurveID{curve},
	}})
	defer func() { _ = conn.Close() }()
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

// initials returns the datagrams of 1,200 bytes that a client of QUIC version 1 begins a connection with (RFC 9000, section 17.2.2; RFC 9001, section 5).
func initials(t testing.TB, dcid, hello []byte) (datagrams [][]byte) {
	t.Helper()
	const each = 1100
	for number := 0; number*each < len(hello); number++ {
		from, to := number*each, min(len(hello), (number+1)*each)
		frame := append(varint(varint([]byte{0x06}, from), to-from), hello[from:to]...)
		datagrams = append(datagrams, initial(t, dcid, number, frame))
	}
	return datagrams
}

// initial seals one packet, padded so that its datagram has 1,200 bytes.
func initial(t testing.TB, dcid []byte, number int, frames []byte) []byte {
	t.Helper()
	must := func(b []byte, err error) []byte {
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	expand := func(secret []byte, label string, n int) []byte {
		info := append([]byte{0, byte(n), byte(6 + len(label))}, "tls13 "+label+"\x00"...)
		return must(hkdf.Expand(sha256.New, secret, string(info), n))
	}
	salt := []byte("\x38\x76\x2c\xf7\xf5\x59\x34\xb3\x4d\x17\x9a\xe6\xa4\xc8\x0c\xad\xcc\xbb\x7f\x0a")
	secret := expand(must(hkdf.Extract(sha256.New, dcid, salt)), "client in", sha256.Size)
	key, iv, hp := expand(secret, "quic key", 16), expand(secret, "quic iv", 12), expand(secret, "quic hp", 16)

	b := []byte{0xc0 | 3, 0, 0, 0, 1, byte(len(dcid))}
	b = append(append(b, dcid...), 0, 0) // no SCID, no token
	payload := slices.Clone(frames)
	payload = append(payload, make([]byte, 1200-len(b)-2-4-16-len(payload))...)
	b = binary.BigEndian.AppendUint16(b, 1<<14|uint16(4+len(payload)+16))
	at := len(b)
	b = binary.BigEndian.AppendUint32(b, uint32(number))

	iv[11] ^= byte(number)
	block, err := aes.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	b = gcm.Seal(b, iv, payload, b)

	var mask [16]byte
	if block, err = aes.NewCipher(hp); err != nil {
		t.Fatal(err)
	}
	block.Encrypt(mask[:], b[at+4:at+20])
	b[0] ^= mask[0] & 0x0f
	for i := range 4 {
		b[at+i] ^= mask[1+i]
	}
	return b
}

// varint appends an integer of less than 16,384.
func varint(b []byte, v int) []byte { return binary.BigEndian.AppendUint16(b, 1<<14|uint16(v)) }
