package probe

import (
	"context"
	"crypto/tls"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"
)

func TestTypes(t *testing.T) {
	for _, typ := range []Type{TCP, HTTP, GRPC, UDP} {
		if got, err := ParseType(typ.String()); err != nil || got != typ {
			t.Errorf("%v: got %v, %v", typ, got, err)
		}
		if _, err := New(Options{Type: typ}); err != nil {
			t.Errorf("%v: %v", typ, err)
		}
	}
	if _, err := ParseType("icmp"); err == nil {
		t.Error("icmp is a type")
	}
}

func TestNewRefuses(t *testing.T) {
	tests := []struct {
		options Options
		want    string
	}{
		{Options{Type: 9}, "type Type(9): unknown"},
		{Options{Timeout: -1}, "timeout: less than 0"},
		{Options{Expect: "~("}, "expect: missing closing ): `(`"},
		{Options{Expect: strings.Repeat("x", mostRead+1)}, "expect: longer than the 65536 bytes of an answer that are looked at"},
		{Options{Type: UDP, Expect: "~("}, "expect: missing closing ): `(`"},
		{Options{Type: UDP, TLS: &tls.Config{}}, "tls: udp has none"},
		{Options{Type: UDP, Send: strings.Repeat("x", mostDatagram+1)}, "send: longer than the 65507 bytes that fit into a datagram"},
		{Options{Type: HTTP, Method: "GE T"}, `method "GE T": not one of HTTP`},
		{Options{Type: HTTP, Path: "healthz"}, `path "healthz": not one that begins with /`},
		{Options{Type: HTTP, Path: "http://a.example/"}, `path "http://a.example/": not one that begins with /`},
		{Options{Type: HTTP, Path: "/\r\nX: y"}, `path "/\r\nX: y": not one that begins with /`},
		{Options{Type: HTTP, Host: "a.example/x"}, `host "a.example/x": not a host, or host:port`},
		{Options{Type: HTTP, Host: "a.example\r\nX: y"}, `host "a.example\r\nX: y": not a host, or host:port`},
		{Options{Type: HTTP, Host: "user@a.example"}, `host "user@a.example": not a host, or host:port`},
		{Options{Type: HTTP, Status: []StatusRange{{200, 299}, {300, 200}}}, "status 300-200: not a range of statuses"},
		{Options{Type: HTTP, ExpectBody: "~["}, "expect_body: missing closing ]: `[`"},
		{Options{Type: HTTP, Method: "HEAD", ExpectBody: "x"}, "expect_body: HEAD has none"},
		{Options{Type: GRPC, Host: "a b"}, `host "a b": not a host, or host:port`},
		{Options{Type: GRPC, Service: strings.Repeat("x", 1025)}, "service: longer than 1024 bytes"},
	}
	for _, tt := range tests {
		if _, err := New(tt.options); err == nil || err.Error() != tt.want {
			t.Errorf("got  %v\nwant %s", err, tt.want)
		}
	}
}

// The text of a timeout names what the operator wrote, though the caller's own deadline began sooner.
func TestTimeoutIsToldInRound(t *testing.T) {
	ctx, cancel := context.WithDeadline(t.Context(), time.Now().Add(time.Minute-time.Millisecond))
	defer cancel()
	bounded, stop, told := within(ctx, time.Minute)
	defer stop()
	if told != time.Minute || bounded != ctx {
		t.Errorf("told %v", told)
	}
	bounded, stop, told = within(t.Context(), time.Minute)
	defer stop()
	if _, ok := bounded.Deadline(); !ok || told != time.Minute {
		t.Errorf("told %v, bounded %v", told, ok)
	}
}

// A check that is cut while it waits says so, and soon.
func TestCancelled(t *testing.T) {
	for _, typ := range []Type{TCP, HTTP, GRPC} {
		asked := make(chan struct{})
		at := serve(t, func(c net.Conn) {
			_, _ = c.Read(make([]byte, 1))
			close(asked)
			silent(c)
		})
		want(t, cancelled(t, mustNew(t, Options{Type: typ, Send: "x", Expect: "x"}), at, asked), "cancelled")
	}
	server := listenUDP(t)
	asked := make(chan struct{})
	go func() {
		_, _, _ = server.ReadFromUDPAddrPort(make([]byte, 1))
		close(asked)
	}()
	want(t, cancelled(t, mustNew(t, Options{Type: UDP, Expect: "x"}), addrOf(server.LocalAddr()), asked), "cancelled")
}

// No check, whatever becomes of it, leaves a goroutine or a descriptor behind.
func TestNothingIsLeftBehind(t *testing.T) {
	soon := 20 * time.Millisecond
	h2 := serveGRPC(t, nil)
	refused, full := nobody(t), blackhole(t)
	silence := serve(t, silent)
	cut := serve(t, resets)
	web := serve(t, says("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nok"))
	lasting := serve(t, endless("HTTP/1.1 200 OK\r\n\r\n"))
	leaves(t, func() {
		for _, typ := range []Type{TCP, HTTP, GRPC, UDP} {
			c := mustNew(t, Options{Type: typ, Timeout: soon, Send: "x", Expect: "y", ExpectBody: "ok"})
			for _, at := range []netip.AddrPort{refused, full, silence, cut, web, lasting, h2} {
				_ = c.Run(t.Context(), at)
			}
		}
	})
}
