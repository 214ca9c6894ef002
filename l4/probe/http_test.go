package probe

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// serveHTTP serves HTTP/1.1, and HTTP/2 to those who know.
func serveHTTP(t testing.TB, handle http.HandlerFunc) netip.AddrPort {
	t.Helper()
	s := httptest.NewUnstartedServer(handle)
	s.Config.Protocols = new(http.Protocols)
	s.Config.Protocols.SetHTTP1(true)
	s.Config.Protocols.SetUnencryptedHTTP2(true)
	s.Start()
	t.Cleanup(s.Close)
	return addrOf(s.Listener.Addr())
}

func TestHTTP(t *testing.T) {
	answers := func(status int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		}
	}
	tests := []struct {
		name    string
		options Options
		handle  http.HandlerFunc
		want    string
	}{
		{name: "well", handle: answers(200, "ok")},
		{name: "no content", handle: answers(204, "")},
		{name: "unavailable", handle: answers(503, ""), want: "status 503"},
		{name: "range", options: Options{Status: []StatusRange{{200, 299}, {401, 401}}}, handle: answers(401, "")},
		{name: "out of range", options: Options{Status: []StatusRange{{201, 299}, {401, 401}}}, handle: answers(200, ""), want: "status 200"},
		{name: "body", options: Options{ExpectBody: "ok"}, handle: answers(200, "ok\n")},
		{name: "expression", options: Options{ExpectBody: `~"status": *"(ok|warn)"`}, handle: answers(200, `{"status": "warn"}`)},
		{name: "wrong body", options: Options{ExpectBody: "ok"}, handle: answers(200, "starting"), want: `body "starting" instead of "ok"`},
		{name: "short body", options: Options{ExpectBody: "ok"}, handle: answers(200, "o"), want: `body "o" instead of "ok"`},
		{name: "no body", options: Options{ExpectBody: "ok"}, handle: answers(200, ""), want: `body "" instead of "ok"`},
		{name: "no match", options: Options{ExpectBody: "~^ok$"}, handle: answers(200, "starting"), want: `body "starting" instead of "~^ok$"`},
		{name: "the status goes first", options: Options{ExpectBody: "ok"}, handle: answers(500, "ok"), want: "status 500"},
		{name: "a body that matches late", options: Options{ExpectBody: "~end"}, handle: answers(200, strings.Repeat("x", 50_000)+"end")},
		{
			name: "a body that matches too late", options: Options{ExpectBody: "~end"}, handle: answers(200, strings.Repeat("x", mostRead)+"end"),
			want: `body "` + strings.Repeat("x", 64) + `"... instead of "~end"`,
		},
		{name: "redirect", handle: func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/" {
				t.Errorf("went on to %s", r.URL)
			}
			http.Redirect(w, r, "/elsewhere", http.StatusFound)
		}, want: "status 302"},
		{name: "request", options: Options{Method: http.MethodOptions, Host: "a.example:81", Path: "/a%2Fb%20c?d=e&f"}, handle: func(w http.ResponseWriter, r *http.Request) {
			if r.Method != http.MethodOptions || r.Host != "a.example:81" || r.RequestURI != "/a%2Fb%20c?d=e&f" || r.UserAgent() != "weir" || r.ContentLength > 0 {
				t.Errorf("asked %s %s of %s as %s", r.Method, r.RequestURI, r.Host, r.UserAgent())
			}
		}},
		{name: "request by default", handle: func(w http.ResponseWriter, r *http.Request) {
			local := r.Context().Value(http.LocalAddrContextKey).(net.Addr).String()
			if r.Method != http.MethodGet || r.Host != local || r.RequestURI != "/" || !r.Close || r.Header.Get("Accept-Encoding") != "" {
				t.Errorf("asked %s %s of %s, %v", r.Method, r.RequestURI, r.Host, r.Header)
			}
		}},
		{name: "head", options: Options{Method: "HEAD"}, handle: answers(200, "ok")},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.options.Type = HTTP
			want(t, run(t, mustNew(t, tt.options), serveHTTP(t, tt.handle)), tt.want)
		})
	}
}

