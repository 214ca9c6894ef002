package build_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"weir/cmd/weir/internal/build"
	"weir/config"
	"weir/l4"
	"weir/lb"
)

func parse(t testing.TB, text string) *config.Snapshot {
	t.Helper()
	s, err := config.Parse([]config.Source{{Name: "test", Text: text, Kind: config.TOML}})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func first(t testing.TB, text string) *build.Running {
	t.Helper()
	r, err := build.First(parse(t, text), build.Options{Loops: 2})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func next(t testing.TB, r *build.Running, text string) *build.Running {
	t.Helper()
	n, err := r.Next(parse(t, text))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

const two = `
[listeners.web]
bind = "127.0.0.1:8080"
cluster = "web"
[listeners.other]
bind = "127.0.0.1:8081"
cluster = "other"
[clusters.web]
endpoints = ["10.0.0.1:80", "10.0.0.2:80"]
[clusters.other]
endpoints = ["10.0.0.1:80"]
`

func Example() {
	snapshot, _ := config.Parse([]config.Source{{Kind: config.TOML, Text: `
[listeners.web]
bind = "127.0.0.1:8080"
cluster = "web"
[clusters.web]
endpoints = ["10.0.0.1:80", "10.0.0.2:80"]`}})
	running, err := build.First(snapshot, build.Options{Loops: 2})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, l := range running.Listeners {
		fmt.Println(l.Name, l.Sockets[0].Addr, len(l.TCP.Routes.Default.Clusters[0].Endpoints))
	}
	// Output: web 127.0.0.1:8080 2
}

func TestNothingChanged(t *testing.T) {
	a := first(t, two)
	b := next(t, a, two)
	for i := range a.Listeners {
		if a.Listeners[i].State != b.Listeners[i].State || a.Listeners[i].TCP != b.Listeners[i].TCP || !b.Listeners[i].Same(a.Listeners[i]) {
			t.Errorf("listener %s is another one", a.Listeners[i].Name)
		}
	}
	if !slices.Equal(a.Clusters, b.Clusters) {
		t.Error("clusters are other ones")
	}
	if l := a.Leaving(b); len(l) != 0 {
		t.Errorf("leaving: %v", l)
	}
}

func TestIdentityThroughChange(t *testing.T) {
	a := first(t, two)
	b := next(t, a, `
[listeners.web]
bind = "127.0.0.1:9090"
cluster = "web"
idle_timeout = "10s"
[listeners.other]
bind = "127.0.0.1:8081"
cluster = "other"
[clusters.web]
policy = "least_connections"
endpoints = ["10.0.0.3:80", { address = "10.0.0.2:80", weight = 7 }]
[clusters.other]
endpoints = ["10.0.0.1:80"]
`)
	was, is := a.Listener("web"), b.Listener("web")
	if was.State != is.State {
		t.Error("the listener lost its identity")
	}
	if was.TCP == is.TCP || is.Same(was) || is.TCP.IdleTimeout != 10*time.Second {
		t.Errorf("settings: %+v", is.TCP)
	}
	if is.Sockets[0].Addr.Port() != 9090 {
		t.Errorf("socket: %v", is.Sockets[0].Addr)
	}
	if a.Listener("other").TCP != b.Listener("other").TCP {
		t.Error("a listener that has nothing to do with the change got other settings")
	}
	from, to := a.Cluster("web"), b.Cluster("web")
	if from == to || &from.Loops[0] != &to.Loops[0] {
		t.Error("the cluster has to be a new one with the old counters")
	}
	if from.Endpoints[1] != to.Endpoints[1] {
		t.Error("10.0.0.2 lost its identity")
	}
	if w := to.Set().Member(1).Weight; w != 7 {
		t.Errorf("weight %d", w)
	}
	for i, e := range to.Endpoints {
		if to.Set().Member(i).Endpoint != e.Balance {
			t.Errorf("endpoint %d is not member %d", i, i)
		}
	}
	if got := a.Leaving(b); len(got) != 1 || got[0] != from.Endpoints[0] {
		t.Errorf("leaving: %v", got)
	}
	if from.Endpoints[0] == a.Cluster("other").Endpoints[0] {
		t.Error("two clusters share an endpoint")
	}
}

// A listener whose cluster changed must send to the new one, though its own configuration is the same.
func TestListenerFollowsItsClusters(t *testing.T) {
	const text = `
[listeners.web]
bind = "127.0.0.1:8080"
[[listeners.web.routes]]
source = ["10.0.0.0/8"]
cluster = "one"
[[listeners.web.routes]]
split = { one = 1, two = 1 }
[clusters.one]
endpoints = ["10.0.0.1:80"]
[clusters.two]
endpoints = ["10.0.0.2:%d"]
`
	a := first(t, fmt.Sprintf(text, 80))
	b := next(t, a, fmt.Sprintf(text, 81))
	was, is := a.Listener("web").TCP, b.Listener("web").TCP
	if was == is {
		t.Fatal("the listener still sends to the old cluster")
	}
	if got := is.Routes.Routes[1].Target.Clusters; got[0] != a.Cluster("one") || got[1] != b.Cluster("two") {
		t.Error("the split has the wrong clusters")
	}
	if was.Routes.Routes[1].Target.Split != is.Routes.Routes[1].Target.Split {
		t.Error("the split began anew")
	}
}

func TestRoundRobinGoesOn(t *testing.T) {
	const text = `
[listeners.l]
bind = "127.0.0.1:1"
cluster = "c"
[clusters.c]
endpoints = ["10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80"]
connect_attempts = %d
`
	r := first(t, fmt.Sprintf(text, 1))
	var got []int
	for i := range 6 {
		var request lb.Request
		index, verdict := r.Cluster("c").Set().Pick(&request)
		if verdict != lb.Picked {
			t.Fatal(verdict)
		}
		got = append(got, index)
		r = next(t, r, fmt.Sprintf(text, 2+i))
	}
	if want := []int{0, 1, 2, 0, 1, 2}; !slices.Equal(got, want) {
		t.Errorf("picked %v, want %v", got, want)
	}
}

func TestMaintenanceEndsSessions(t *testing.T) {
	const text = `
[listeners.l]
bind = "127.0.0.1:1"
cluster = "c"
[clusters.c]
endpoints = ["10.0.0.1:80", { address = "10.0.0.2:80", state = %q }]
`
	states := map[string]*build.Running{}
	r := first(t, fmt.Sprintf(text, "ready"))
	for _, state := range []string{"ready", "drain", "maint"} {
		states[state] = next(t, r, fmt.Sprintf(text, state))
	}
	for _, c := range []struct {
		from, to string
		leaves   int
	}{{"ready", "drain", 0}, {"ready", "maint", 1}, {"drain", "maint", 1}, {"maint", "maint", 0}, {"maint", "ready", 0}} {
		if got := states[c.from].Leaving(states[c.to]); len(got) != c.leaves {
			t.Errorf("%s to %s: %d endpoints leave, want %d", c.from, c.to, len(got), c.leaves)
		}
	}
}

func TestOptionsArriveWhole(t *testing.T) {
	r := first(t, `
[listeners.l]
bind = ["[::]:80", "127.0.0.1:81"]
v6_only = true
cluster = "c"
backlog = 77
max_connections = 5
idle_timeout = "1m"
max_duration = "2m"
half_close_timeout = "3m"
buffer = "8KiB"
tcp = { fast_open = true, defer_accept = true, user_timeout = "4s", keepalive = "6s", congestion = "reno" }
[clusters.c]
policy = "maglev"
hash_on = "source"
hash_balance = 1.25
endpoints = [{ address = "10.0.0.1:80", weight = 3, max_connections = 9, backup = true, state = "drain" }]
connect_timeout = "7s"
connect_attempts = 4
`)
	l := r.Listener("l")
	if len(l.Sockets) != 2 {
		t.Fatal(len(l.Sockets))
	}
	o := l.Sockets[0]
	if o.Addr.String() != "[::]:80" || !o.V6Only || o.TCP.Addr != o.Addr || !o.TCP.V6Only || o.TCP.Backlog != 77 || !o.TCP.FastOpen || !o.TCP.DeferAccept ||
		o.TCP.UserTimeout != 4*time.Second || o.TCP.Keepalive != 6*time.Second || o.TCP.Congestion != "reno" || o.Datagrams() {
		t.Errorf("socket: %+v", o)
	}
	s := l.TCP
	if s.Buffer != 8<<10 || s.IdleTimeout != time.Minute || s.MaxDuration != 2*time.Minute || s.HalfCloseTimeout != 3*time.Minute ||
		s.MaxConnections != 5 || l.MaxConnections() != 5 || l.UDP != nil || !r.AnyTCP() || s.UserTimeout != 4*time.Second || s.Keepalive != 6*time.Second {
		t.Errorf("settings: %+v", s)
	}
	c := r.Cluster("c")
	if c.HashOn != l4.HashSource || c.ConnectTimeout != 7*time.Second || c.Attempts != 4 || len(c.Loops) != 2 || len(c.Endpoints[0].Loops) != 2 {
		t.Errorf("cluster: %+v", c)
	}
	m := c.Set().Member(0)
	if m.Weight != 3 || m.MaxConnections != 9 || !m.Backup || m.State != lb.Drain {
		t.Errorf("member: %+v", m)
	}
}

func TestErrorsNameTheObject(t *testing.T) {
	base := config.Snapshot{
		Listeners: []config.Listener{{Name: "web", Cluster: "gone"}},
		Clusters:  []config.Cluster{{Name: "c", Policy: config.RoundRobin}},
	}
	for _, c := range []struct {
		name   string
		change func(*config.Snapshot)
		want   string
	}{
		{"no such cluster", func(*config.Snapshot) {}, `listener "web": no cluster "gone"`},
		{"no such cluster in a route", func(s *config.Snapshot) {
			s.Listeners = []config.Listener{{Name: "web", Cluster: "c", Routes: []config.Route{{Cluster: "gone"}}}}
		}, `listener "web": route 1: no cluster "gone"`},
		{"no such policy", func(s *config.Snapshot) { s.Clusters = []config.Cluster{{Name: "c", Policy: "best"}} },
			`cluster "c": lb: unknown policy "best": want one of round_robin, least_connections, random, p2c, ring_hash, maglev, first`},
	} {
		s := base
		c.change(&s)
		_, err := build.First(&s, build.Options{Loops: 1})
		if err == nil || err.Error() != c.want {
			t.Errorf("%s: %v, want %s", c.name, err, c.want)
		}
	}
}
