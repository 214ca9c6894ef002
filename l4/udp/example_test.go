package udp_test

import (
	"fmt"
	"log"
	"net"
	"net/netip"
	"time"

	"weir/eventloop"
	"weir/l4"
	"weir/l4/flow"
	"weir/l4/udp"
	"weir/lb"
)

// A proxy on one loop, in front of one endpoint, for a protocol with one answer to each question.
func Example() {
	// The endpoint.
	backend, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		log.Fatal(err)
	}
	go func() {
		var b [1500]byte
		n, from, err := backend.ReadFrom(b[:])
		if err != nil {
			log.Fatal(err)
		}
		_, _ = backend.WriteTo(append([]byte("the answer to "), b[:n]...), from)
	}()

	endpoint := l4.NewEndpoint(netip.MustParseAddrPort(backend.LocalAddr().String()), 1)
	set, err := lb.NewSet(lb.Options{}, []lb.Member{{Endpoint: endpoint.Balance, Weight: 1}})
	if err != nil {
		log.Fatal(err)
	}
	cluster := l4.NewCluster("dns", []*l4.Endpoint{endpoint}, set, 1)

	sockets, err := eventloop.ListenDatagrams(eventloop.DatagramOptions{Addr: netip.MustParseAddrPort("127.0.0.1:0")}, 1)
	if err != nil {
		log.Fatal(err)
	}
	at, err := eventloop.ListeningOn(sockets[0])
	if err != nil {
		log.Fatal(err)
	}

	loop, err := eventloop.New(eventloop.Options{})
	if err != nil {
		log.Fatal(err)
	}
	proxy := udp.New(udp.Options{Loop: loop, Shared: l4.NewShared(1, 0)})
	listener := l4.NewListener("dns", 1)
	settings := &udp.Settings{
		Routes: l4.Routes{Default: l4.Target{Clusters: []*l4.Cluster{cluster}}},
		Rules:  flow.Rules{Idle: 10 * time.Second, Responses: 1},
	}
	if err := proxy.Listen(listener, settings, sockets); err != nil {
		log.Fatal(err)
	}
	go func() {
		if err := loop.Run(); err != nil {
			log.Fatal(err)
		}
	}()

	client, err := net.Dial("udp", at.String())
	if err != nil {
		log.Fatal(err)
	}
	_, _ = client.Write([]byte("a question"))
	var b [1500]byte
	n, err := client.Read(b[:])
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s\n", b[:n])

	loop.Stop()
	<-loop.Stopped()
	loop.Destroy()
	fmt.Println("flows:", listener.Loops[0].Sessions.Load(), "answered:", listener.Loops[0].Closed[l4.Answered].Load())
	// Output:
	// the answer to a question
	// flows: 1 answered: 1
}
