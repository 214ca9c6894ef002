package tcp_test

import (
	"fmt"
	"io"
	"log"
	"net"
	"net/netip"
	"time"

	"weir/eventloop"
	"weir/l4"
	"weir/l4/tcp"
	"weir/lb"
)

// A proxy on one loop, in front of one endpoint.
func Example() {
	// The endpoint: it answers and closes.
	backend, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	go func() {
		c, err := backend.Accept()
		if err != nil {
			log.Fatal(err)
		}
		fmt.Fprint(c, "hello from the endpoint")
		c.Close()
	}()

	endpoint := l4.NewEndpoint(netip.MustParseAddrPort(backend.Addr().String()), 1)
	set, err := lb.NewSet(lb.Options{}, []lb.Member{{Endpoint: endpoint.Balance, Weight: 1}})
	if err != nil {
		log.Fatal(err)
	}
	cluster := l4.NewCluster("web", []*l4.Endpoint{endpoint}, set, 1)
	cluster.ConnectTimeout = time.Second
	settings := &tcp.Settings{Routes: l4.Routes{Default: l4.Target{Clusters: []*l4.Cluster{cluster}}}}

	loop, err := eventloop.New(eventloop.Options{})
	if err != nil {
		log.Fatal(err)
	}
	proxy := tcp.New(tcp.Options{Loop: loop, Shared: l4.NewShared(1, 0)})
	sockets, err := eventloop.Listen(eventloop.ListenOptions{Addr: netip.MustParseAddrPort("127.0.0.1:0")}, 1)
	if err != nil {
		log.Fatal(err)
	}
	at, err := eventloop.ListeningOn(sockets[0])
	if err != nil {
		log.Fatal(err)
	}
	listener := l4.NewListener("web", 1)
	if err := proxy.Listen(listener, settings, sockets); err != nil {
		log.Fatal(err)
	}
	ended := make(chan error)
	go func() { ended <- loop.Run() }()

	client, err := net.Dial("tcp", at.String())
	if err != nil {
		log.Fatal(err)
	}
	answer, err := io.ReadAll(client)
	fmt.Println(string(answer), err)
	client.Close()

	loop.Stop()
	if err := <-ended; err != nil {
		log.Fatal(err)
	}
	loop.Destroy()
	// Output: hello from the endpoint <nil>
}
