package demo

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"
)

// names of the backends; there are as many.
var names = [...]string{"one", "two", "three"}

// Backends are HTTP servers on free ports of 127.0.0.1. Each answers every request with a line that names it, such as
// "backend 1 (one)".
type Backends struct {
	servers   []*http.Server
	addresses []string
}

// Start starts three backends. On an error none runs.
func Start() (*Backends, error) {
	b := new(Backends)
	for i, name := range names {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, errors.Join(fmt.Errorf("demo backend %s: %w", name, err), b.Close())
		}
		line := fmt.Sprintf("backend %d (%s)\n", i+1, name)
		s := &http.Server{
			Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				_, _ = w.Write([]byte(line)) // the client may have gone
			}),
			ReadHeaderTimeout: 10 * time.Second,
		}
		b.servers = append(b.servers, s)
		b.addresses = append(b.addresses, ln.Addr().String())
		go func() { _ = s.Serve(ln) }() // returns with Close
	}
	return b, nil
}

// Addresses returns where the backends listen, in the order of their numbers.
func (b *Backends) Addresses() []string { return b.addresses }

// Close stops the backends.
func (b *Backends) Close() error {
	var failed []error
	for _, s := range b.servers {
		failed = append(failed, s.Close())
	}
	return errors.Join(failed...)
}
