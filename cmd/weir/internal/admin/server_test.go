package admin

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"weir/cmd/weir/internal/stats"
	"weir/l4"
)

// patience is how long a test waits for what has to happen.
const patience = 10 * time.Second

// serve starts a server that the test closes.
func serve(t *testing.T, o Options) *Server {
	t.Helper()
	s, err := Serve(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeServer(t, s) })
	return s
}

func closeServer(t *testing.T, s *Server) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := s.Close(ctx); err != nil {
		t.Error(err)
	}
}

// client connects to the server whatever the URL names.
func client(s *Server) *http.Client {
	return &http.Client{Timeout: patience, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, s.listener.Addr().Network(), s.listener.Addr().String())
		},
	}}
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   string
}

// ask makes a request; headers are names and values in turn, of which Host is the request's.
func ask(t *testing.T, s *Server, method, path string, headers ...string) answer {
	t.Helper()
	r, err := http.NewRequest(method, "http://127.0.0.1"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "Host" {
			r.Host = headers[i+1]
		}
		r.Header.Set(headers[i], headers[i+1])
	}
	got, err := client(s).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer got.Body.Close()
	body, err := io.ReadAll(got.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{got.StatusCode, got.Header, string(body)}
}

// running is a View with one listener.
func running() *stats.View {
	return &stats.View{Started: time.Now(), Listeners: []stats.Listener{{Name: "web", Protocol: "tcp", State: l4.NewListener("web", 1)}}}
}

func TestPages(t *testing.T) {
	s := serve(t, Options{Listen: "127.0.0.1:0", View: running, Version: "1.2.3"})
	for _, c := range []struct {
		method, path string
		status       int
		contentType  string
		body         string // in it
	}{
		{"GET", "/", 200, plainText, "/metrics"},
		{"GET", "/live", 200, plainText, "live\n"},
		{"GET", "/ready", 200, plainText, "ready\n"},
		{"GET", "/stats", 200, jsonText, `"version": "1.2.3"`},
		{"GET", "/stats?format=json", 200, jsonText, `"name": "web"`},
		{"GET", "/stats?format=text", 200, plainText, "weir 1.2.3   READY"},
		{"GET", "/stats?format=xml", 400, plainText, "use format=json or format=text\n"},
		{"GET", "/metrics", 200, stats.MetricsContentType, `weir_listener_connections{listener="web"} 0`},
		{"GET", "/metrics", 200, stats.MetricsContentType, "process_resident_memory_bytes "},
		{"GET", "/nothing", 404, plainText, "GET / lists what there is\n"},
		{"GET", "/metrics/", 404, plainText, "GET / lists"},
		{"HEAD", "/stats", 200, jsonText, ""},
		{"HEAD", "/metrics", 200, stats.MetricsContentType, ""},
		{"POST", "/stats", 405, plainText, "use GET or HEAD\n"},
		{"OPTIONS", "/live", 405, plainText, "use GET or HEAD\n"},
		{"DELETE", "/nothing", 405, plainText, "use GET or HEAD\n"},
	} {
		got := ask(t, s, c.method, c.path)
		if got.status != c.status || got.header.Get("Content-Type") != c.contentType || !strings.Contains(got.body, c.body) {
			t.Errorf("%s %s: %d %s %.200q; want %d %s %q", c.method, c.path, got.status, got.header.Get("Content-Type"), got.body, c.status, c.contentType, c.body)
		}
		if c.method == "HEAD" && got.body != "" {
			t.Errorf("HEAD %s has a body", c.path)
		}
		if c.status == 405 && got.header.Get("Allow") != "GET, HEAD" {
			t.Errorf("%s %s: Allow %q", c.method, c.path, got.header.Get("Allow"))
		}
		if got.header.Get("X-Content-Type-Options") != "nosniff" || got.header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s %s: headers %v", c.method, c.path, got.header)
		}
	}
	var report stats.Report
	if err := json.Unmarshal([]byte(ask(t, s, "GET", "/stats").body), &report); err != nil || report.Process.PID != os.Getpid() {
		t.Errorf("%v, %+v", err, report.Process)
	}
}

