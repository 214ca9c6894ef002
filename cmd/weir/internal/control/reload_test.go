package control_test

import (
	"fmt"
	"net"
	"testing"

	"weir/cmd/weir/internal/echotest"
	"weir/l4"
)

// freePort returns a port that nobody has.
func freePort(t testing.TB) int {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	return ln.Addr().(*net.TCPAddr).Port
}

// A hundred changes under load lose no connection: not on a listener that stays as it is, and not on one whose settings,
// socket options, further addresses, cluster and name change while its first address stays. With another name it is another
// listener, and the sessions of the old one drain: over a day, so that none is ended here.
func TestReloadUnderLoadLosesNothing(t *testing.T) {
	a, b := echotest.Serve(t, ""), echotest.Serve(t, "")
	still, moving, extra := freePort(t), freePort(t), freePort(t)
	variant := func(i int) string {
		name, more, tcp := "moving", "", `keepalive = "75s"`
		if i&1 != 0 {
			more = fmt.Sprintf(", \"127.0.0.1:%d\"", extra)
		}
		if i&2 != 0 {
			tcp = `keepalive = "30s", user_timeout = "10s"`
		}
		if i&4 != 0 {
			name = "renamed"
		}
		return fmt.Sprintf(`
process.drain_timeout = "24h"
[listeners.still]
bind = "127.0.0.1:%d"
cluster = "one"
[listeners.%s]
bind = ["127.0.0.1:%d"%s]
cluster = "two"
idle_timeout = "%ds"
backlog = %d
tcp = { %s }
[clusters.one]
endpoints = [%q, %q]
[clusters.two]
endpoints = [%q, { address = %q, weight = %d }]
`, still, name, moving, more, 100+i, 1000+i, tcp, a, b, a, b, 1+i%3)
	}
	r := start(t, parse(t, "%s", variant(0)))
	loads := []*load{
		newLoad(t, fmt.Sprintf("127.0.0.1:%d", still), 2),
		newLoad(t, fmt.Sprintf("127.0.0.1:%d", moving), 2),
	}
	for i := 1; i <= 100; i++ {
		r.apply(parse(t, "%s", variant(i)))
		for _, l := range loads {
			l.more(3)
		}
	}
	for _, l := range loads {
		l.stop()
	}
	eventually(t, "sessions end", func() bool { return r.View().Shared.Active() == 0 })
}

// Endpoints' counters, and the balancer's view of them, go on through changes.
func TestCountersSurvive(t *testing.T) {
	a := echotest.Serve(t, "")
	r := start(t, parse(t, one, "127.0.0.1:0", a))
	web := r.at("web")
	for i := range 5 {
		if err := once(web); err != nil {
			t.Fatal(err)
		}
		r.apply(parse(t, one+"connect_attempts = %d", "127.0.0.1:0", a, i+1))
	}
	var endpoint, listener, cluster uint64
	v := r.View()
	for i := range v.Loops {
		endpoint += v.Clusters[0].Endpoints[0].Loops[i].Sessions.Load()
		listener += v.Listeners[0].State.Loops[i].Sessions.Load()
	}
	var connects l4.HistogramReading
	for i := range v.Loops {
		connects.Add(&v.Clusters[0].Loops[i].ConnectTime)
	}
	cluster = connects.Count()
	if endpoint != 5 || listener != 5 || cluster != 5 {
		t.Errorf("sessions counted: endpoint %d, listener %d, cluster %d; want 5 each", endpoint, listener, cluster)
	}
}

func TestAdminMoves(t *testing.T) {
	a := echotest.Serve(t, "")
	with := func(listen string) string { return one + fmt.Sprintf("[admin]\nlisten = %q\n", listen) }
	r := start(t, parse(t, with("127.0.0.1:0"), "127.0.0.1:0", a))
	first := r.AdminAddr()
	if refused(first) {
		t.Fatal("no administrative side")
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	if err := r.Apply(parse(t, with(taken.Addr().String()), "127.0.0.1:0", a)); err == nil {
		t.Error("an address in use was taken")
	}
	if refused(first) || r.AdminAddr() != first {
		t.Error("the failed change took the administrative side away")
	}
	second := fmt.Sprintf("127.0.0.1:%d", freePort(t))
	r.apply(parse(t, with(second), "127.0.0.1:0", a))
	if r.AdminAddr() != second || refused(second) {
		t.Errorf("the administrative side is at %s", r.AdminAddr())
	}
	eventually(t, "the old one closes", func() bool { return refused(first) })
	r.apply(parse(t, with(""), "127.0.0.1:0", a))
	eventually(t, "it closes", func() bool { return refused(second) })
}
