package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"github.com/panjf2000/gnet/v2"
)

// booted tells when the engine listens.
type booted struct {
	relay
	engine chan gnet.Engine
}

func (b *booted) OnBoot(e gnet.Engine) gnet.Action {
	b.engine <- e
	return gnet.None
}

// start relays to backend until stop is called, which waits for the end.
func start(backend net.Addr) (addr string, stop func() error, err error) {
	l, err := net.Listen("tcp4", "127.0.0.1:0") // gnet doesn't tell the port that it was given
	if err != nil {
		return "", nil, err
	}
	addr = l.Addr().String()
	l.Close()
	b := &booted{relay: relay{backend: backend}, engine: make(chan gnet.Engine, 1)}
	ended := make(chan error, 1)
	go func() { ended <- gnet.Run(b, "tcp4://"+addr, options()...) }()
	select {
	case e := <-b.engine:
		return addr, func() error { return errors.Join(e.Stop(context.Background()), <-ended) }, nil
	case err := <-ended:
		return "", nil, err
	}
}

// echo listens, and says back what comes.
func echo() (net.Listener, error) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				_, _ = io.Copy(c, c)
				_ = c.Close()
			}()
		}
	}()
	return l, nil
}

// ask sends text and reads as much back.
func ask(addr, text string) (string, error) {
	c, err := net.Dial("tcp4", addr)
	if err != nil {
		return "", err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.WriteString(c, text); err != nil {
		return "", err
	}
	back := make([]byte, len(text))
	_, err = io.ReadFull(c, back)
	return string(back), err
}

func Example() {
	backend, err := echo()
	if err != nil {
		fmt.Println(err)
		return
	}
	defer backend.Close()
	addr, stop, err := start(backend.Addr())
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(ask(addr, "there and back"))
	fmt.Println(stop())
	// Output:
	// there and back <nil>
	// <nil>
}

// Without a backend the client's connection ends.
func TestNoBackend(t *testing.T) {
	addr, stop, err := start(&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1})
	if err != nil {
		t.Fatal(err)
	}
	_, err = ask(addr, "x")
	var n net.Error
	if err == nil || errors.As(err, &n) && n.Timeout() {
		t.Errorf("got %v", err)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}
