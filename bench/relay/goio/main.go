package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"sync"
	"time"
)

func main() {
	runtime.GOMAXPROCS(2)
	listen := flag.String("listen", "", "where to listen, IPv4:PORT")
	backend := flag.String("backend", "", "where to forward to, IPv4:PORT")
	flag.Parse()
	l, err := net.Listen("tcp4", *listen)
	if err == nil {
		err = serve(l.(*net.TCPListener), *backend)
	}
	fmt.Fprintln(os.Stderr, "goio:", err)
	os.Exit(1)
}

// serve relays connections until the listener is closed.
func serve(l *net.TCPListener, backend string) error {
	for {
		client, err := l.AcceptTCP()
		if errors.Is(err, net.ErrClosed) {
			return err
		}
		if err != nil { // no descriptors, or a client that has gone
			time.Sleep(time.Millisecond)
			continue
		}
		go relay(client, backend)
	}
}

func relay(client *net.TCPConn, backend string) {
	defer client.Close()
	c, err := net.Dial("tcp4", backend)
	if err != nil {
		return
	}
	upstream := c.(*net.TCPConn)
	defer upstream.Close()
	var up sync.WaitGroup
	up.Go(func() { forward(upstream, client) })
	forward(client, upstream)
	up.Wait()
}

// forward copies one direction and passes its end on: a FIN as a FIN, anything
// else as the end of both directions.
func forward(to, from *net.TCPConn) {
	if _, err := io.Copy(to, from); err == nil {
		_ = to.CloseWrite()
		return
	}
	for _, c := range []*net.TCPConn{to, from} {
		_ = c.SetLinger(0)
		_ = c.Close()
	}
}
