package resolve

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"weir/config"
)

func TestSetLeavesTheRest(t *testing.T) {
	s, r := serve(t), start(t)
	for _, name := range []string{"a", "b", "d"} {
		s.set(name+".test.", "A", records(name+".test. 1 A 10.0.0.1"))
		s.set(name+".test.", "AAAA", records())
	}
	a, b := by("a.test:1", config.DiscoverAll, s), by("b.test:2", config.DiscoverAll, s)
	r.Set(map[string]config.Discover{"a": a, "b": b, "off": {}})
	r.finds("a", "10.0.0.1:1")
	r.finds("b", "10.0.0.1:2")
	if _, ok := r.Status("off"); ok {
		t.Error("there is a source of nothing")
	}
	before := r.sources["a"]
	r.Set(map[string]config.Discover{"a": a, "b": by("d.test:4", config.DiscoverAll, s)})
	if r.sources["a"] != before {
		t.Error("what stays the same has begun anew")
	}
	r.finds("b", "10.0.0.1:4")
	r.Set(nil)
	if _, ok := r.Known("a"); ok {
		t.Error("what has ended is known")
	}
	eventually(t, "goroutines end", func() bool { return !strings.Contains(stacks(), "(*source).run") })
}

// Another name begins with nothing; other servers and times leave what is known, and are asked at once.
func TestSetOtherSettings(t *testing.T) {
	s, other, r := serve(t), serve(t), start(t)
	s.set("web.test.", "A", records("web.test. 1 A 10.0.0.1"))
	s.set("web.test.", "AAAA", records())
	other.set("web.test.", "A", records("web.test. 1 A 10.0.0.2"))
	other.set("web.test.", "AAAA", records())
	d := by("web.test:80", config.DiscoverAll, s)
	d.Refresh, d.MaxRefresh = time.Hour, time.Hour
	r.set(d)
	r.finds("c", "10.0.0.1:80")
	d.Servers = append(d.Servers[:0:0], other.addr)
	r.set(d)
	if got, ok := r.Known("c"); !ok || len(got) != 1 {
		t.Errorf("known: %v %v", got, ok)
	}
	r.finds("c", "10.0.0.2:80")
	other.stop()
	d.Refresh = time.Minute
	r.set(d)
	r.fails("c", "refused", 0)
	if got, ok := r.Known("c"); !ok || len(got) != 1 {
		t.Errorf("known: %v %v", got, ok)
	}
	d.DNS = "other.test:80"
	r.set(d)
	if _, ok := r.Known("c"); ok {
		t.Error("the endpoints of one name are taken for those of another")
	}
}

// A lookup that Set overtakes says nothing any more.
func TestSetWhileUnderWay(t *testing.T) {
	s, r := serve(t), start(t)
	slow := quick
	slow.timeout = time.Hour
	r.Resolver.pace = slow
	s.set("slow.test.", "A", silence)
	s.set("slow.test.", "AAAA", silence)
	s.set("web.test.", "A", records("web.test. 1 A 10.0.0.1"))
	s.set("web.test.", "AAAA", records())
	r.set(by("slow.test:80", config.DiscoverAll, s))
	eventually(t, "is asked", func() bool { return s.count("slow.test./A/udp") > 0 })
	first := make(chan struct{})
	go func() {
		r.First(context.Background())
		close(first)
	}()
	r.set(by("web.test:80", config.DiscoverAll, s))
	<-first // the source that it waited for has ended
	r.finds("c", "10.0.0.1:80")

	// And so does one whose servers are others.
	good := serve(t)
	good.set("slow.test.", "A", records("slow.test. 1 A 10.0.0.2"))
	good.set("slow.test.", "AAAA", records())
	r.set(by("slow.test:80", config.DiscoverAll, s))
	eventually(t, "is asked", func() bool { return s.count("slow.test./A/udp") > 1 })
	r.set(by("slow.test:80", config.DiscoverAll, good))
	r.finds("c", "10.0.0.2:80")
	if st, _ := r.Status("c"); st.Failures > 0 {
		t.Errorf("a lookup that was broken off counts: %+v", st)
	}
}

// owner uses a Resolver as a program does: Set under the lock that Found takes.
type owner struct {
	*Resolver
	mu      sync.Mutex
	present map[string][]string // by cluster
}

func (o *owner) found(cluster string, _ []config.Endpoint) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if known, ok := o.Known(cluster); ok {
		o.present[cluster] = said(known)
	}
}

