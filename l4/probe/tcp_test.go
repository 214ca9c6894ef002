package probe

import (
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"
)

func TestTCP(t *testing.T) {
	echo := func(c net.Conn) { _, _ = io.Copy(c, c) }
	closes := func(text string) func(net.Conn) {
		return func(c net.Conn) { _, _ = io.WriteString(c, text) }
	}
	tests := []struct {
		name    string
		options Options
		handle  func(net.Conn)
		want    string
	}{
		{name: "connect", handle: silent},
		{name: "connect to who closes", handle: closes("")},
		{name: "send alone", options: Options{Send: "hello"}, handle: silent},
		{name: "send and expect", options: Options{Send: "PING\r\n", Expect: "PING\r"}, handle: echo},
		{name: "zero bytes", options: Options{Send: "\x00\x01", Expect: "\x00"}, handle: echo},
		{name: "a greeting", options: Options{Expect: "220 "}, handle: says("220 ready\r\n")},
		{name: "a greeting and the end", options: Options{Expect: "220 "}, handle: closes("220 ")},
		{name: "in crumbs", options: Options{Expect: "220 ready"}, handle: dribbles("220 ready\r\n")},
		{name: "expression", options: Options{Expect: `~(?m)^role:(primary|replica)\r?$`}, handle: says("# Replication\r\nrole:replica\r\n")},
		{name: "expression in crumbs", options: Options{Expect: `~ready$`}, handle: dribbles(strings.Repeat("x", 2000) + "ready")},
		{name: "an endless answer that fits", options: Options{Expect: "aaaa"}, handle: endless("aaaa")},
		{name: "wrong", options: Options{Send: "PING\r\n", Expect: "PONG"}, handle: says("ERR unknown\r\n"), want: `answer "ERR unknown\r\n" instead of "PONG"`},
		{name: "wrong and the end", options: Options{Expect: "PONG"}, handle: closes("ERR"), want: `answer "ERR" instead of "PONG"`},
		{
			name: "wrong and long", options: Options{Expect: "PONG"}, handle: says(strings.Repeat("x", 100)),
			want: `answer "` + strings.Repeat("x", 64) + `"... instead of "PONG"`,
		},
		{name: "too short", options: Options{Expect: "PONG"}, handle: closes("PON"), want: "closed after 3 bytes without the expected answer"},
		{name: "nothing and the end", options: Options{Expect: "PONG"}, handle: closes(""), want: "closed after 0 bytes without the expected answer"},
		{name: "no match", options: Options{Expect: "~^PONG"}, handle: closes("PING"), want: "closed after 4 bytes without the expected answer"},
		{
			name: "an endless answer without a match", options: Options{Expect: "~b"}, handle: endless("aaaa"),
			want: `answer "` + strings.Repeat("a", 64) + `"..., and 64 KiB of it without "~b"`,
		},
		{name: "silence", options: Options{Expect: "PONG", Timeout: 20 * time.Millisecond}, handle: silent, want: "timeout in 20ms waiting for an answer"},
		{
			name: "half an answer", options: Options{Expect: "~PONG\n", Timeout: 100 * time.Millisecond}, handle: says("PO"),
			want: `timeout in 100ms waiting for an answer, after "PO"`,
		},
		{name: "reset", options: Options{Send: "PING", Expect: "PONG"}, handle: resets, want: "connection reset"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			want(t, run(t, mustNew(t, tt.options), serve(t, tt.handle)), tt.want)
		})
	}
}

func TestTCPConnecting(t *testing.T) {
	want(t, run(t, mustNew(t, Options{}), nobody(t)), "connection refused")
	want(t, run(t, mustNew(t, Options{Expect: "x"}), nobody(t)), "connection refused")
	want(t, run(t, mustNew(t, Options{Timeout: 20 * time.Millisecond}), blackhole(t)), "timeout in 20ms waiting for a connection")
	want(t, run(t, mustNew(t, Options{Timeout: 20 * time.Millisecond, Send: "x"}), blackhole(t)), "timeout in 20ms waiting for a connection")
	mapped := serve(t, silent)
	want(t, run(t, mustNew(t, Options{}), netip.AddrPortFrom(netip.AddrFrom16(mapped.Addr().As16()), mapped.Port())), "")
}
