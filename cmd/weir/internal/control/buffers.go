package control

import (
	"fmt"

	"weir/cmd/weir/internal/build"
	"weir/eventloop"
)

// buffer is one of the two of a UDP listener's sockets: bytes that the configuration asks for (0 = as many as there are, up to a default), and those
// that the kernel gave (0 = unknown).
type buffer struct{ asked, given int }

// cut reports whether the kernel gave less than the configuration asks for.
func (b buffer) cut() bool { return b.given > 0 && b.given < b.asked }

// buffers are those of each socket of a UDP listener: of the socket that has least, should they differ.
type buffers struct{ receive, send buffer }

// buffersOf reads what the sockets of a UDP listener have.
func (s sockets) buffersOf(l *build.Listener) (b buffers) {
	b.receive.asked, b.send.asked = int(l.Config.UDP.ReceiveBuffer), int(l.Config.UDP.SendBuffer)
	for _, key := range keys(l) {
		for _, fd := range s[key].fds {
			receive, send, err := eventloop.DatagramBuffers(fd)
			if err != nil {
				continue
			}
			b.receive.given, b.send.given = least(b.receive.given, receive), least(b.send.given, send)
		}
	}
	return b
}

func least(known, next int) int {
	if known == 0 {
		return next
	}
	return min(known, next)
}

// measureBuffers reads the buffers of all UDP listeners and says which were cut, once for as long as they are. With the mutex held.
func (c *Control) measureBuffers() {
	now := make(map[string]buffers)
	for _, l := range c.running.Listeners {
		if l.UDP == nil {
			continue
		}
		b, was := c.sockets.buffersOf(l), c.buffers[l.Name]
		now[l.Name] = b
		c.sayCut(l.Name, "receive_buffer", "net.core.rmem_max", b.receive, was.receive)
		c.sayCut(l.Name, "send_buffer", "net.core.wmem_max", b.send, was.send)
	}
	c.buffers = now
}

func (c *Control) sayCut(listener, key, sysctl string, b, was buffer) {
	if b.cut() && b != was {
		c.log.Warn(fmt.Sprintf("the kernel gives less than udp.%s asks for: raise %s", key, sysctl), "listener", listener, "asked", b.asked, "given", b.given)
	}
}
