package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// Further exit codes.
const (
	curlNoConnection = 7 // or reset before curl knows that it is connected
	digNoAnswer      = 9
)

// visitor is a curl that comes from a source address.
func visitor(t *testing.T, from, url string, args ...string) *program {
	t.Helper()
	return launch(t, curl(t, append([]string{"--interface", from, url}, args...)...), os.Kill)
}

// comes wants that clients from these addresses are served, or else reset.
func comes(t *testing.T, url string, served bool, from ...string) {
	t.Helper()
	for _, addr := range from {
		p := visitor(t, addr, url)
		if got := p.code() == 0; got != served {
			t.Errorf("from %s: served %v, want %v: %s", addr, got, served, &p.out)
		}
		if !served {
			exits(t, p, curlRecvFailed, curlSendFailed, curlNoConnection) // a reset, never an empty answer
		}
	}
}

// guarded is a listener with these keys before a web server.
func guarded(keys, server string) string {
	return fmt.Sprintf(`
[listeners.in]
bind = "127.0.0.1:0"
cluster = "out"
%s
[clusters.out]
endpoints = [%q]
`, keys, server)
}

// wants compares the counts of how connections of the listener "in" ended.
func (p *proxy) wants(counts map[string]int) {
	p.t.Helper()
	reasons := []string{"downstream_closed", "upstream_closed"}
	for reason := range counts {
		reasons = append(reasons, reason)
	}
	l := p.settled(reasons...)
	for reason, n := range counts {
		if l.Closed[reason] != n {
			p.t.Errorf("%d ended with %s, want %d", l.Closed[reason], reason, n)
		}
	}
}

// Who may come in, by address, by rate, and by how many are there: 127.0.0.1 to 127.0.0.255 are all this machine.
func TestAccess(t *testing.T) {
	root := t.TempDir()
	writeFile(t, filepath.Join(root, "index.html"), "welcome\n")
	sparse(t, filepath.Join(root, "file"), 16<<20)
	_, server := nginxServer(t, root)

	t.Run("networks", func(t *testing.T) {
		w := weir(t, guarded(`
allow = ["127.0.0.0/29", "127.0.0.64/26", "2001:db8::/32"]
deny = ["127.0.0.3", "127.0.0.96/27", "10.0.0.0/8"]
`, server))
		url := "http://" + w.at() + "/"
		comes(t, url, true, "127.0.0.1", "127.0.0.2", "127.0.0.4", "127.0.0.7", "127.0.0.64", "127.0.0.95")
		comes(t, url, false, "127.0.0.3", "127.0.0.8", "127.0.0.63", "127.0.0.96", "127.0.0.127", "127.0.0.128", "127.9.9.9")
		w.wants(map[string]int{"denied": 7})
		w.says(`level=INFO msg="connections refused" listener=in reason=denied count=`)
	})
	t.Run("rate of a source", func(t *testing.T) {
		w := weir(t, guarded(`rate = { per_source = "1/h", per_source_burst = 3 }`, server))
		url := "http://" + w.at() + "/"
		comes(t, url, true, "127.0.0.5", "127.0.0.5", "127.0.0.5")
		comes(t, url, false, "127.0.0.5", "127.0.0.5")
		comes(t, url, true, "127.0.0.6", "127.0.0.6", "127.0.0.6")
		comes(t, url, false, "127.0.0.6")
		w.wants(map[string]int{"source_rate_limited": 3})
	})
	t.Run("rate of all", func(t *testing.T) {
		w := weir(t, guarded(`rate = { connections = "1/h", burst = 4, per_source = "1/h", per_source_burst = 2 }`, server))
		url := "http://" + w.at() + "/"
		comes(t, url, true, "127.0.0.5", "127.0.0.5")
		comes(t, url, false, "127.0.0.5", "127.0.0.5") // which takes nothing of what is left for others
		comes(t, url, true, "127.0.0.6", "127.0.0.7")
		comes(t, url, false, "127.0.0.8")
		w.wants(map[string]int{"source_rate_limited": 2, "rate_limited": 1})
	})
	t.Run("connections of a source", func(t *testing.T) {
		w := weir(t, guarded(`max_connections_per_source = 2`, server))
		url := "http://" + w.at() + "/"
		stays := func() *program {
			t.Helper()
			got := filepath.Join(t.TempDir(), "got")
			p := visitor(t, "127.0.0.5", url+"file", "--limit-rate", "100K", "-o", got)
			eventually(t, "some of it has come", func() bool { return sizeOf(got) > 0 })
			return p
		}
		one, other := stays(), stays()
		comes(t, url, false, "127.0.0.5")
		comes(t, url, true, "127.0.0.6", "127.0.0.6")
		other.signal(os.Kill)
		eventually(t, "there is room again", func() bool { return w.stats().Process.Connections.Active == 1 })
		comes(t, url, true, "127.0.0.5")
		again := stays()
		comes(t, url, false, "127.0.0.5")
		one.signal(os.Kill)
		again.signal(os.Kill)
		if l := w.settled("downstream_closed", "upstream_closed", "downstream_reset", "source_limit"); l.Closed["source_limit"] != 2 {
			t.Errorf("weir counts %v", l.Closed)
		}
	})
}