func TestReady(t *testing.T) {
	var view atomic.Pointer[stats.View]
	s := serve(t, Options{Listen: "[::1]:0", View: view.Load})
	for _, c := range []struct {
		view   *stats.View
		status int
		body   string
	}{
		{nil, 503, "starting\n"},
		{&stats.View{}, 200, "ready\n"},
		{&stats.View{Draining: true}, 503, "draining\n"},
	} {
		view.Store(c.view)
		if got := ask(t, s, "GET", "/ready"); got.status != c.status || got.body != c.body {
			t.Errorf("%+v: %d %q, want %d %q", c.view, got.status, got.body, c.status, c.body)
		}
		if got := ask(t, s, "GET", "/live"); got.status != 200 {
			t.Errorf("%+v: /live answers %d", c.view, got.status)
		}
	}
}

func TestHost(t *testing.T) {
	open := serve(t, Options{Listen: "127.0.0.1:0"})
	guarded := serve(t, Options{Listen: "127.0.0.1:0", TokenFile: tokenFile(t, "secret")})
	for host, allowed := range map[string]bool{
		"127.0.0.1": true, "127.0.0.1:9901": true, "[::1]:9901": true, "[::1]": true, "10.1.2.3": true,
		"localhost": true, "LocalHost:9901": true,
		"evil.example": false, "evil.example:9901": false, "127.0.0.1.evil.example": false, "localhost.evil.example": false, "localhostx": false,
	} {
		want := http.StatusMisdirectedRequest
		if allowed {
			want = http.StatusOK
		}
		if got := ask(t, open, "GET", "/stats", "Host", host); got.status != want {
			t.Errorf("Host %s: %d %q, want %d", host, got.status, got.body, want)
		}
		if got := ask(t, open, "GET", "/ready", "Host", host); got.status == http.StatusMisdirectedRequest {
			t.Errorf("Host %s: /ready answers %d", host, got.status)
		}
		if got := ask(t, guarded, "GET", "/stats", "Host", host, "Authorization", "Bearer secret"); got.status != http.StatusOK {
			t.Errorf("Host %s with the token: %d %q", host, got.status, got.body)
		}
	}
}

func TestServeErrors(t *testing.T) {
	used := serve(t, Options{Listen: "127.0.0.1:0"})
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	socket := "unix:" + filepath.Join(dir, "s")
	serve(t, Options{Listen: socket})
	for name, c := range map[string]struct {
		options Options
		want    string
	}{
		"no port":           {Options{Listen: "127.0.0.1"}, "want an IP address and port"},
		"a name":            {Options{Listen: "localhost:9901"}, "want an IP address and port"},
		"in use":            {Options{Listen: used.Addr()}, "address already in use"},
		"open to all":       {Options{Listen: "0.0.0.0:0"}, "set token_file"},
		"open to all, IPv6": {Options{Listen: "[::]:0"}, "set token_file"},
		"no token file":     {Options{Listen: "127.0.0.1:0", TokenFile: filepath.Join(dir, "none")}, "no such file"},
		"empty token":       {Options{Listen: "127.0.0.1:0", TokenFile: tokenFile(t, " \n")}, "empty: write a long random token"},
		"two words":         {Options{Listen: "127.0.0.1:0", TokenFile: tokenFile(t, "two words")}, "one word of visible ASCII"},
		"two lines":         {Options{Listen: "127.0.0.1:0", TokenFile: tokenFile(t, "two\nlines\n")}, "one word of visible ASCII"},
		"too long":          {Options{Listen: "127.0.0.1:0", TokenFile: tokenFile(t, strings.Repeat("x", maxToken+1))}, "longer than 4096 bytes"},
		"no path":           {Options{Listen: "unix:"}, "the path of a file"},
		"abstract":          {Options{Listen: "unix:@weir"}, "the path of a file"},
		"a plain file":      {Options{Listen: "unix:" + file}, "is no socket"},
		"a socket in use":   {Options{Listen: socket}, "another process answers"},
		"no directory":      {Options{Listen: "unix:" + filepath.Join(dir, "none", "s")}, "no such file"},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := Serve(c.options)
			if err == nil {
				closeServer(t, s)
				t.Fatal("no error")
			}
			if !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "admin "+c.options.Listen+": ") {
				t.Errorf("%v, want %q in it", err, c.want)
			}
		})
	}
	if text, err := os.ReadFile(file); err != nil || string(text) != "precious" {
		t.Errorf("the plain file: %q, %v", text, err)
	}
}

func TestOff(t *testing.T) {
	s := serve(t, Options{})
	if s.Addr() != "" {
		t.Errorf("Addr %q", s.Addr())
	}
	if err := s.SetTokenFile(""); err != nil {
		t.Error(err)
	}
}

