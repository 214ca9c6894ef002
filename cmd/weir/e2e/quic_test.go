package e2e

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	crand "crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/big"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
)

// certified is a certificate for these names, which a client believes that has the pool.
func certified(t *testing.T, names ...string) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), crand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: names[0]},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
		DNSNames:     names,
	}
	der, err := x509.CreateCertificate(crand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

// h3Server is an HTTP/3 server that says its name with each answer.
type h3Server struct {
	addr     string
	requests atomic.Int64
}

// serveHTTP3 starts one. Its connection IDs are quic-go's own, unless ids makes them.
func serveHTTP3(t *testing.T, name string, cert tls.Certificate, ids quic.ConnectionIDGenerator) *h3Server {
	t.Helper()
	socket := listenUDP(t)
	s := &h3Server{addr: socket.LocalAddr().String()}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /bytes/{n}", func(w http.ResponseWriter, r *http.Request) {
		s.requests.Add(1)
		w.Header().Set("X-Server", name)
		n, err := strconv.ParseInt(r.PathValue("n"), 10, 64)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		_, _ = io.Copy(w, noise(n))
	})
	mux.HandleFunc("POST /hash", func(w http.ResponseWriter, r *http.Request) {
		s.requests.Add(1)
		w.Header().Set("X-Server", name)
		h := sha256.New()
		if _, err := io.Copy(h, r.Body); err == nil {
			_, _ = io.WriteString(w, hex.EncodeToString(h.Sum(nil)))
		}
	})
	transport := &quic.Transport{Conn: socket, ConnectionIDGenerator: ids}
	tlsConfig := http3.ConfigureTLSConfig(&tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS13})
	ln, err := transport.ListenEarly(tlsConfig, &quic.Config{})
	if err != nil {
		t.Fatal(err)
	}
	server := &http3.Server{Handler: mux}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.ServeListener(ln)
	}()
	t.Cleanup(func() {
		_ = server.Close()
		_ = ln.Close()
		<-done
		_ = transport.Close()
	})
	return s
}

// noise is n bytes that no other place of it has, the same each time.
func noise(n int64) io.Reader { return io.LimitReader(rand.NewChaCha8([32]byte{7}), n) }

func noiseHash(t *testing.T, n int64) string {
	t.Helper()
	h := sha256.New()
	if _, err := io.Copy(h, noise(n)); err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// h3Client is an HTTP/3 client, whose connections all have one socket and go to one address, whatever name they ask for.
type h3Client struct {
	t     *testing.T
	to    *net.UDPAddr
	trust *tls.Config
	quic  *quic.Transport
	http  *http3.Transport
}

func newH3Client(t *testing.T, to string, pool *x509.CertPool) *h3Client {
	t.Helper()
	addr, err := net.ResolveUDPAddr("udp4", to)
	if err != nil {
		t.Fatal(err)
	}
	c := &h3Client{
		t: t, to: addr, trust: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS13, NextProtos: []string{http3.NextProtoH3}},
		quic: &quic.Transport{Conn: listenUDP(t)},
	}
	c.http = &http3.Transport{
		TLSClientConfig: c.trust,
		// Without keepalive both sides wait when the client's port changes while it has nothing to send.
		QUICConfig: &quic.Config{MaxIdleTimeout: 10 * time.Second, KeepAlivePeriod: 100 * time.Millisecond},
		Dial: func(ctx context.Context, _ string, tc *tls.Config, qc *quic.Config) (*quic.Conn, error) {
			return c.quic.DialEarly(ctx, c.to, tc, qc)
		},
	}
	t.Cleanup(c.close)
	return c
}

func (c *h3Client) close() {
	_ = c.http.Close()
	_ = c.quic.Close()
}

// fetch gets so many bytes from a name, and calls on (if it isn't nil) with what has come. It returns which server they came from.
func (c *h3Client) fetch(name string, n int64, on func(came int64)) (server string, state *tls.ConnectionState) {
	c.t.Helper()
	server, state, err := c.get(name, n, on)
	if err != nil {
		c.t.Fatal(err)
	}
	return server, state
}

func (c *h3Client) get(name string, n int64, on func(came int64)) (server string, state *tls.ConnectionState, err error) {
	c.t.Helper()
	return getFrom(c.t, c.http, name, n, on)
}