// Set and Found don't wait for one another, and what Known says under the lock is never what Set has ended.
func TestSetUnderTheLockOfFound(t *testing.T) {
	s := serve(t)
	for i := range 4 {
		name := fmt.Sprintf("n%d.test.", i)
		s.set(name, "A", records(fmt.Sprintf("%s 1 A 10.0.0.%d", name, i+1)))
		s.set(name, "AAAA", records())
	}
	o := &owner{present: map[string][]string{}}
	o.Resolver = newResolver(Options{Found: o.found}, 53, quick)
	defer o.Close()
	for i := range 400 {
		o.mu.Lock()
		clear(o.present)
		n := i % 4
		o.Set(map[string]config.Discover{"c": by(fmt.Sprintf("n%d.test:80", n), config.DiscoverAll, s)})
		o.mu.Unlock()
		if i%10 == 9 {
			eventually(t, "found", func() bool {
				o.mu.Lock()
				defer o.mu.Unlock()
				return o.present["c"] != nil
			})
		}
		o.mu.Lock()
		if got := o.present["c"]; got != nil && got[0] != fmt.Sprintf("10.0.0.%d:80", n+1) {
			t.Errorf("%v of n%d", got, n)
		}
		o.mu.Unlock()
	}
}

func TestSetWithinFound(t *testing.T) {
	s := serve(t)
	s.set("web.test.", "A", records("web.test. 1 A 10.0.0.1"))
	s.set("web.test.", "AAAA", records())
	var r *Resolver
	ready, done := make(chan struct{}), make(chan struct{})
	r = newResolver(Options{Found: func(cluster string, _ []config.Endpoint) {
		<-ready
		r.Set(nil)
		if _, ok := r.Known(cluster); ok {
			t.Error("known")
		}
		close(done)
	}}, 53, quick)
	defer r.Close()
	close(ready)
	r.Set(map[string]config.Discover{"c": by("web.test:80", config.DiscoverAll, s)})
	<-done
}

// While Found takes long, lookups go on, and it is called with the latest result.
func TestSlowFound(t *testing.T) {
	s := serve(t)
	s.set("web.test.", "A", records("web.test. 1 A 10.0.0.1"))
	s.set("web.test.", "AAAA", records())
	calls, goOn := make(chan []string), make(chan struct{})
	r := newResolver(Options{Found: func(_ string, endpoints []config.Endpoint) {
		calls <- said(endpoints)
		<-goOn
	}}, 53, quick)
	defer r.Close()
	r.Set(map[string]config.Discover{"c": by("web.test:80", config.DiscoverAll, s)})
	<-calls
	for i := range 3 {
		addr := fmt.Sprintf("10.0.1.%d", i)
		s.set("web.test.", "A", records("web.test. 1 A "+addr))
		eventually(t, "is known", func() bool {
			known, _ := r.Known("c")
			return said(known)[0] == addr+":80"
		})
	}
	goOn <- struct{}{}
	if got := <-calls; got[0] != "10.0.1.2:80" {
		t.Errorf("found: %v", got)
	}
	close(goOn)
}

func TestCloseLeavesNothing(t *testing.T) {
	s := serve(t)
	s.set("slow.test.", "A", silence)
	s.set("slow.test.", "AAAA", silence)
	s.set(srvName, "SRV", records(srvName+" 1 SRV 0 0 1 slow.test.", srvName+" 1 SRV 0 0 1 slower.test."))
	s.set("slower.test.", "A", both(truncated, silence))
	s.set("slower.test.", "AAAA", both(truncated, silence))
	slow := quick
	slow.timeout = time.Hour
	r := startWith(t, "/dev/null/no", 53, slow)
	r.Set(map[string]config.Discover{
		"c": by("slow.test:80", config.DiscoverAll, s),
		"d": by(srvName, config.DiscoverSRV, s),
		"f": {File: "/dev/null/no"},
	})
	eventually(t, "all are under way", func() bool {
		return s.count("slow.test./A/udp") > 1 && s.count("slower.test./AAAA/tcp") > 0
	})
	r.Close()
	if got := stacks(); strings.Contains(got, "resolve.(*source)") || strings.Contains(got, "resolve.(*Resolver)") || strings.Contains(got, "resolve.(*asker)") {
		t.Errorf("goroutines are left:\n%s", got)
	}
	r.set(by("slow.test:80", config.DiscoverAll, s))
	r.First(context.Background())
	r.Close()
	if len(r.sources) != 3 {
		t.Error("Set after Close has begun something")
	}
}

func stacks() string {
	b := make([]byte, 1<<20)
	return string(b[:runtime.Stack(b, true)])
}
