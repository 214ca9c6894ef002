package control_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"testing"

	"weir/cmd/weir/internal/control"
	"weir/l4"
)

const oneUDP = `
[listeners.dns]
protocol = "udp"
bind = "%s"
cluster = "dns"
[clusters.dns]
endpoints = ["%s"]
`

func TestDatagramsThereAndBack(t *testing.T) {
	r := start(t, parse(t, oneUDP, "127.0.0.1:0", serveUDP(t, "A ")))
	l := r.listener("dns")
	if l.Protocol != "udp" || l.MaxConnections != 65_536 || l.ReceiveBuffer <= 0 || l.SendBuffer <= 0 {
		t.Errorf("listener: %+v", l)
	}
	if l.Binds[0].Port() == 0 {
		t.Fatal("no port")
	}
	const clients = 32
	for i := range clients {
		c := dialUDP(t, r.at("dns"))
		for range 3 {
			c.answered(t, fmt.Sprint(i), fmt.Sprintf("A %d", i))
		}
	}
	both := true // loops have sockets on the one port, and the kernel spreads clients over them
	for i := range l.State.Loops {
		both = both && l.State.Loops[i].Sessions.Load() > 0
	}
	if l.State.Active() != clients || r.View().Shared.Active() != clients || !both {
		t.Errorf("%d flows of the listener, %d of the process, want %d; on both loops: %v", l.State.Active(), r.View().Shared.Active(), clients, both)
	}
	e := r.View().Clusters[0].Endpoints[0]
	eventually(t, "all is counted", func() bool {
		var listener, endpoint [2]uint64
		for i := range l.State.Loops {
			for d := range listener {
				listener[d] += l.State.Loops[i].Datagrams[d].Load()
				endpoint[d] += e.Loops[i].Datagrams[d].Load()
			}
		}
		return listener == [2]uint64{3 * clients, 3 * clients} && endpoint == listener
	})
	noDrops(t, l.State)
	if !r.logged("msg=listening listener=dns address=" + r.at("dns")) {
		t.Errorf("log:\n%s", r.log)
	}
}

// A listener may become one of the other protocol and keep its name and port. It is another one then: what the old one had under way drains.
func TestProtocolChanges(t *testing.T) {
	both := serveBoth(t, "A")
	at := fmt.Sprintf("127.0.0.1:%d", bothPort(t))
	config := func(protocol string) string {
		return fmt.Sprintf("listeners.svc = { protocol = %q, bind = %q, cluster = \"c\" }\nclusters.c.endpoints = [%q]\n", protocol, at, both)
	}
	r := start(t, parse(t, "%s", config("tcp")))
	first := r.listener("svc").State
	session := dial(t, at)
	_, _ = io.ReadFull(session, make([]byte, 1))
	mustEcho(t, session)

	r.apply(parse(t, "%s", config("udp")))
	second := r.listener("svc").State
	if second == first || r.listener("svc").Protocol != "udp" || r.at("svc") != at {
		t.Fatalf("listener: %+v", r.listener("svc"))
	}
	if !refused(at) {
		t.Error("it still listens for TCP")
	}
	flow := dialUDP(t, at)
	flow.answered(t, "x", "Ax")
	mustEcho(t, session)

	r.apply(parse(t, "%s", config("tcp")))
	if third := r.listener("svc").State; third == first || third == second {
		t.Error("a listener came back from the dead")
	}
	if got := greeting(t, at, 1); got != "A" {
		t.Errorf("greeted by %q", got)
	}
	flow.answered(t, "y", "Ay")
	mustEcho(t, session)
	if _, err := dialUDP(t, at).Write([]byte("late")); err != nil {
		t.Error(err)
	}
	eventually(t, "a new client of the listener that drains is turned away", func() bool { return dropped(second, l4.DropDraining) == 1 })
	r.apply(parse(t, "%s", config("udp")))
	dialUDP(t, at).answered(t, "z", "Az")
}

func TestTCPAndUDPOnOnePort(t *testing.T) {
	both := serveBoth(t, "A")
	at := fmt.Sprintf("127.0.0.1:%d", bothPort(t))
	const text = `
listeners.t = { bind = %q, cluster = "c" }
listeners.u = { protocol = "udp", bind = %q, cluster = "c" }
clusters.c = { endpoints = [%q], connect_attempts = %d }
`
	r := start(t, parse(t, text, at, at, both, 1))
	check := func() {
		t.Helper()
		if got := greeting(t, at, 1); got != "A" {
			t.Errorf("greeted by %q", got)
		}
		dialUDP(t, at).answered(t, "x", "Ax")
	}
	check()
	r.apply(parse(t, text, at, at, both, 2))
	check()
	e := r.View().Clusters[0].Endpoints[0]
	var sessions uint64
	for i := range e.Loops {
		sessions += e.Loops[i].Sessions.Load()
	}
	if sessions != 4 || e.Balance.Active() != 4 {
		t.Errorf("the endpoint had %d sessions and flows, and has %d; want 4", sessions, e.Balance.Active())
	}
	if l := r.listener("u").State; l.Active() != 2 {
		t.Errorf("%d flows, want 2", l.Active())
	}
}

