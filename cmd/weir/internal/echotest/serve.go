package echotest

import (
	"io"
	"net"
	"testing"
)

// Serve serves on a free port of 127.0.0.1 until the test ends, and returns the address. Each connection is greeted first, when the
// greeting isn't empty, and gets back what it sends until its FIN, which is answered by one.
func Serve(t testing.TB, greeting string) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = c.Close() }()
				if _, err := io.WriteString(c, greeting); err == nil {
					_, _ = io.Copy(c, c)
				}
			}()
		}
	}()
	return ln.Addr().String()
}
