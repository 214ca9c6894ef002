package e2e

import (
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"testing"
	"time"

	"weir/cmd/weir/internal/echotest"
	"weir/config"
)

// Every example runs as it stands, but for its addresses, and takes something from a client to an endpoint and back.
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
			args := []string{"--set", "admin.listen=127.0.0.1:0", "--set", "process.drain_timeout=100ms"}
			for _, l := range snapshot.Listeners {
				args = append(args, "--set", fmt.Sprintf("listeners.%s.bind=127.0.0.1:0", l.Name))
			}
			web, pool := websites(t, snapshot)
			for _, c := range snapshot.Clusters {
				server := web[c.Name]
				if server == nil {
					server = func(string) string { return echoServers(t) }
				}
				var endpoints string
				for _, e := range c.Endpoints {
					endpoints += fmt.Sprintf("{ address = %q, weight = %d, backup = %v, max_connections = %d, state = %q",
						server(e.ServerID), e.Weight, e.Backup, e.MaxConnections, e.State)
					if e.ServerID != "" {
						endpoints += fmt.Sprintf(", server_id = %q", e.ServerID)
					}
					endpoints += " },"
				}
				args = append(args, "--set", fmt.Sprintf("clusters.%s.endpoints=[%s]", c.Name, endpoints))
			}
			p := &proxy{}
			if p.file, err = filepath.Abs(file); err != nil {
				t.Fatal(err)
			}
			p.start(t, args...)
			for _, l := range snapshot.Listeners {
				addr := p.says("msg=listening listener=" + l.Name + ` address=(\S+)`)
				if !l.UDP.QUIC {
					there(t, string(l.Protocol), addr)
					continue
				}
				for name, want := range asked(l) {
					if got, _ := newH3Client(t, addr, pool).fetch(name, 10_000, nil); got != want {
						t.Errorf("%s comes to %s, want %s", name, got, want)
					}
				}
			}
		})
	}
}

// asked is names to ask a QUIC listener for, and the clusters where they come to.
func asked(l config.Listener) map[string]string {
	names := map[string]string{"none.example.net": l.Cluster}
	for _, r := range l.Routes {
		for _, name := range r.SNI {
			if name[0] == '*' {
				name = "any" + name[1:]
			}
			names[name] = r.Cluster
		}
	}
	return names
}

// websites starts HTTP/3 servers for the clusters that QUIC listeners have. Each server says its cluster's name.
func websites(t *testing.T, s *config.Snapshot) (start map[string]func(id string) (addr string), pool *x509.CertPool) {
	t.Helper()
	start = map[string]func(string) string{}
	names := []string{"example.com"}
	for _, l := range s.Listeners {
		if !l.UDP.QUIC {
			continue
		}
		for name, cluster := range asked(l) {
			names = append(names, name)
			start[cluster] = nil
		}
	}
	cert, pool := certified(t, names...)
	for cluster := range start {
		start[cluster] = func(id string) string {
			b, err := hex.DecodeString(id)
			if err != nil {
				t.Fatal(err)
			}
			return serveHTTP3(t, cluster, cert, serverIDs(b)).addr
		}
	}
	return start, pool
}

// echoServers sends everything back that comes over TCP or UDP to one address.
func echoServers(t *testing.T) string {
	t.Helper()
	for range 10 {
		addr := echotest.Serve(t, "")
		c, err := net.ListenPacket("udp4", addr)
		if err != nil {
			continue // somebody else has the port
		}
		t.Cleanup(func() { _ = c.Close() })
		go func() {
			for b := make([]byte, 64<<10); ; {
				n, from, err := c.ReadFrom(b)
				if err != nil {
					return
				}
				_, _ = c.WriteTo(b[:n], from)
			}
		}()
		return addr
	}
	t.Fatal("no port is free for both TCP and UDP")
	return ""
}

// there sends something to the echo service behind an address, and gets it back.
func there(t *testing.T, network, addr string) {
	t.Helper()
	c, err := net.DialTimeout(network, addr, 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.WriteString(c, "and back"); err != nil {
		t.Fatal(err)
	}
	var got []byte
	if tcp, ok := c.(*net.TCPConn); ok {
		if err := tcp.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		got, err = io.ReadAll(c)
	} else {
		b := make([]byte, 100)
		var n int
		n, err = c.Read(b)
		got = b[:n]
	}
	if err != nil || string(got) != "and back" {
		t.Fatalf("%s %s answers %q, %v", network, addr, got, err)
	}
}
