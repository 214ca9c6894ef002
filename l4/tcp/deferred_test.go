package tcp

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"testing"
)

// pause holds the only loop of the rig until resume is called, so that all that is sent meanwhile comes in one batch: loopback
// delivers within the sender's call.
func (r *rig) pause() (resume func()) {
	r.t.Helper()
	gate, held := make(chan struct{}), make(chan struct{})
	if err := r.loops[0].Post(func() { close(held); <-gate }); err != nil {
		r.t.Fatal(err)
	}
	<-held
	return func() { close(gate) }
}

// bothWays runs a test with the batch's writes made together, where this system allows it, and one by one.
func bothWays(t *testing.T, test func(t *testing.T, ring int)) {
	for _, ring := range []int{0, -1} {
		t.Run(fmt.Sprintf("ring=%d", ring), func(t *testing.T) { test(t, ring) })
	}
}

// More small messages in one batch than there is room to put off: all arrive, whole and in order, both ways.
func TestDeferredBatch(t *testing.T) { bothWays(t, testDeferredBatch) }

func testDeferredBatch(t *testing.T, ring int) {
	const sessions, size = 100, 3 << 10 // 300 KiB, where 128 KiB may wait
	b := newBackend(t)
	r := newRig(t, rigOptions{ring: ring}, b.addr)
	var clients, servers [sessions]*net.TCPConn
	for i := range sessions {
		clients[i], servers[i] = r.pair(b)
	}
	for round := range 3 {
		resume := r.pause()
		for i := range sessions {
			mustWrite(t, clients[i], string(bytes.Repeat([]byte{byte(i + round)}, size)))
			mustWrite(t, servers[i], string(bytes.Repeat([]byte{byte(i + round + 100)}, size)))
		}
		resume()
		for i := range sessions {
			mustRead(t, servers[i], string(bytes.Repeat([]byte{byte(i + round)}, size)))
			mustRead(t, clients[i], string(bytes.Repeat([]byte{byte(i + round + 100)}, size)))
		}
	}
	p := r.proxies[0]
	if err := r.loops[0].Do(func() {
		if len(p.deferred) != 0 || len(p.room) != 0 {
			t.Errorf("%d reads, %d bytes left behind", len(p.deferred), len(p.room))
		}
	}); err != nil {
		t.Fatal(err)
	}
}

// What was put off when its sender is found reset, or its receiver, in the same batch.
func TestDeferredMeetsReset(t *testing.T) { bothWays(t, testDeferredMeetsReset) }

func testDeferredMeetsReset(t *testing.T, ring int) {
	for _, resetter := range []string{"sender", "receiver"} {
		t.Run(resetter, func(t *testing.T) {
			b := newBackend(t)
			r := newRig(t, rigOptions{ring: ring}, b.addr)
			client, server := r.pair(b)
			bystander, its := r.pair(b)
			resume := r.pause()
			mustWrite(t, client, "last words")
			mustWrite(t, bystander, "hello")
			who, other := client, server
			if resetter == "receiver" {
				who, other = server, client
			}
			reset(t, who)
			resume()
			got, err := io.ReadAll(other)
			if err == nil {
				t.Errorf("read %q and a clean end, want a reset", got)
			}
			if len(got) > 0 && string(got) != "last words" {
				t.Errorf("read %q", got)
			}
			mustRead(t, its, "hello")
			r.eventually("the session's end", func() bool { return r.listener.Loops[0].Active.Load() == 1 })
		})
	}
}

// A message and the FIN behind it, announced as two events of one batch or one, come in this order.
func TestDeferredBeforeFIN(t *testing.T) { bothWays(t, testDeferredBeforeFIN) }

func testDeferredBeforeFIN(t *testing.T, ring int) {
	b := newBackend(t)
	r := newRig(t, rigOptions{ring: ring}, b.addr)
	for range 50 {
		client, server := r.pair(b)
		resume := r.pause()
		mustWrite(t, client, "question")
		mustWrite(t, server, "answer before it")
		resume()
		if err := client.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(server); err != nil || string(got) != "question" {
			t.Fatalf("read %q, %v", got, err)
		}
		_ = server.Close()
		if got, err := io.ReadAll(client); err != nil || string(got) != "answer before it" {
			t.Fatalf("read %q, %v", got, err)
		}
		_ = client.Close()
	}
}
