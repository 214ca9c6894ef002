package control_test

import (
	"fmt"
	"testing"
	"time"

	"weir/l4"
)

// Fifty changes under load lose no datagram and put none out of order: not on a listener that stays as it is, and not on one whose settings, buffers,
// further addresses, cluster and name change while its first address stays. With another name it is another listener, and the flows of the old one
// drain: over a day, so that none is ended here.
func TestReloadUnderLoadLosesNoDatagram(t *testing.T) {
	a, b := serveUDP(t, ""), serveUDP(t, "")
	still, moving, extra := bothPort(t), bothPort(t), bothPort(t)
	variant := func(i int) string {
		name, more, udp := "moving", "", `receive_buffer = "1MiB"`
		if i&1 != 0 {
			more = fmt.Sprintf(", \"127.0.0.1:%d\"", extra)
		}
		if i&2 != 0 {
			udp = `receive_buffer = "512KiB", max_flows = 1000`
		}
		if i&4 != 0 {
			name = "renamed"
		}
		return fmt.Sprintf(`
process.drain_timeout = "24h"
[listeners.still]
protocol = "udp"
bind = "127.0.0.1:%d"
cluster = "one"
[listeners.%s]
protocol = "udp"
bind = ["127.0.0.1:%d"%s]
cluster = "two"
idle_timeout = "%ds"
udp = { %s }
[clusters.one]
endpoints = [%q, %q]
[clusters.two]
endpoints = [%q, { address = %q, weight = %d }]
`, still, name, moving, more, 100+i, udp, a, b, a, b, 1+i%3)
	}
	r := start(t, parse(t, "%s", variant(0)))
	loads := []*udpLoad{
		newUDPLoad(t, fmt.Sprintf("127.0.0.1:%d", still), 2),
		newUDPLoad(t, fmt.Sprintf("127.0.0.1:%d", moving), 2),
	}
	seen := map[*l4.Listener]bool{}
	for i := 1; i <= 50; i++ {
		r.apply(parse(t, "%s", variant(i)))
		for _, l := range loads {
			l.more(10)
		}
		for _, l := range r.View().Listeners {
			seen[l.State] = true
		}
	}
	for _, l := range loads {
		l.end()
	}
	for l := range seen {
		noDrops(t, l)
	}
}

// A removed listener's flows go on until they are over, new clients are turned away, and its address can be had again meanwhile.
func TestRemovedUDPListenerDrains(t *testing.T) {
	a, b := serveUDP(t, "A "), serveUDP(t, "B ")
	at := fmt.Sprintf("127.0.0.1:%d", bothPort(t))
	text := fmt.Sprintf("listeners.other = { protocol = \"udp\", bind = \"127.0.0.1:0\", cluster = \"a\" }\nclusters = { a.endpoints = [%q], b.endpoints = [%q] }\n", a, b)
	with := func(cluster string) string {
		return text + fmt.Sprintf("listeners.dns = { protocol = \"udp\", bind = %q, cluster = %q }\n", at, cluster)
	}
	r := start(t, parse(t, "%s", with("a")))
	old := r.listener("dns").State
	var flows []udpClient
	for range 32 {
		flows = append(flows, dialUDP(t, at))
		flows[len(flows)-1].answered(t, "1", "A 1")
	}

	r.apply(parse(t, "%s", text))
	for _, c := range flows {
		c.answered(t, "2", "A 2")
	}
	const late = 4
	for range late {
		if _, err := dialUDP(t, at).Write([]byte("late")); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "new clients are turned away", func() bool { return dropped(old, l4.DropDraining) == late })
	if old.Active() != int64(len(flows)) {
		t.Errorf("%d flows, want %d", old.Active(), len(flows))
	}

	r.apply(parse(t, "%s", with("b")))
	again := r.listener("dns").State
	if again == old || r.at("dns") != at {
		t.Errorf("listener: %+v", r.listener("dns"))
	}
	dialUDP(t, at).answered(t, "3", "B 3")
	for _, c := range flows {
		c.answered(t, "4", "A 4")
	}

	soon := parse(t, "%s", text)
	soon.Process.DrainTimeout = 0
	r.apply(soon)
	eventually(t, "its flows end", func() bool { return again.Active() == 0 })
	if n := dropped(again, l4.DropDraining) + dropped(again, l4.DropReceiveOverflow); n != 0 {
		t.Errorf("%d datagrams of the second listener were dropped", n)
	}
}

// With the last flow of a removed listener its socket goes.
func TestRemovedUDPListenerLetsGoOfItsPort(t *testing.T) {
	a := serveUDP(t, "A ")
	text := fmt.Sprintf("listeners.other = { protocol = \"udp\", bind = \"127.0.0.1:0\", cluster = \"a\" }\nclusters.a.endpoints = [%q]\n", a)
	at := fmt.Sprintf("127.0.0.1:%d", bothPort(t))
	r := start(t, parse(t, "%s", text+fmt.Sprintf("listeners.dns = { protocol = \"udp\", bind = %q, cluster = \"a\", udp = { responses = 1 } }\n", at)))
	l := r.listener("dns").State
	open := dialUDP(t, at)
	if _, err := open.Write([]byte("1")); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 16)
	_ = open.SetDeadline(time.Now().Add(patience))
	if n, err := open.Read(b); err != nil || string(b[:n]) != "A 1" {
		t.Fatalf("%q came back, %v", b[:n], err)
	}
	eventually(t, "the flow is answered", func() bool { return l.Active() == 0 })
	r.apply(parse(t, "%s", text))
	if !nobody(t, at) {
		t.Error("the socket of a listener without flows is still bound")
	}
}
