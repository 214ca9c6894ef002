package quic

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"testing"
)

// vec appends what stands after a length of n bytes.
func vec(b []byte, n int, data []byte) []byte {
	for i := n - 1; i >= 0; i-- {
		b = append(b, byte(len(data)>>(8*i)))
	}
	return append(b, data...)
}

// extension is an extension of a ClientHello.
func extension(id uint16, data []byte) []byte {
	return vec(binary.BigEndian.AppendUint16(nil, id), 2, data)
}

// serverName is the extension with names of one kind.
func serverName(kind byte, names ...string) []byte {
	var list []byte
	for _, n := range names {
		list = vec(append(list, kind), 2, []byte(n))
	}
	return extension(extServerName, vec(nil, 2, list))
}

func alpn(protocols ...string) []byte {
	var list []byte
	for _, p := range protocols {
		list = vec(list, 1, []byte(p))
	}
	return extension(extALPN, vec(nil, 2, list))
}

// helloBody is a ClientHello without the message's head, with these extensions.
func helloBody(extensions ...[]byte) []byte {
	b := append([]byte{3, 3}, bytes.Repeat([]byte{0xaa}, 32)...)
	b = vec(b, 1, []byte("session"))
	b = vec(b, 2, []byte{0x13, 0x01, 0x13, 0x02})
	b = vec(b, 1, []byte{0})
	return vec(b, 2, slices.Concat(extensions...))
}

func TestClientHello(t *testing.T) {
	bare := helloBody()
	many := make([]string, 40)
	for i := range many {
		many[i] = strings.Repeat("x", i+1)
	}
	label := strings.Repeat("a", 63)
	longest := strings.Join([]string{label, label, label, label[:61]}, ".")
	for name, c := range map[string]struct {
		body []byte
		ok   bool
		sni  string
		alpn []string
	}{
		"nothing":                  {body: nil},
		"no extensions":            {body: bare, ok: true},
		"no extensions at all":     {body: bare[:len(bare)-2], ok: true},
		"half a length":            {body: bare[:len(bare)-1]},
		"something after":          {body: append(slices.Clone(bare), 0)},
		"extension cut":            {body: helloBody([]byte{0, 0, 0, 9, 0})},
		"unknown ones around":      {body: helloBody(extension(0x0a0a, nil), serverName(0, "a.example"), extension(57, []byte("x"))), ok: true, sni: "a.example"},
		"both":                     {body: helloBody(alpn("h3", "h3-29"), serverName(0, "a.example")), ok: true, sni: "a.example", alpn: []string{"h3", "h3-29"}},
		"capitals":                 {body: helloBody(serverName(0, "WWW.Example-1.COM")), ok: true, sni: "www.example-1.com"},
		"trailing dot":             {body: helloBody(serverName(0, "a.example.")), ok: true, sni: "a.example"},
		"two dots":                 {body: helloBody(serverName(0, "a.example..")), ok: true},
		"only a dot":               {body: helloBody(serverName(0, ".")), ok: true},
		"underscore":               {body: helloBody(serverName(0, "_x.example~")), ok: true, sni: "_x.example~"},
		"beyond ASCII":             {body: helloBody(serverName(0, "b\xfccher.example")), ok: true},
		"NUL":                      {body: helloBody(serverName(0, "a\x00.example")), ok: true},
		"space":                    {body: helloBody(serverName(0, "a example")), ok: true},
		"DEL":                      {body: helloBody(serverName(0, "a\x7f")), ok: true},
		"longest":                  {body: helloBody(serverName(0, longest+".")), ok: true, sni: longest},
		"too long":                 {body: helloBody(serverName(0, longest+"a")), ok: true},
		"much too long":            {body: helloBody(serverName(0, strings.Repeat("a", 5000))), ok: true},
		"empty name":               {body: helloBody(serverName(0, ""))},
		"no name":                  {body: helloBody(serverName(0))},
		"no list":                  {body: helloBody(extension(extServerName, nil))},
		"another kind":             {body: helloBody(serverName(7, "x")), ok: true},
		"two names":                {body: helloBody(serverName(0, "a", "b"))},
		"two server names":         {body: helloBody(serverName(0, "a"), serverName(0, "b"))},
		"name cut":                 {body: helloBody(extension(extServerName, []byte{0, 3, 0, 0, 9}))},
		"list shorter than said":   {body: helloBody(extension(extServerName, []byte{0, 9, 0, 0, 1, 'a'}))},
		"something after the list": {body: helloBody(extension(extServerName, []byte{0, 4, 0, 0, 1, 'a', 0}))},
		"ALPN empty":               {body: helloBody(alpn())},
		"ALPN without a list":      {body: helloBody(extension(extALPN, nil))},
		"ALPN empty protocol":      {body: helloBody(alpn("h3", ""))},
		"ALPN protocol cut":        {body: helloBody(extension(extALPN, []byte{0, 3, 9, 'h', '3'}))},
		"ALPN after the list":      {body: helloBody(extension(extALPN, []byte{0, 3, 2, 'h', '3', 0}))},
		"ALPN twice":               {body: helloBody(alpn("h3"), alpn("h3"))},
		"ALPN of any bytes":        {body: helloBody(alpn("\x00\xff")), ok: true, alpn: []string{"\x00\xff"}},
		"ALPN many":                {body: helloBody(alpn(many...)), ok: true, alpn: many[:maxALPN]},
	} {
		got, ok := parseClientHello(c.body)
		if ok != c.ok || ok && (got.sni != c.sni || !slices.Equal(got.alpn, c.alpn)) {
			t.Errorf("%s: got %v %q", name, ok, got)
		}
	}
	for cut := range bare {
		if _, ok := parseClientHello(bare[:cut]); ok != (cut == len(bare)-2) {
			t.Errorf("cut to %d: %v", cut, ok)
		}
	}
}

// Go's server reads the same in Go's ClientHello, so that FuzzClientHello compares something.
func TestAsServer(t *testing.T) {
	for _, body := range [][]byte{small(t)[4:], large(t)[4:], helloBody(serverName(0, "a.example"), alpn("h3"))} {
		sni, alpn, served := asServer(body)
		got, ok := parseClientHello(body)
		if !served || !ok || got.sni != sni || !slices.Equal(got.alpn, alpn) || sni == "" || len(alpn) == 0 {
			t.Errorf("got %v %q, a server %v %q %q", ok, got, served, sni, alpn)
		}
	}
}

// asServer is what Go's own TLS server reads in a ClientHello; ok is false if it refuses to.
func asServer(body []byte) (sni string, alpn []string, ok bool) {
	enough := errors.New("enough")
	conn := tls.QUICServer(&tls.QUICConfig{TLSConfig: &tls.Config{
		MinVersion: tls.VersionTLS13,
		GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			sni, alpn, ok = hello.ServerName, slices.Clone(hello.SupportedProtos), true
			return nil, enough
		},
	}})
	defer conn.Close()
	if conn.Start(context.Background()) != nil {
		return "", nil, false
	}
	_ = conn.HandleData(tls.QUICEncryptionLevelInitial, wrap(1, body))
	return sni, alpn, ok
}
