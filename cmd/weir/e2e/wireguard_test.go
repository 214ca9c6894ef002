package e2e

import (
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"regexp"
	"testing"
	"time"

	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/tun/netstack"
)

// wgDevice is a WireGuard device with a network stack of its own, both in this process.
type wgDevice struct {
	t   *testing.T
	dev *device.Device
	net *netstack.Net
}

// newWGDevice makes a device with this address in the tunnel. It takes a UDP port of every address that the machine has; nobody but
// its peer gets an answer there.
func newWGDevice(t *testing.T, addr string, key *ecdh.PrivateKey, peer string) *wgDevice {
	t.Helper()
	tun, stack, err := netstack.CreateNetTUN([]netip.Addr{netip.MustParseAddr(addr)}, nil, 1420)
	if err != nil {
		t.Fatal(err)
	}
	said := new(output)
	log := &device.Logger{Verbosef: device.DiscardLogf, Errorf: func(format string, args ...any) { fmt.Fprintf(said, format+"\n", args...) }}
	d := &wgDevice{t, device.NewDevice(tun, conn.NewDefaultBind(), log), stack}
	t.Cleanup(func() {
		d.dev.Close()
		if t.Failed() {
			t.Logf("WireGuard at %s said:\n%s", addr, said.tail())
		}
	})
	if err := d.dev.IpcSet(fmt.Sprintf("private_key=%s\n%s", hex.EncodeToString(key.Bytes()), peer)); err != nil {
		t.Fatal(err)
	}
	if err := d.dev.Up(); err != nil {
		t.Fatal(err)
	}
	return d
}

// says returns what the device says of a key.
func (d *wgDevice) says(key string) string {
	d.t.Helper()
	all, err := d.dev.IpcGet()
	if err != nil {
		d.t.Fatal(err)
	}
	found := regexp.MustCompile(`(?m)^` + key + `=(.*)$`).FindStringSubmatch(all)
	if found == nil {
		d.t.Fatalf("the device says nothing of %s", key)
	}
	return found[1]
}

// A download over HTTP through a tunnel. The client takes weir for its peer.
func TestWireGuard(t *testing.T) {
	var keys [2]*ecdh.PrivateKey
	for i := range keys {
		var err error
		if keys[i], err = ecdh.X25519().GenerateKey(rand.Reader); err != nil {
			t.Fatal(err)
		}
	}
	public := func(i int) string { return hex.EncodeToString(keys[i].PublicKey().Bytes()) }
	server := newWGDevice(t, "10.9.0.1", keys[0], fmt.Sprintf("public_key=%s\nallowed_ip=10.9.0.2/32\n", public(1)))
	w := weir(t, datagrams("", "127.0.0.1:"+server.says("listen_port")))
	client := newWGDevice(t, "10.9.0.2", keys[1], fmt.Sprintf("public_key=%s\nallowed_ip=10.9.0.1/32\nendpoint=%s\n", public(0), w.at()))

	const size = 4 << 20
	ln, err := server.net.ListenTCP(&net.TCPAddr{Port: 80})
	if err != nil {
		t.Fatal(err)
	}
	web := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.Copy(w, noise(size)) })}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = web.Serve(ln)
	}()
	t.Cleanup(func() {
		_ = web.Close()
		<-done
	})
	transport := &http.Transport{DialContext: client.net.DialContext}
	defer transport.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://10.9.0.1/", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	answer, err := transport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	h := sha256.New()
	n, err := io.Copy(h, answer.Body)
	took := time.Since(start)
	if got := hex.EncodeToString(h.Sum(nil)); err != nil || n != size || got != noiseHash(t, size) {
		t.Errorf("%d bytes with hash %s, %v", n, got, err)
	}
	l := w.lossless(probing)
	t.Logf("%d bytes at %.0f Mbit/s; %d flow, %+v, %d lost", n, float64(n)*8/took.Seconds()/1e6, l.Connections.Total, l.Datagrams, l.Dropped[probing])
	if l.Connections.Total != 1 {
		t.Errorf("%d flows of one tunnel", l.Connections.Total)
	}
}