// TestMove goes to another address as a reload does: the new server answers before the old one closes.
func TestMove(t *testing.T) {
	old, err := Serve(Options{Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	next := serve(t, Options{Listen: "127.0.0.1:0"})
	if a, b := ask(t, old, "GET", "/live"), ask(t, next, "GET", "/live"); a.status != 200 || b.status != 200 {
		t.Errorf("%d and %d", a.status, b.status)
	}
	closeServer(t, old)
	if conn, err := net.Dial("tcp", old.Addr()); err == nil {
		conn.Close()
		t.Error("the old address still answers")
	}
	if got := ask(t, next, "GET", "/live"); got.status != 200 {
		t.Errorf("the new address answers %d", got.status)
	}
}

// TestCloseWaits holds that a request under way gets its answer, and that Close ends with its context all the same.
func TestCloseWaits(t *testing.T) {
	for name, gentle := range map[string]bool{"finishes": true, "is cut": false} {
		t.Run(name, func(t *testing.T) {
			var gate atomic.Pointer[chan struct{}]
			entered := make(chan struct{}, 1)
			s, err := Serve(Options{Listen: "127.0.0.1:0", View: func() *stats.View {
				if g := gate.Load(); g != nil {
					entered <- struct{}{}
					<-*g
				}
				return running()
			}})
			if err != nil {
				t.Fatal(err)
			}
			g := make(chan struct{})
			gate.Store(&g)
			status := make(chan int, 1)
			go func() {
				got, err := client(s).Get("http://127.0.0.1/ready")
				if err != nil {
					status <- 0
					return
				}
				got.Body.Close()
				status <- got.StatusCode
			}()
			<-entered
			gate.Store(nil)
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			if !gentle {
				cancel()
				if err := s.Close(ctx); !errors.Is(err, context.Canceled) {
					t.Errorf("Close: %v", err)
				}
				close(g)
				if got := <-status; got != 0 {
					t.Errorf("the request was answered with %d", got)
				}
				return
			}
			closed := make(chan error, 1)
			go func() { closed <- s.Close(ctx) }()
			for dials := true; dials; { // until Close has begun
				conn, err := net.Dial("tcp", s.Addr())
				if dials = err == nil; dials {
					conn.Close()
				}
			}
			close(g)
			if got := <-status; got != 200 {
				t.Errorf("the request was answered with %d", got)
			}
			if err := <-closed; err != nil {
				t.Error(err)
			}
		})
	}
}

// TestSlowClients holds that clients which never finish their headers give way to one that does, though they hold every place and more wait.
func TestSlowClients(t *testing.T) {
	s := serve(t, Options{Listen: "127.0.0.1:0", MaxConnections: 3, HeaderTimeout: 50 * time.Millisecond})
	var slow []net.Conn
	for range 9 {
		conn, err := net.Dial("tcp", s.Addr())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := io.WriteString(conn, "GET /live HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: "); err != nil {
			t.Fatal(err)
		}
		slow = append(slow, conn)
	}
	if got := ask(t, s, "GET", "/live"); got.status != 200 {
		t.Errorf("behind slow clients: %d", got.status)
	}
	for i, conn := range slow {
		_ = conn.SetReadDeadline(time.Now().Add(patience))
		if _, err := io.Copy(io.Discard, conn); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("slow client %d was never turned away", i)
		}
	}
}

func TestLargeHeaders(t *testing.T) {
	s := serve(t, Options{Listen: "127.0.0.1:0"})
	if got := ask(t, s, "GET", "/live", "X-Large", strings.Repeat("x", 2*maxHeaderBytes)); got.status != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("%d", got.status)
	}
}

func TestBounded(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := newBounded(inner, 2)
	for range 3 {
		conn, err := net.Dial("tcp", inner.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
	}
	var got []net.Conn
	for range 2 {
		conn, err := b.Accept()
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, conn)
	}
	if len(b.places) != 2 {
		t.Fatalf("%d places taken of 2", len(b.places))
	}
	got[0].Close()
	got[0].Close() // gives one place back, not two
	if len(b.places) != 1 {
		t.Fatalf("%d places taken, want 1", len(b.places))
	}
	conn, err := b.Accept()
	if err != nil {
		t.Fatal(err)
	}
	accepted := make(chan error, 1)
	go func() {
		_, err := b.Accept()
		accepted <- err
	}()
	b.Close()
	if err := <-accepted; !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept without a place, after Close: %v", err)
	}
	conn.Close()
	got[1].Close()
}
