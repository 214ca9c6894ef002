package probe_test

import (
	"fmt"
	"io"
	"log"
	"net"
	"net/netip"
	"time"

	"weir/l4/probe"
)

// A runner that checks one endpoint, which greets who connects.
func Example() {
	endpoint, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer endpoint.Close()
	go func() {
		for {
			conn, err := endpoint.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(conn, "220 mail.example ESMTP\r\n")
			_ = conn.Close()
		}
	}()

	check, err := probe.New(probe.Options{Type: probe.TCP, Timeout: 10 * time.Second, Expect: "220 "})
	if err != nil {
		log.Fatal(err)
	}
	runner := probe.NewRunner(probe.RunnerOptions{})
	defer runner.Close()
	results := make(chan error, 1)
	runner.Add(&probe.Target{
		Check:   check,
		Address: netip.MustParseAddrPort(endpoint.Addr().String()),
		Report: func(err error, _ time.Duration) time.Duration {
			results <- err
			return time.Hour
		},
	}, 0)
	fmt.Println(<-results)
	// Output: <nil>
}
