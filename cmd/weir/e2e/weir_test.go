package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"syscall"
	"testing"
)

// proxy is a running weir.
type proxy struct {
	*program
	file  string // its configuration
	admin string // address of the administrative side
}

// always stands before every test's configuration.
const always = `
process.loops = 2
admin.listen = "127.0.0.1:0"
`

// simple is a configuration of one listener, "in", and one cluster with these endpoints.
func simple(endpoints ...string) string {
	return fmt.Sprintf(`
[listeners.in]
bind = "127.0.0.1:0"
cluster = "out"
[clusters.out]
endpoints = [%s]
`, quote(endpoints...))
}

// weir starts weir. When the test is over it has to end well.
func weir(t *testing.T, config string) *proxy {
	t.Helper()
	p := &proxy{file: filepath.Join(t.TempDir(), "weir.toml")}
	p.write(t, config)
	p.start(t)
	return p
}

// start runs the proxy's file, with these further arguments.
func (p *proxy) start(t *testing.T, args ...string) {
	t.Helper()
	lookAtSources(t)
	cmd := command(t, weirBinary, append([]string{"run", "-c", p.file}, args...)...)
	p.program = launch(t, cmd, os.Kill) // if the test ends before it should
	p.admin = p.says(`msg="admin listening" address=(\S+)`)
	p.says(`msg="weir runs"`)
	t.Cleanup(func() {
		if t.Failed() {
			return
		}
		if p.running() {
			p.signal(syscall.SIGTERM)
		}
		if code := p.code(); code != 0 {
			t.Errorf("weir: exit code %d after SIGTERM", code)
		}
	})
}

func (p *proxy) write(t *testing.T, config string) {
	t.Helper()
	if err := os.WriteFile(p.file, []byte(always+config), 0o600); err != nil {
		t.Fatal(err)
	}
}

// reload makes weir take up another configuration, and returns when it has.
func (p *proxy) reload(config string) {
	p.t.Helper()
	before := p.stats().Process.Reloads
	p.write(p.t, config)
	p.signal(syscall.SIGHUP)
	eventually(p.t, "the configuration is read again", func() bool {
		now := p.stats().Process.Reloads
		if now.Failed > before.Failed {
			p.t.Fatalf("weir refused the configuration")
		}
		return now.Applied > before.Applied
	})
}

// says waits for a line of the log and returns the pattern's group, if it has one.
func (p *proxy) says(pattern string) string {
	p.t.Helper()
	re := regexp.MustCompile(pattern)
	var found []string
	eventually(p.t, "weir says "+pattern, func() bool {
		if !p.running() {
			p.t.Fatalf("weir has ended")
		}
		found = re.FindStringSubmatch(p.out.String())
		return found != nil
	})
	return found[len(found)-1]
}

// at returns the address of the listener "in".
func (p *proxy) at() string {
	p.t.Helper()
	return p.says(`msg=listening listener=in address=(\S+)`)
}

// report is what the tests read of /stats.
type report struct {
	Process struct {
		Connections connections
		Reloads     struct{ Applied, Failed uint64 }
	}
	Listeners []listener
	Clusters  []struct {
		Name      string
		Endpoints []endpoint
	}
}

type connections struct {
	Active int
	Total  int
}

type listener struct {
	Name        string
	Connections connections
	Bytes       struct {
		ToUpstream   flow `json:"to_upstream"`
		ToDownstream flow `json:"to_downstream"`
	}
	Closed    map[string]int
	Datagrams struct {
		ToUpstream   int `json:"to_upstream"`
		ToDownstream int `json:"to_downstream"`
	}
	Dropped map[string]int // datagrams
}

type flow struct{ Copied, Spliced int }

func (f flow) total() int { return f.Copied + f.Spliced }

type endpoint struct {
	Address     string
	State       string
	Connections connections
}

func (p *proxy) stats() *report {
	p.t.Helper()
	r := new(report)
	p.statsInto(r)
	return r
}

// statsInto reads /stats into a structure of the caller's.
func (p *proxy) statsInto(r any) {
	p.t.Helper()
	client := http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Get("http://" + p.admin + "/stats")
	if err != nil {
		p.t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	if err := json.NewDecoder(answer.Body).Decode(r); err != nil {
		p.t.Fatalf("/stats: %v", err)
	}
}

// settled waits until no session is left, and returns the counters of the listener "in". Each of its sessions must have ended for one of these reasons.
func (p *proxy) settled(reasons ...string) *listener {
	p.t.Helper()
	var r *report
	eventually(p.t, "all sessions end", func() bool {
		r = p.stats()
		return r.Process.Connections.Active == 0
	})
	l, closed := r.listener(p.t, "in"), 0
	for reason, n := range l.Closed {
		closed += n
		if n > 0 && !slices.Contains(reasons, reason) {
			p.t.Errorf("%d sessions ended with %s", n, reason)
		}
	}
	if closed != l.Connections.Total {
		p.t.Errorf("%d sessions, but %d reasons of their ends", l.Connections.Total, closed)
	}
	return l
}

// listener returns the counters of a listener.
func (r *report) listener(t *testing.T, name string) *listener {
	t.Helper()
	i := slices.IndexFunc(r.Listeners, func(l listener) bool { return l.Name == name })
	if i < 0 {
		t.Fatalf("/stats knows no listener %q", name)
	}
	return &r.Listeners[i]
}

// endpoint returns the counters of an endpoint of the cluster "out".
func (r *report) endpoint(t *testing.T, addr string) endpoint {
	t.Helper()
	for _, c := range r.Clusters {
		for _, e := range c.Endpoints {
			if c.Name == "out" && e.Address == addr {
				return e
			}
		}
	}
	t.Fatalf("/stats knows no endpoint %s", addr)
	return endpoint{}
}
