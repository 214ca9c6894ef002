package probe

import (
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func listenUDP(t testing.TB) *net.UDPConn {
	t.Helper()
	c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:0")))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// answerUDP answers each datagram; nil = not at all.
func answerUDP(t testing.TB, answer func(asked string) []byte) netip.AddrPort {
	c := listenUDP(t)
	go func() {
		buffer := make([]byte, mostRead)
		for {
			n, from, err := c.ReadFromUDPAddrPort(buffer)
			if err != nil {
				return
			}
			if a := answer(string(buffer[:n])); a != nil {
				_, _ = c.WriteToUDPAddrPort(a, from)
			}
		}
	}()
	return addrOf(c.LocalAddr())
}

func TestUDP(t *testing.T) {
	echo := func(asked string) []byte { return []byte(asked) }
	never := func(string) []byte { return nil }
	is := func(answer string) func(string) []byte { return func(string) []byte { return []byte(answer) } }
	tests := []struct {
		name    string
		options Options
		answer  func(string) []byte
		want    string
	}{
		{name: "silence without an expectation", answer: never},
		{name: "an answer without an expectation", options: Options{Send: "x"}, answer: echo},
		{name: "an empty datagram is sent", options: Options{Expect: "0"}, answer: func(asked string) []byte { return []byte{'0' + byte(len(asked))} }},
		{name: "prefix", options: Options{Send: "\x00\x01ping", Expect: "\x00\x01"}, answer: echo},
		{name: "expression", options: Options{Send: "ping", Expect: "~^p.*g$"}, answer: echo},
		{name: "large", options: Options{Send: strings.Repeat("x", mostDatagram), Expect: "~^x{1000}(.*)x$"}, answer: echo},
		{name: "wrong", options: Options{Send: "ping", Expect: "pong"}, answer: echo, want: `answer "ping" instead of "pong"`},
		{name: "too short", options: Options{Send: "po", Expect: "pong"}, answer: echo, want: `answer "po" instead of "pong"`},
		{name: "empty", options: Options{Send: "ping", Expect: "pong"}, answer: is(""), want: `answer "" instead of "pong"`},
		{name: "no match", options: Options{Send: "ping", Expect: "~^pong"}, answer: echo, want: `answer "ping" instead of "~^pong"`},
		{name: "silence", options: Options{Expect: "x", Timeout: 20 * time.Millisecond}, answer: never, want: "timeout in 20ms waiting for an answer"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.options.Type = UDP
			want(t, run(t, mustNew(t, tt.options), answerUDP(t, tt.answer)), tt.want)
		})
	}
}

func TestUDPUnreachable(t *testing.T) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	at := bound(t, fd)
	_ = unix.Close(fd)
	// Somebody else may get that port, or the check itself; hardly each time.
	for _, o := range []Options{{Type: UDP}, {Type: UDP, Send: "x", Expect: "x"}, {Type: UDP, Source: at.Addr()}} {
		want(t, run(t, mustNew(t, o), at), "port unreachable")
	}
}

func TestUDPOverIPv6(t *testing.T) {
	c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort("[::1]:0")))
	if err != nil {
		t.Skip(err)
	}
	at := addrOf(c.LocalAddr())
	_ = c.Close()
	want(t, run(t, mustNew(t, Options{Type: UDP}), at), "port unreachable")
}
