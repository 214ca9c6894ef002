package e2e

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// gated is a web server that lets requests wait until its gate opens, and knows how many it has had at once.
type gated struct {
	addr string
	gate chan struct{} // closed = open

	mu   sync.Mutex
	now  int
	most int
	all  int
}

// newGated starts one, with the gate shut.
func newGated(t *testing.T) *gated {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	g := &gated{addr: ln.Addr().String(), gate: make(chan struct{})}
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			g.count(1)
			go g.serve(c)
		}
	}()
	return g
}

func (g *gated) count(n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.now += n
	g.most = max(g.most, g.now)
	g.all += max(n, 0)
}

func (g *gated) counts() (now, most, all int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.now, g.most, g.all
}

// serve answers one request. The connection counts until its end, which weir sees later.
func (g *gated) serve(c net.Conn) {
	defer func() { _ = c.Close() }()
	defer g.count(-1)
	if _, err := http.ReadRequest(bufio.NewReader(c)); err != nil {
		return
	}
	<-g.gate
	_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nserve")
}

// get makes a connection with one request, and says whether it was served.
func get(at string) bool {
	client := http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Get("http://" + at + "/")
	if err != nil {
		return false
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(answer.Body)
	return err == nil && string(body) == "serve"
}

// crowd is clients that come at once.
type crowd struct {
	all    sync.WaitGroup
	mu     sync.Mutex
	served int
	failed int
}

func newCrowd(at string, n int) *crowd {
	c := new(crowd)
	for range n {
		c.all.Go(func() {
			ok := get(at)
			c.mu.Lock()
			defer c.mu.Unlock()
			if ok {
				c.served++
			} else {
				c.failed++
			}
		})
	}
	return c
}

// limited is a cluster of these servers, with five places each, and these limits.
func limited(limits string, servers ...*gated) string {
	config := simple()
	config = strings.Replace(config, "endpoints = []\n", "policy = \"least_connections\"\n", 1)
	for _, s := range servers {
		config += fmt.Sprintf("[[clusters.out.endpoints]]\naddress = %q\nmax_connections = 5\n", s.addr)
	}
	return config + "[clusters.out.limits]\n" + limits + "\n"
}

// Fifty clients come at once, for two servers of five places. No server ever has more, whoever waits gets a place, and who may not wait hears so.
func TestPlaces(t *testing.T) {
	const clients, places = 50, 10
	for _, c := range []struct {
		name    string
		limits  string
		served  int
		pending int            // wait while the gate is shut, after the others were refused
		closed  map[string]int // reasons, of those that are refused
	}{
		{"no queue", "", places, 0, map[string]int{"endpoints_full": 40}},
		{"queue", "max_pending = 50\npending_timeout = \"10m\"", clients, 40, nil},
		{"short queue", "max_pending = 15\npending_timeout = \"10m\"", 25, 15, map[string]int{"pending_full": 25}},
		{"no patience", "max_pending = 50\npending_timeout = \"100ms\"", places, 0, map[string]int{"pending_timeout": 40}},
		{"cluster", "max_connections = 7", 7, 0, map[string]int{"cluster_full": 43}},
		{"cluster and queue", "max_connections = 7\nmax_pending = 20\npending_timeout = \"10m\"", 27, 20, map[string]int{"pending_full": 23}},
	} {
		t.Run(c.name, func(t *testing.T) {
			servers := []*gated{newGated(t), newGated(t)}
			w := weir(t, limited(c.limits, servers...))
			all := newCrowd(w.at(), clients)
			eventually(t, "all have a place, wait or are refused", func() bool {
				s, l := w.cluster("out"), w.stats().listener(t, "in")
				there := 0
				for _, g := range servers {
					now, _, _ := g.counts()
					there += now
				}
				refused := 0
				for _, n := range l.Closed {
					refused += n
				}
				return refused == clients-c.served && s.Limits.Pending == c.pending && s.Limits.Connections == there && there+c.pending+refused == clients
			})
			for _, g := range servers {
				close(g.gate)
			}
			all.all.Wait()
			if all.served != c.served || all.failed != clients-c.served {
				t.Errorf("%d served and %d not, want %d and %d", all.served, all.failed, c.served, clients-c.served)
			}
			for _, g := range servers {
				if _, most, n := g.counts(); most > 5 || n == 0 {
					t.Errorf("a server of five places had %d connections at once, of %d", most, n)
				}
			}
			reasons := []string{"downstream_closed", "upstream_closed"}
			for reason := range c.closed {
				reasons = append(reasons, reason)
			}
			l := w.settled(reasons...)
			for reason, n := range c.closed {
				if l.Closed[reason] != n {
					t.Errorf("%d ended with %s, want %d", l.Closed[reason], reason, n)
				}
			}
			if s := w.cluster("out"); s.Limits.Connections != 0 || s.Limits.Pending != 0 {
				t.Errorf("places are left taken: %+v", s.Limits)
			}
		})
	}
}

// ab at a concurrency of 50 has all its answers, though there are ten places.
func TestQueueUnderLoad(t *testing.T) {
	need(t, "ab")
	servers := []*gated{newGated(t), newGated(t)}
	for _, g := range servers {
		close(g.gate)
	}
	w := weir(t, limited("max_pending = 50\npending_timeout = \"10m\"", servers...))
	const requests = 3000
	said := run(t, command(t, need(t, "ab"), "-q", "-c", "50", "-n", fmt.Sprint(requests), "http://"+w.at()+"/"))
	for _, want := range []string{fmt.Sprintf("Complete requests:      %d\n", requests), "Failed requests:        0\n"} {
		if !strings.Contains(said, want) {
			t.Errorf("ab does not say %q:\n%s", want, said)
		}
	}
	for _, g := range servers {
		if _, most, all := g.counts(); most > 5 || all < requests/4 {
			t.Errorf("a server had %d connections at once, %d in all", most, all)
		}
	}
	s := w.cluster("out")
	t.Logf("%d of %d connections waited", s.Waited, requests)
	if s.Waited == 0 {
		t.Error("nobody waited for a place")
	}
	w.settled("downstream_closed", "upstream_closed")
}

// Who waits gets a place as soon as a change of the configuration makes room.
func TestMoreRoom(t *testing.T) {
	one, other := newGated(t), newGated(t)
	const limits = "max_pending = 50\npending_timeout = \"10m\""
	w := weir(t, limited(limits, one))
	all := newCrowd(w.at(), 12)
	eventually(t, "seven wait", func() bool { return w.cluster("out").Limits.Pending == 7 })
	w.reload(limited(limits, one, other))
	eventually(t, "two wait", func() bool {
		now, _, _ := other.counts()
		return w.cluster("out").Limits.Pending == 2 && now == 5
	})
	w.reload(strings.ReplaceAll(limited(limits, one, other), "max_connections = 5", "max_connections = 6"))
	eventually(t, "nobody waits", func() bool { return w.cluster("out").Limits.Pending == 0 })
	close(one.gate)
	close(other.gate)
	all.all.Wait()
	if all.failed > 0 {
		t.Errorf("%d were not served", all.failed)
	}
	w.settled("downstream_closed", "upstream_closed")
}

// deaf is an address where connections don't come about, and nobody says so: the queue of its socket is full.
func deaf(t *testing.T) string {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := unix.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	addr := fmt.Sprintf("127.0.0.1:%d", name.(*unix.SockaddrInet4).Port)
	for range 16 {
		c, err := net.DialTimeout("tcp", addr, 50*time.Millisecond)
		if err != nil {
			if os.IsTimeout(err) {
				return addr
			}
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
	}
	t.Fatal("the queue is never full")
	return ""
}

// Ten clients, and three servers that don't answer: a budget lets three try again, and the others hear soon that it is of no use. One of two that
// answers gets all of them, without a budget.
func TestRetries(t *testing.T) {
	const clients = 10
	silent := []string{deaf(t), deaf(t), deaf(t)}
	t.Run("budget", func(t *testing.T) {
		for _, limit := range []string{"retry_budget = 0.1", "max_retries = 3"} {
			w := weir(t, simple(silent...)+"connect_timeout = \"500ms\"\nconnect_attempts = 2\nlimits = { "+limit+" }\n")
			all, most := newCrowd(w.at(), clients), 0
			done := make(chan struct{})
			go func() { all.all.Wait(); close(done) }()
			eventually(t, "all are refused", func() bool {
				most = max(most, w.cluster("out").Limits.Retrying)
				select {
				case <-done:
					return true
				default:
					return false
				}
			})
			l := w.settled("connect_timeout", "retry_limit")
			t.Logf("%s: %v, at most %d at once tried again", limit, l.Closed["retry_limit"], most)
			if all.served != 0 || most > 3 || l.Closed["retry_limit"] == 0 || l.Closed["connect_timeout"] < 3 {
				t.Errorf("%s: %d at once tried again, want 3 at most; ends %v", limit, most, l.Closed)
			}
		}
	})
	t.Run("served", func(t *testing.T) {
		g := newGated(t)
		close(g.gate)
		w := weir(t, simple(silent[0], silent[1], g.addr)+"connect_timeout = \"300ms\"\n")
		all := newCrowd(w.at(), clients)
		all.all.Wait()
		if s := w.cluster("out"); all.failed > 0 || s.Retries == 0 {
			t.Errorf("%d were not served; %d attempts after the first", all.failed, s.Retries)
		}
		w.settled("downstream_closed", "upstream_closed")
	})
}
