package probe

import (
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/protobuf/proto"
)

// serveGRPC serves with gRPC's own server and health service: "" and "up" are well, "down" is not. nil = plain.
func serveGRPC(t testing.TB, config *tls.Config) netip.AddrPort {
	t.Helper()
	var options []grpc.ServerOption
	if config != nil {
		options = append(options, grpc.Creds(credentials.NewTLS(config)))
	}
	s := grpc.NewServer(options...)
	h := health.NewServer()
	h.SetServingStatus("up", healthpb.HealthCheckResponse_SERVING)
	h.SetServingStatus("down", healthpb.HealthCheckResponse_NOT_SERVING)
	h.SetServingStatus("odd", healthpb.HealthCheckResponse_UNKNOWN)
	h.SetServingStatus("new", 7)
	healthpb.RegisterHealthServer(s, h)
	return serveOn(t, s)
}

func serveOn(t testing.TB, s *grpc.Server) netip.AddrPort {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = s.Serve(ln) }()
	t.Cleanup(s.Stop)
	return addrOf(ln.Addr())
}

func TestGRPC(t *testing.T) {
	ca := newAuthority(t)
	client := &tls.Config{RootCAs: ca.pool}
	plain, secret := serveGRPC(t, nil), serveGRPC(t, ca.server(t))
	tests := []struct{ service, want string }{
		{"", ""},
		{"up", ""},
		{"down", "grpc: not serving"},
		{"odd", "grpc: unknown whether serving"},
		{"new", "grpc: serving status 7"},
		{"nobody knows", "grpc status 5 (not found)"},
	}
	for _, tt := range tests {
		t.Run(tt.service, func(t *testing.T) {
			want(t, run(t, mustNew(t, Options{Type: GRPC, Service: tt.service}), plain), tt.want)
			want(t, run(t, mustNew(t, Options{Type: GRPC, Service: tt.service, TLS: client}), secret), tt.want)
		})
	}
	want(t, run(t, mustNew(t, Options{Type: GRPC, TLS: client, Host: "a.example:443"}), secret), "")
	want(t, run(t, mustNew(t, Options{Type: GRPC, TLS: client, Host: "b.example"}), secret), `TLS: certificate is not for "b.example"`)
	want(t, run(t, mustNew(t, Options{Type: GRPC}), serveOn(t, grpc.NewServer())), "grpc status 12 (unimplemented)")
	want(t, run(t, mustNew(t, Options{Type: GRPC}), nobody(t)), "connection refused")
	want(t, run(t, mustNew(t, Options{Type: GRPC, TLS: client}), plain), "TLS: the endpoint doesn't speak it")
}

// Endpoints that don't speak gRPC, or HTTP/2, or not to the end.
func TestGRPCOfOthers(t *testing.T) {
	serving := grpcFrame([]byte{8, 1})
	answers := func(header http.Header, status int, body []byte, trailer string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			for k, v := range header {
				w.Header()[k] = v
			}
			w.WriteHeader(status)
			_, _ = w.Write(body)
			if trailer != "" {
				w.Header().Set(http.TrailerPrefix+"Grpc-Status", trailer)
			}
		}
	}
	kind := http.Header{"Content-Type": {"application/grpc+proto"}}
	tests := []struct {
		name   string
		handle http.HandlerFunc
		want   string
	}{
		{"well", answers(kind, 200, serving, "0"), ""},
		{"nothing but headers", answers(http.Header{"Content-Type": {"application/grpc"}, "Grpc-Status": {"14"}}, 200, nil, ""), "grpc status 14 (unavailable)"},
		{"an unknown status", answers(kind, 200, nil, "99"), "grpc status 99"},
		{"no number", answers(kind, 200, nil, "ok"), `grpc status "ok"`},
		{"no status", answers(kind, 200, serving, ""), "grpc: no status in the answer"},
		{"no message", answers(kind, 200, nil, "0"), "grpc: no message in the answer"},
		{"two messages", answers(kind, 200, append(serving, serving...), "0"), "grpc: more than one message in the answer"},
		{"half a message", answers(kind, 200, serving[:6], "0"), "grpc: the answer's message is cut short"},
		{"compressed", answers(kind, 200, []byte{1, 0, 0, 0, 0}, "0"), "grpc: the answer is compressed"},
		{"malformed", answers(kind, 200, grpcFrame([]byte{8}), "0"), "grpc: the answer's message is malformed"},
		{"a web server", answers(http.Header{"Content-Type": {"text/html"}}, 200, []byte("<html>"), ""), `the answer is not gRPC, but of type "text/html"`},
		{"a proxy without an endpoint", answers(nil, 503, nil, ""), "status 503"},
		{"endless", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/grpc")
			for {
				if _, err := w.Write(make([]byte, 1024)); err != nil {
					return
				}
			}
		}, "grpc: answer larger than 64 KiB"},
		{"reset", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "HTTP/2: the endpoint reset the stream"},
		{"a huge header", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X", strings.Repeat("x", 2*mostRead))
		}, "headers malformed or larger than 64 KiB"},
		{"many headers", func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["X"] = slices.Repeat([]string{strings.Repeat("x", 1000)}, 100)
		}, "headers larger than 64 KiB"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			want(t, run(t, mustNew(t, Options{Type: GRPC}), serveHTTP(t, tt.handle)), tt.want)
		})
	}
}