// Rules that change hold for who comes from then on. A download that is there goes on.
func TestAccessReload(t *testing.T) {
	root := t.TempDir()
	file := filepath.Join(root, "file")
	sparse(t, file, 12<<20)
	writeFile(t, filepath.Join(root, "index.html"), "welcome\n")
	_, server := nginxServer(t, root)
	w := weir(t, guarded(`max_connections_per_source = 10`, server)) // who comes before there is any rule about sources doesn't count
	url, got := "http://"+w.at()+"/", filepath.Join(t.TempDir(), "got")
	lasting := visitor(t, "127.0.0.5", url+"file", "--limit-rate", "6M", "-o", got)
	eventually(t, "some of it has come", func() bool { return sizeOf(got) > 0 })
	comes(t, url, true, "127.0.0.5", "127.0.0.6")

	w.reload(guarded("deny = [\"127.0.0.5\"]\nmax_connections_per_source = 10", server))
	comes(t, url, false, "127.0.0.5")
	comes(t, url, true, "127.0.0.6")
	w.reload(guarded("allow = [\"127.0.0.5\"]\nmax_connections_per_source = 10", server))
	comes(t, url, true, "127.0.0.5")
	comes(t, url, false, "127.0.0.6")
	w.reload(guarded(`max_connections_per_source = 1`, server)) // who is there counts
	comes(t, url, false, "127.0.0.5")
	comes(t, url, true, "127.0.0.6")
	w.reload(guarded(`rate = { per_source = "1/h" }`, server))
	comes(t, url, true, "127.0.0.5", "127.0.0.6")
	comes(t, url, false, "127.0.0.5", "127.0.0.6")
	if !lasting.running() {
		t.Log("the download ended before all changes were made")
	}
	lasting.succeeds()
	if got, want := hashOf(t, got), hashOf(t, file); got != want {
		t.Errorf("hash %s, want %s", got, want)
	}
	w.reload(guarded("", server))
	comes(t, url, true, "127.0.0.5", "127.0.0.6")
	w.wants(map[string]int{"denied": 2, "source_limit": 1, "source_rate_limited": 2})
}

// Datagrams of who isn't let in go nowhere; a flow that is there stays.
func TestAccessUDP(t *testing.T) {
	need(t, "dig")
	server := unboundServer(t)
	rules := func(keys string) string { return datagrams(keys, server) }
	const counted = "\nmax_connections_per_source = 10" // who came before there was any rule about sources doesn't count
	w := weir(t, rules(`deny = ["127.0.0.9"]`+counted))
	// from is a client that hasn't been there yet.
	from := func(host string) string {
		t.Helper()
		_, p := split(t, ports(t, 1)[0])
		return host + ":" + p
	}
	unheard := func(from string) {
		t.Helper()
		cmd := dig(t, w.at(), from, "web.weir.test")
		cmd.Args = append(cmd.Args, "+time=1")
		exits(t, launch(t, cmd, os.Kill), digNoAnswer)
	}
	friend := from("127.0.0.5")
	resolves(t, w.at(), friend, "web.weir.test")
	unheard(from("127.0.0.9"))

	w.reload(rules(`deny = ["127.0.0.5"]` + counted))
	resolves(t, w.at(), friend, "web.weir.test")
	unheard(from("127.0.0.5"))
	resolves(t, w.at(), from("127.0.0.9"), "web.weir.test")

	w.reload(rules(`max_connections_per_source = 1`))
	resolves(t, w.at(), friend, "web.weir.test")
	unheard(from("127.0.0.5"))
	resolves(t, w.at(), from("127.0.0.7"), "web.weir.test")

	w.reload(rules(`rate = { per_source = "1/h" }`))
	newcomer := from("127.0.0.6")
	resolves(t, w.at(), newcomer, "web.weir.test")
	resolves(t, w.at(), newcomer, "web.weir.test")
	unheard(from("127.0.0.6"))
	l := w.lossless("denied", "source_limit", "source_rate_limited")
	if d := l.Dropped; d["denied"] != 2 || d["source_limit"] != 1 || d["source_rate_limited"] != 1 {
		t.Errorf("weir dropped %v", d)
	}
}
