package eventloop_test

import (
	"fmt"
	"io"
	"log"
	"net"
	"net/netip"

	"weir/eventloop"
)

// acceptor takes the events of the listening socket, echo those of the connections; both live on one loop.
type acceptor struct {
	loop *eventloop.Loop
	echo eventloop.HandlerID
}

func (a acceptor) Ready(tok eventloop.Token, _ uint32, _ eventloop.Events) {
	var peer eventloop.Sockaddr
	fd, e := eventloop.Accept(a.loop.FD(tok), &peer)
	if e != 0 {
		return // nobody there any more; the socket is level-triggered, so that others are reported again
	}
	const interest = eventloop.Readable | eventloop.Writable | eventloop.PeerClosed
	if _, err := a.loop.Register(fd, a.echo, 0, interest); err != nil {
		log.Print(err)
	}
}

type echo struct{ loop *eventloop.Loop }

func (h echo) Ready(tok eventloop.Token, _ uint32, _ eventloop.Events) {
	const budget = 4 // reads in one call, so that nobody keeps the loop for himself
	fd := h.loop.FD(tok)
	for range budget {
		n, e := eventloop.Read(fd, h.loop.Shared())
		if e != 0 { // EAGAIN: all is read, the next event comes with the next bytes
			return
		}
		if n == 0 {
			h.loop.Close(tok)
			return
		}
		// A real server keeps what the socket doesn't take (see Chunk); this one lets go of such a client.
		if sent, e := eventloop.Write(fd, h.loop.Shared()[:n]); e != 0 || sent < n {
			h.loop.Close(tok)
			return
		}
	}
	h.loop.Again(tok)
}

// An echo server on one loop.
func Example() {
	loop, err := eventloop.New(eventloop.Options{})
	if err != nil {
		log.Fatal(err)
	}
	sockets, err := eventloop.Listen(eventloop.ListenOptions{Addr: netip.MustParseAddrPort("127.0.0.1:0")}, 1)
	if err != nil {
		log.Fatal(err)
	}
	at, err := eventloop.ListeningOn(sockets[0])
	if err != nil {
		log.Fatal(err)
	}
	accepting := loop.Handle(acceptor{loop, loop.Handle(echo{loop})})
	if _, err := loop.RegisterLevel(sockets[0], accepting, 0, eventloop.Readable); err != nil {
		log.Fatal(err)
	}
	ended := make(chan error)
	go func() { ended <- loop.Run() }()

	client, err := net.Dial("tcp", at.String())
	if err != nil {
		log.Fatal(err)
	}
	answer := make([]byte, 5)
	fmt.Fprint(client, "hello")
	if _, err := io.ReadFull(client, answer); err != nil {
		log.Fatal(err)
	}
	fmt.Println(string(answer))
	client.Close()

	loop.Stop()
	if err := <-ended; err != nil {
		log.Fatal(err)
	}
	loop.Destroy()
	// Output: hello
}
