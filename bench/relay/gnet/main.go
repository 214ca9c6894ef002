package main

import (
	"context"
	"flag"
	"fmt"
	"net"
	"os"
	"runtime"

	"github.com/panjf2000/gnet/v2"
	"github.com/panjf2000/gnet/v2/pkg/logging"
)

func main() {
	runtime.GOMAXPROCS(2)
	listen := flag.String("listen", "", "where to listen, IPv4:PORT")
	backend := flag.String("backend", "", "where to forward to, IPv4:PORT")
	flag.Parse()
	addr, err := net.ResolveTCPAddr("tcp4", *backend)
	if err == nil {
		err = gnet.Run(&relay{backend: addr}, "tcp4://"+*listen, options()...)
	}
	fmt.Fprintln(os.Stderr, "gnet:", err)
	os.Exit(1)
}

func options() []gnet.Option {
	return []gnet.Option{
		gnet.WithMulticore(true),
		gnet.WithNumEventLoop(2),
		gnet.WithTCPNoDelay(gnet.TCPNoDelay),
		gnet.WithLogLevel(logging.ErrorLevel),
	}
}

// relay is the event handler of both kinds of connections.
type relay struct {
	gnet.BuiltinEventEngine
	backend net.Addr
}

// session is two connections of the same loop. An end is nil before it opened
// and after it closed.
type session struct {
	client, upstream gnet.Conn
	over             bool
}

// other is the end that what c says goes to.
func (s *session) other(c gnet.Conn) gnet.Conn {
	if c == s.client {
		return s.upstream
	}
	return s.client
}

// OnOpen begins a session, or completes it: a dialled connection carries it.
func (r *relay) OnOpen(c gnet.Conn) ([]byte, gnet.Action) {
	if s, ok := c.Context().(*session); ok {
		return nil, s.join(c)
	}
	s := &session{client: c}
	c.SetContext(s)
	dialled, err := c.EventLoop().Register(gnet.NewContext(context.Background(), s), r.backend)
	if err != nil {
		return nil, gnet.Close
	}
	go func() {
		if result := <-dialled; result.Err != nil {
			_ = c.Close()
		}
	}()
	return nil, gnet.None
}

// join adds the backend, and sends it what the client said meanwhile.
func (s *session) join(c gnet.Conn) gnet.Action {
	if s.over {
		return gnet.Close
	}
	s.upstream = c
	if s.client.InboundBuffered() == 0 {
		return gnet.None
	}
	if _, err := s.client.WriteTo(c); err != nil {
		return gnet.Close
	}
	return gnet.None
}

// OnTraffic forwards. What comes before there is a backend stays in c's buffer.
func (r *relay) OnTraffic(c gnet.Conn) gnet.Action {
	to := c.Context().(*session).other(c)
	if to == nil {
		return gnet.None
	}
	if _, err := c.WriteTo(to); err != nil {
		return gnet.Close
	}
	return gnet.None
}

// OnClose ends the other side too.
func (r *relay) OnClose(c gnet.Conn, _ error) gnet.Action {
	s, ok := c.Context().(*session)
	if !ok {
		return gnet.None
	}
	to := s.other(c)
	s.client, s.upstream, s.over = nil, nil, true
	if to != nil {
		_ = to.EventLoop().Close(to)
	}
	return gnet.None
}
