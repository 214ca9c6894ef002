package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"testing"
	"time"
)

// start relays to backend until closed is called, which waits for the end.
func start(backend string) (addr string, closed func() error, err error) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	ended := make(chan error, 1)
	go func() { ended <- serve(l.(*net.TCPListener), backend) }()
	return l.Addr().String(), func() error { l.Close(); return <-ended }, nil
}

// answer listens, and says back what a client said after the client's FIN.
func answer() (net.Listener, error) {
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
			text, _ := io.ReadAll(c)
			_, _ = c.Write(text)
			_ = c.Close()
		}
	}()
	return l, nil
}

func ask(addr, text string) (string, error) {
	c, err := net.Dial("tcp4", addr)
	if err != nil {
		return "", err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	_, err = io.WriteString(c, text)
	err = errors.Join(err, c.(*net.TCPConn).CloseWrite())
	back, e := io.ReadAll(c)
	return string(back), errors.Join(err, e)
}

func Example() {
	backend, err := answer()
	if err != nil {
		fmt.Println(err)
		return
	}
	defer backend.Close()
	addr, end, err := start(backend.Addr().String())
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(ask(addr, "after a half-close"))
	fmt.Println(errors.Is(end(), net.ErrClosed))
	// Output:
	// after a half-close <nil>
	// true
}

// Without a backend the client's connection ends, in whatever way.
func TestNoBackend(t *testing.T) {
	addr, end, err := start("127.0.0.1:1")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = end() }()
	text, err := ask(addr, "")
	var n net.Error
	if text != "" || errors.As(err, &n) && n.Timeout() {
		t.Errorf("got %q, %v", text, err)
	}
}