func TestGRPCWithoutHTTP2(t *testing.T) {
	want(t, run(t, mustNew(t, Options{Type: GRPC}), serve(t, says("HTTP/1.1 400 Bad Request\r\n\r\n"))), "the answer is not HTTP/2")
	want(t, run(t, mustNew(t, Options{Type: GRPC}), serve(t, endless("220 mail.example ESMTP\r\n"))), "the answer is not HTTP/2")
	want(t, run(t, mustNew(t, Options{Type: GRPC, Timeout: 20 * time.Millisecond}), serve(t, silent)), "timeout in 20ms waiting for an answer")
	want(t, run(t, mustNew(t, Options{Type: GRPC, Timeout: 20 * time.Millisecond}), blackhole(t)), "timeout in 20ms waiting for a connection")
	ca := newAuthority(t)
	web := ca.server(t)
	web.NextProtos = []string{"http/1.1"}
	client := &tls.Config{RootCAs: ca.pool}
	want(t, run(t, mustNew(t, Options{Type: GRPC, TLS: client}), serve(t, encrypted(web, silent))), "TLS: the endpoint says no application protocol")
	want(t, run(t, mustNew(t, Options{Type: GRPC, TLS: client}), serve(t, encrypted(ca.server(t), silent))), "TLS: the endpoint doesn't speak HTTP/2")
	// Whoever closes at once is seen at one of several points.
	closed := mustNew(t, Options{Type: GRPC})
	at := serve(t, func(c net.Conn) { _, _ = io.ReadFull(c, make([]byte, 24)) })
	for range 50 {
		if got := run(t, closed, at); got != "closed without an answer" && got != "connection reset" {
			t.Fatal(got)
		}
	}
}

// The two messages are what gRPC's own code makes of them.
func TestGRPCMessages(t *testing.T) {
	for _, service := range []string{"", "a", "weir.Übung"} {
		want, err := proto.Marshal(&healthpb.HealthCheckRequest{Service: service})
		if err != nil {
			t.Fatal(err)
		}
		if got := grpcRequest(service); !bytes.Equal(got, want) {
			t.Errorf("%q: %x, not %x", service, got, want)
		}
	}
}

// Whatever an endpoint answers, it is well only if gRPC's own code says so too.
func FuzzGRPCAnswer(f *testing.F) {
	f.Add("0", grpcFrame([]byte{8, 1}))
	f.Add("0", grpcFrame([]byte{8, 2}))
	f.Add("0", grpcFrame([]byte{8, 2, 8, 1}))
	f.Add("0", grpcFrame([]byte{18, 1, 'x', 8, 1}))
	f.Add("0", grpcFrame([]byte{8, 0x81, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 1}))
	f.Add("0", grpcFrame(nil))
	f.Add("0", []byte{0, 0xff, 0xff, 0xff, 0xff, 8, 1})
	f.Add("14", []byte{})
	f.Add("-1", []byte{1})
	f.Fuzz(func(t *testing.T, status string, body []byte) {
		err := grpcVerdict(status, body)
		if err != nil {
			if err.Error() == "" || len(err.Error()) > 4*mostQuoted+100 {
				t.Fatalf("says %q", err)
			}
			return
		}
		var answer healthpb.HealthCheckResponse
		if err := proto.Unmarshal(body[5:], &answer); err != nil {
			t.Fatalf("well, but %v", err)
		}
		if answer.GetStatus() != healthpb.HealthCheckResponse_SERVING {
			t.Fatalf("well, but %v", answer.GetStatus())
		}
	})
}