// What no HTTP server of Go would answer.
func TestHTTPOfOthers(t *testing.T) {
	// closes ends after the request, so that the end is no reset.
	closes := func(text string) func(net.Conn) {
		return func(c net.Conn) {
			_, _ = c.Read(make([]byte, 4096))
			_, _ = io.WriteString(c, text)
		}
	}
	soon := 50 * time.Millisecond
	tests := []struct {
		name    string
		options Options
		handle  func(net.Conn)
		want    string
	}{
		{name: "1.0", options: Options{ExpectBody: "ok"}, handle: closes("HTTP/1.0 200 OK\r\n\r\nok")},
		{name: "the body is not waited for", handle: says("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")},
		{name: "nor is its end", options: Options{ExpectBody: "ok"}, handle: says("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nok")},
		{name: "nor that of an endless one", options: Options{ExpectBody: "HTTP"}, handle: endless("HTTP/1.1 200 OK\r\n\r\n")},
		{name: "chunks in crumbs", options: Options{ExpectBody: "ok"}, handle: dribbles("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\n\r\n")},
		{name: "interim", handle: says("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n")},
		{name: "interim for ever", handle: endless("HTTP/1.1 100 Continue\r\n\r\n"), want: "headers larger than 64 KiB"},
		{name: "another protocol", handle: says("HTTP/1.1 101 Switching Protocols\r\n\r\n"), want: "status 101"},
		{name: "endless headers", handle: func(c net.Conn) {
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n")
			endless("X-More: and more\r\n")(c)
		}, want: "headers larger than 64 KiB"},
		{name: "an endless line", handle: endless("x"), want: "headers larger than 64 KiB"},
		{name: "not HTTP", handle: says("220 mail.example ESMTP\r\n"), want: "the answer is not HTTP"},
		{name: "not a header", handle: says("HTTP/1.1 200 OK\r\nno colon\r\n\r\n"), want: "the answer is not HTTP"},
		{name: "not a length", handle: says("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n"), want: "the answer is not HTTP"},
		{name: "closed", handle: closes(""), want: "closed without an answer"},
		{name: "closed within the headers", handle: closes("HTTP/1.1 200 OK\r\nX:"), want: "closed without an answer"},
		{
			name: "closed within the body", options: Options{ExpectBody: "okay"}, handle: closes("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nok"),
			want: `closed within the body, after "ok"`,
		},
		{name: "reset", handle: resets, want: "connection reset"},
		{name: "silence", options: Options{Timeout: soon}, handle: silent, want: "timeout in 50ms waiting for an answer"},
		{name: "silence after the headers", options: Options{Timeout: soon, ExpectBody: "ok"}, handle: says("HTTP/1.1 200 OK\r\n\r\n"), want: "timeout in 50ms waiting for an answer"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.options.Type = HTTP
			want(t, run(t, mustNew(t, tt.options), serve(t, tt.handle)), tt.want)
		})
	}
	want(t, run(t, mustNew(t, Options{Type: HTTP}), nobody(t)), "connection refused")
	want(t, run(t, mustNew(t, Options{Type: HTTP, Timeout: soon}), blackhole(t)), "timeout in 50ms waiting for a connection")
}

func TestHTTPS(t *testing.T) {
	ca := newAuthority(t)
	var proto, host, name string
	serveTLS := func(http2 bool) netip.AddrPort {
		s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			proto, host, name = r.Proto, r.Host, r.TLS.ServerName
			if r.URL.Path == "/down" {
				w.WriteHeader(http.StatusServiceUnavailable)
			}
			_, _ = io.WriteString(w, "ok")
		}))
		s.TLS, s.EnableHTTP2 = ca.server(t), http2
		s.StartTLS()
		t.Cleanup(s.Close)
		return addrOf(s.Listener.Addr())
	}
	client := &tls.Config{RootCAs: ca.pool}
	for _, http2 := range []bool{false, true} {
		at := serveTLS(http2)
		version := map[bool]string{false: "HTTP/1.1", true: "HTTP/2.0"}[http2]
		want(t, run(t, mustNew(t, Options{Type: HTTP, TLS: client, ExpectBody: "ok"}), at), "")
		want(t, proto+" "+host+" "+name, version+" "+at.String()+" ")
		want(t, run(t, mustNew(t, Options{Type: HTTP, TLS: client, Host: "a.example:8443"}), at), "")
		want(t, proto+" "+host+" "+name, version+" a.example:8443 a.example")
		named := &tls.Config{RootCAs: ca.pool, ServerName: "a.example"}
		want(t, run(t, mustNew(t, Options{Type: HTTP, TLS: named, Host: "b.example"}), at), "")
		want(t, proto+" "+host+" "+name, version+" b.example a.example")
		want(t, run(t, mustNew(t, Options{Type: HTTP, TLS: named}), at), "")
		want(t, proto+" "+host+" "+name, version+" a.example a.example")
		want(t, run(t, mustNew(t, Options{Type: HTTP, TLS: client, Path: "/down"}), at), "status 503")
		want(t, run(t, mustNew(t, Options{Type: HTTP, TLS: client, ExpectBody: "no"}), at), `body "ok" instead of "no"`)
		want(t, run(t, mustNew(t, Options{Type: HTTP, TLS: client, Host: "b.example"}), at), `TLS: certificate is not for "b.example"`)
	}
}