// getFrom gets over any connection. What comes has to be what the servers send.
func getFrom(t *testing.T, over http.RoundTripper, name string, n int64, on func(came int64)) (server string, state *tls.ConnectionState, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("https://%s/bytes/%d", name, n), http.NoBody)
	if err != nil {
		return "", nil, err
	}
	answer, err := over.RoundTrip(r)
	if err != nil {
		return "", nil, err
	}
	defer func() { _ = answer.Body.Close() }()
	h, came := sha256.New(), int64(0)
	for b := make([]byte, 64<<10); ; {
		k, err := answer.Body.Read(b)
		h.Write(b[:k])
		if came += int64(k); on != nil {
			on(came)
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return "", nil, fmt.Errorf("after %d bytes: %w", came, err)
		}
	}
	if got, want := hex.EncodeToString(h.Sum(nil)), noiseHash(t, n); got != want || answer.StatusCode != http.StatusOK {
		return "", nil, fmt.Errorf("status %d, %d bytes with hash %s, want %s", answer.StatusCode, came, got, want)
	}
	return answer.Header.Get("X-Server"), answer.TLS, nil
}

// put sends so many bytes, of which all have to arrive.
func (c *h3Client) put(name string, n int64) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+name+"/hash", noise(n))
	if err != nil {
		c.t.Fatal(err)
	}
	answer, err := c.http.RoundTrip(r)
	if err != nil {
		c.t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	if got, err := io.ReadAll(answer.Body); err != nil || string(got) != noiseHash(c.t, n) {
		c.t.Errorf("%d bytes arrived with hash %s, %v", n, got, err)
	}
}

// transfer is how much the tests move where it should be much.
func transfer() int64 {
	if len(raceFlag) > 0 {
		return 10 << 20
	}
	return 100 << 20
}

// probing is a loss that congestion control asks for: it sends faster until a buffer is full.
const probing = "receive_overflow"

// A large file comes whole over HTTP/3, and goes whole.
func TestQUIC(t *testing.T) {
	cert, pool := certified(t, "a.example.com")
	server := serveHTTP3(t, "a", cert, nil)
	w := weir(t, datagrams("", server.addr))
	c := newH3Client(t, w.at(), pool)
	size := transfer()

	start := time.Now()
	c.fetch("a.example.com", size, nil)
	down := time.Since(start)
	start = time.Now()
	c.put("a.example.com", size)
	up := time.Since(start)
	l := w.lossless(probing)
	mbps := func(d time.Duration) float64 { return float64(size) * 8 / d.Seconds() / 1e6 }
	t.Logf("%d bytes: down at %.0f Mbit/s, up at %.0f Mbit/s; %d flow, %+v, %d lost",
		size, mbps(down), mbps(up), l.Connections.Total, l.Datagrams, l.Dropped[probing])
	if l.Connections.Total != 1 {
		t.Errorf("%d flows of one connection", l.Connections.Total)
	}
}

// Each name has its server, and any other the listener's own. What a client offers by itself, keys for X25519MLKEM768 among it, takes two datagrams.
func TestQUICRoutes(t *testing.T) {
	names := []string{"a.example.com", "b.example.com", "any.wild.example.com", "other.example.com"}
	cert, pool := certified(t, names...)
	servers := map[string]*h3Server{}
	for _, name := range []string{"a", "b", "wild", "rest"} {
		servers[name] = serveHTTP3(t, name, cert, nil)
	}
	config := hurried + `
[listeners.in]
bind = "127.0.0.1:0"
protocol = "udp"
cluster = "rest"
udp = { quic = true }
`
	for _, route := range [][2]string{{"a.example.com", "a"}, {"b.example.com", "b"}, {"*.wild.example.com", "wild"}} {
		config += fmt.Sprintf("[[listeners.in.routes]]\nsni = [%q]\ncluster = %q\n", route[0], route[1])
	}
	for name, s := range servers {
		config += fmt.Sprintf("[clusters.%s]\nendpoints = [%q]\n", name, s.addr)
	}
	w := weir(t, config)
	for _, curves := range [][]tls.CurveID{nil, {tls.X25519}} {
		for range 5 {
			for i, want := range []string{"a", "b", "wild", "rest"} {
				c := newH3Client(t, w.at(), pool)
				c.trust.CurvePreferences = curves
				got, state := c.fetch(names[i], 100_000, nil)
				if got != want {
					t.Errorf("%s came to the server %q, want %q", names[i], got, want)
				}
				if hybrid := state.CurveID == tls.X25519MLKEM768; hybrid != (curves == nil) {
					t.Errorf("with %v the key exchange is %v", curves, state.CurveID)
				}
				c.close()
			}
		}
	}
	l := w.lossless()
	t.Logf("%d flows, %+v", l.Connections.Total, l.Datagrams)
}