func TestUDPAddressInUse(t *testing.T) {
	taken, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	r := start(t, parse(t, oneUDP, "127.0.0.1:0", serveUDP(t, "A ")))
	before := r.listener("dns").State
	bad := parse(t, oneUDP+`
[listeners.taken]
protocol = "udp"
bind = %q
cluster = "dns"`, "127.0.0.1:0", serveUDP(t, "B "), taken.LocalAddr())
	err = r.Apply(bad)
	want := fmt.Sprintf(`listener "taken": listen on %s: bind: address already in use`, taken.LocalAddr())
	if err == nil || err.Error() != want {
		t.Fatalf("error: %v, want %s", err, want)
	}
	if r.listener("dns").State != before || len(r.View().Listeners) != 1 {
		t.Errorf("listeners: %+v", r.View().Listeners)
	}
	dialUDP(t, r.at("dns")).answered(t, "x", "A x")

	// Another weir of the same user would share the port by SO_REUSEPORT.
	_, err = control.New(context.Background(), control.Options{Snapshot: parse(t, oneUDP, r.at("dns"), "127.0.0.1:1"), Log: slog.New(slog.DiscardHandler)})
	if err == nil || !strings.Contains(err.Error(), "address already in use") {
		t.Errorf("error: %v", err)
	}

	_ = taken.Close()
	r.apply(bad)
	dialUDP(t, taken.LocalAddr().String()).answered(t, "x", "B x")
}

// Answers come from the address that the client wrote to, whatever the listener is bound to.
func TestUDPAnswersFromWhereItWasAsked(t *testing.T) {
	if c, err := net.ListenPacket("udp6", "[::1]:0"); err != nil {
		t.Skipf("no IPv6: %v", err)
	} else {
		_ = c.Close()
	}
	endpoint := serveUDP(t, "A ")
	for _, c := range []struct {
		bind string
		ask  []string
	}{
		{"127.0.0.1:0", []string{"127.0.0.1"}},
		{"0.0.0.0:0", []string{"127.0.0.1", "127.0.0.2", "127.255.0.3"}},
		{"[::1]:0", []string{"::1"}},
		{"[::]:0", []string{"127.0.0.1", "::1", "127.0.0.2"}},
	} {
		t.Run(c.bind, func(t *testing.T) {
			r := start(t, parse(t, oneUDP, c.bind, endpoint))
			port := r.listener("dns").Binds[0].Port()
			for _, addr := range c.ask {
				at := netip.AddrPortFrom(netip.MustParseAddr(addr), port).String()
				client := dialUDP(t, at)
				for range 2 {
					client.answered(t, addr, "A "+addr)
				}
			}
			if n := r.listener("dns").State.Active(); n != int64(len(c.ask)) {
				t.Errorf("%d flows, want %d", n, len(c.ask))
			}
			noDrops(t, r.listener("dns").State)
		})
	}
}

// IPv6 only leaves IPv4 alone.
func TestUDPV6Only(t *testing.T) {
	c, err := net.ListenPacket("udp6", "[::1]:0")
	if err != nil {
		t.Skipf("no IPv6: %v", err)
	}
	_ = c.Close()
	s := parse(t, "listeners.six = { protocol = \"udp\", bind = \"[::]:0\", v6_only = true, cluster = \"c\" }\nclusters.c.endpoints = [%q]", serveUDP(t, "A "))
	r := start(t, s)
	port := r.listener("six").Binds[0].Port()
	dialUDP(t, fmt.Sprintf("[::1]:%d", port)).answered(t, "x", "A x")
	if !nobody(t, fmt.Sprintf("127.0.0.1:%d", port)) {
		t.Error("IPv4 is answered")
	}
}

func TestShutdownEndsFlows(t *testing.T) {
	s := parse(t, oneUDP, "127.0.0.1:0", serveUDP(t, "A "))
	s.Process.DrainTimeout = 0
	r := start(t, s)
	dialUDP(t, r.at("dns")).answered(t, "x", "A x")
	at, l := r.at("dns"), r.listener("dns").State
	r.Shutdown(t.Context())
	if l.Active() != 0 || r.View().Shared.Active() != 0 {
		t.Errorf("%d flows of the listener, %d of the process", l.Active(), r.View().Shared.Active())
	}
	if !nobody(t, at) {
		t.Error("its socket is still bound")
	}
	if err := r.Apply(s); !errors.Is(err, control.ErrDraining) {
		t.Errorf("a change after the end: %v", err)
	}
}
