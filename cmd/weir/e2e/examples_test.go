package e2e

import (
	"fmt"
	"io"
	"net"
	"path/filepath"
	"testing"
	"time"

	"weir/cmd/weir/internal/echotest"
	"weir/config"
)

// Every example runs as it stands, but for its addresses, and takes a byte from a client to an endpoint and back.
func TestExamples(t *testing.T) {
	files, err := filepath.Glob("../../../examples/*.toml")
	if err != nil || len(files) == 0 {
		t.Fatalf("examples: %v, %v", files, err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			snapshot, err := config.Load(file)
			if err != nil {
				t.Fatal(err)
			}
			args := []string{"--set", "admin.listen=127.0.0.1:0"}
			for _, l := range snapshot.Listeners {
				args = append(args, "--set", fmt.Sprintf("listeners.%s.bind=127.0.0.1:0", l.Name))
			}
			for _, c := range snapshot.Clusters {
				var endpoints string
				for _, e := range c.Endpoints {
					endpoints += fmt.Sprintf("{ address = %q, weight = %d, backup = %v, max_connections = %d, state = %q },",
						echotest.Serve(t, ""), e.Weight, e.Backup, e.MaxConnections, e.State)
				}
				args = append(args, "--set", fmt.Sprintf("clusters.%s.endpoints=[%s]", c.Name, endpoints))
			}
			p := &proxy{}
			if p.file, err = filepath.Abs(file); err != nil {
				t.Fatal(err)
			}
			p.start(t, args...)
			for _, l := range snapshot.Listeners {
				there(t, p.says("msg=listening listener="+l.Name+` address=(\S+)`))
			}
		})
	}
}

// there sends something to the echo service behind an address, and gets it back.
func there(t *testing.T, addr string) {
	t.Helper()
	c, err := net.DialTimeout("tcp", addr, 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.WriteString(c, "and back"); err != nil {
		t.Fatal(err)
	}
	if err := c.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(c)
	if err != nil || string(got) != "and back" {
		t.Fatalf("%s answers %q, %v", addr, got, err)
	}
}
