package tcp

import (
	"testing"

	"golang.org/x/sys/unix"

	"weir/l4"
)

// What a client had sent before it reset reaches an endpoint that takes it, to the last byte, however small the pieces.
func TestSentBeforeReset(t *testing.T) {
	b := newBackend(t)
	r := newRig(t, rigOptions{}, b.addr)
	client, server := r.pair(b)
	for range 50 { // until the endpoint's kernel delays its acknowledgements
		mustWrite(t, client, "ping")
		mustRead(t, server, "ping")
		mustWrite(t, server, "pong")
		mustRead(t, client, "pong")
	}
	r.do(0, func(p *Proxy) {
		s := p.sessions.At(0)
		s.sides[upstream].wrote, s.sides[upstream].noDelay = false, false // as before a session's first write
		setNagle(t, int(s.sides[upstream].fd))
		mustWrite(t, client, "unacknowledged")
		p.pump(s, 0, downstream)
	})
	r.do(0, func(p *Proxy) { // the reset is seen together with what came before
		mustWrite(t, client, "last words")
		reset(t, client)
	})
	mustRead(t, server, "unacknowledgedlast words")
	mustReset(t, server)
	r.wantClosed(l4.DownstreamReset, 1)
}

func setNagle(t *testing.T, fd int) {
	t.Helper()
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 0); err != nil {
		t.Error(err)
	}
}
