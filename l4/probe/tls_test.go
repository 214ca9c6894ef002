package probe

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"math/big"
	"net"
	"net/netip"
	"testing"
	"time"
)

// authority signs certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	a := &authority{key: key, pool: x509.NewCertPool()}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	a.pool.AddCert(a.cert)
	return a
}

// certificate is for a.example and 127.0.0.1, and begins to be valid then, for an hour.
func (a *authority) certificate(t testing.TB, from time.Time) tls.Certificate {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), DNSNames: []string{"a.example"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: from, NotAfter: from.Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, a.key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: a.key}
}

func (a *authority) server(t testing.TB) *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{a.certificate(t, time.Now().Add(-time.Minute))}}
}

// encrypted handles the connection inside TLS.
func encrypted(config *tls.Config, handle func(net.Conn)) func(net.Conn) {
	return func(c net.Conn) {
		inside := tls.Server(c, config)
		defer inside.Close()
		if inside.Handshake() == nil {
			handle(inside)
		}
	}
}

func TestTLS(t *testing.T) {
	ca := newAuthority(t)
	good := ca.server(t)
	expired := &tls.Config{Certificates: []tls.Certificate{ca.certificate(t, time.Now().Add(-2*time.Hour))}}
	early := &tls.Config{Certificates: []tls.Certificate{ca.certificate(t, time.Now().Add(time.Hour))}}
	mutual := good.Clone()
	mutual.ClientAuth, mutual.ClientCAs = tls.RequireAndVerifyClientCert, ca.pool
	old := good.Clone()
	old.MaxVersion = tls.VersionTLS12
	client := &tls.Config{RootCAs: ca.pool}
	echo := func(c net.Conn) { _, _ = io.Copy(c, c) }
	tests := []struct {
		name    string
		options Options
		handle  func(net.Conn)
		want    string
	}{
		{name: "handshake alone", options: Options{TLS: client}, handle: encrypted(good, silent)},
		{name: "exchange", options: Options{TLS: client, Send: "PING", Expect: "PING"}, handle: encrypted(good, echo)},
		{name: "by name", options: Options{TLS: &tls.Config{RootCAs: ca.pool, ServerName: "a.example"}}, handle: encrypted(good, silent)},
		{name: "not verified", options: Options{TLS: &tls.Config{InsecureSkipVerify: true}}, handle: encrypted(expired, silent)},
		{
			name: "another authority", options: Options{TLS: &tls.Config{RootCAs: newAuthority(t).pool}}, handle: encrypted(good, silent),
			want: "TLS: certificate signed by unknown authority",
		},
		{name: "expired", options: Options{TLS: client}, handle: encrypted(expired, silent), want: "TLS: certificate has expired"},
		{name: "early", options: Options{TLS: client}, handle: encrypted(early, silent), want: "TLS: certificate is not valid yet"},
		{
			name: "another name", options: Options{TLS: &tls.Config{RootCAs: ca.pool, ServerName: "b.example"}}, handle: encrypted(good, silent),
			want: `TLS: certificate is not for "b.example"`,
		},
		{
			name: "no client certificate", options: Options{TLS: client, Expect: "x"}, handle: encrypted(mutual, silent),
			want: "TLS: the endpoint says certificate required",
		},
		{
			name: "too old", options: Options{TLS: &tls.Config{RootCAs: ca.pool, MinVersion: tls.VersionTLS13}}, handle: encrypted(old, silent),
			want: "TLS: the endpoint says protocol version not supported",
		},
		{name: "wrong answer", options: Options{TLS: client, Send: "PING", Expect: "PONG"}, handle: encrypted(good, echo), want: `answer "PING" instead of "PONG"`},
		{
			name: "wrong and the end", options: Options{TLS: client, Expect: "PONG"}, want: `answer "ERR" instead of "PONG"`,
			handle: encrypted(good, func(c net.Conn) { _, _ = io.WriteString(c, "ERR") }),
		},
		{
			name: "closed", options: Options{TLS: client, Expect: "PONG"}, want: "closed after 0 bytes without the expected answer",
			handle: encrypted(good, func(net.Conn) {}),
		},
		{name: "plain", options: Options{TLS: client}, handle: says("220 mail.example ESMTP\r\n"), want: "TLS: the endpoint doesn't speak it"},
		{name: "closed in the handshake", options: Options{TLS: client}, handle: func(c net.Conn) { _, _ = c.Read(make([]byte, 4096)) }, want: "TLS: closed in the handshake"},
		{
			name: "silence", options: Options{TLS: client, Timeout: 20 * time.Millisecond}, handle: silent,
			want: "timeout in 20ms waiting for the TLS handshake",
		},
	}
	for _, tt := range tests {
		for _, typ := range []Type{TCP, HTTP, GRPC} {
			if typ != TCP && (tt.options.Expect != "" || tt.want == "") {
				continue // these end before the kind of check matters
			}
			t.Run(tt.name+"/"+typ.String(), func(t *testing.T) {
				tt.options.Type = typ
				want(t, run(t, mustNew(t, tt.options), serve(t, tt.handle)), tt.want)
			})
		}
	}
}

// The caller's config stays as it was.
func TestTLSConfigIsCloned(t *testing.T) {
	ca := newAuthority(t)
	config := &tls.Config{RootCAs: ca.pool}
	for _, typ := range []Type{TCP, HTTP, GRPC} {
		c := mustNew(t, Options{Type: typ, TLS: config, Host: "a.example"})
		_ = c.Run(t.Context(), netip.MustParseAddrPort("127.0.0.1:1"))
		if config.ServerName != "" || config.NextProtos != nil {
			t.Errorf("%v: changed to %q, %q", typ, config.ServerName, config.NextProtos)
		}
	}
}
