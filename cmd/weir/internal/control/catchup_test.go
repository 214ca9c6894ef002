package control

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"weir/cmd/weir/internal/stats"
	"weir/config"
	"weir/l4"
)

func parseText(t testing.TB, text string) *config.Snapshot {
	t.Helper()
	s, err := config.Parse([]config.Source{{Text: "process.loops = 2\nadmin.listen = ''\n" + text, Kind: config.TOML}})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// beginText begins a Control on which nobody looks but the test.
func beginText(t testing.TB, log *bytes.Buffer, text string) *Control {
	t.Helper()
	c, err := begin(context.Background(), Options{Snapshot: parseText(t, text), Log: slog.New(slog.NewTextHandler(log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		c.Shutdown(ctx)
	})
	return c
}

// A listener that only some loops could take over is opened again on its address, which those loops still have.
func TestCatchUp(t *testing.T) {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := free.Addr().String()
	_ = free.Close()
	var log bytes.Buffer
	c := beginText(t, &log, fmt.Sprintf("[listeners.in]\nbind = %q\ncluster = 'out'\n[clusters.out]\nendpoints = ['127.0.0.1:1']", at))
	before := c.sockets[keys(c.running.Listeners[0])[0]]
	// As after a change of which loop 0 could not do its part.
	delete(c.sockets, keys(c.running.Listeners[0])[0])
	c.behind = true
	c.behindWhy = "no memory"
	c.catchUp()
	after, ok := c.sockets[keys(c.running.Listeners[0])[0]]
	if !ok || after.fds[0] == before.fds[0] || c.behind {
		t.Errorf("sockets %v, before %v, still behind: %v\n%s", after, before, c.behind, &log)
	}
	conn, err := net.Dial("tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
	if !strings.Contains(log.String(), "level=INFO msg=\"all that was configured and discovered runs again\"") {
		t.Errorf("the log doesn't say so:\n%s", &log)
	}
}

// A change of which a loop can't do its part holds, and is told from one that changed nothing.
func TestAppliedInPart(t *testing.T) {
	var log bytes.Buffer
	c := beginText(t, &log, "")
	c.loops[0].Loop.Stop()
	<-c.loops[0].Loop.Stopped()
	next := parseText(t, "[listeners.in]\nbind = '127.0.0.1:0'\ncluster = 'out'\n[clusters.out]\nendpoints = ['127.0.0.1:1']")
	err := c.Apply(next)
	if !InPart(err) || !strings.HasPrefix(err.Error(), "applied in part: ") {
		t.Errorf("error: %v", err)
	}
	if v := c.View(); c.Snapshot() != next || len(v.Listeners) != 1 || v.Reloads.Failed != 1 || v.Reloads.LastError != err.Error() || !c.behind {
		t.Errorf("it doesn't run what was applied: %+v", v)
	}
	if err := c.Apply(parseText(t, "[listeners.in]\nbind = '192.0.2.1:80'\ncluster = 'out'\n[clusters.out]\nendpoints = ['127.0.0.1:1']")); err == nil || InPart(err) || c.Snapshot() != next {
		t.Errorf("a change that is refused: %v", err)
	}
	c.catchUp()
	if strings.Contains(log.String(), "trying again") {
		t.Errorf("what Apply has returned is logged once more:\n%s", &log)
	}
}

// A stage is one of the whole process: listeners that come later, or change, are in it as well, and leave it with the others.
func TestStageThroughAReload(t *testing.T) {
	backend, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = backend.Close() })
	go func() {
		for {
			conn, err := backend.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Write([]byte("x"))
			_ = conn.Close()
		}
	}()
	var log bytes.Buffer
	text := fmt.Sprintf("[clusters.out]\nendpoints = [%q]\n[listeners.in]\nbind = '127.0.0.1:0'\ncluster = 'out'\n", backend.Addr())
	c := beginText(t, &log, text)
	c.weigh(stats.Pressure{Memory: 0.995})
	if err := c.Apply(parseText(t, text+"idle_timeout = '1m'\n[listeners.more]\nbind = '127.0.0.1:0'\ncluster = 'out'")); err != nil {
		t.Fatal(err)
	}
	v := c.View()
	if v.Pressure().Stage != l4.StageRefuse {
		t.Errorf("stage %v", v.Pressure().Stage)
	}
	end := time.Now().Add(10 * time.Second)
	var conns []net.Conn
	for i := range v.Listeners {
		l := &v.Listeners[i]
		conn, err := net.Dial("tcp", l.Binds[0].String())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		_ = conn.SetDeadline(end)
		conns = append(conns, conn)
		for pausesOf(l).limit == 0 {
			if time.Now().After(end) {
				t.Fatalf("listener %s doesn't pause", l.Name)
			}
			runtime.Gosched()
		}
		if n := l.State.Active(); n != 0 {
			t.Errorf("listener %s has let %d in", l.Name, n)
		}
	}
	c.weigh(stats.Pressure{Memory: 0.5})
	for i, conn := range conns {
		if _, err := conn.Read(make([]byte, 1)); err != nil {
			t.Errorf("listener %s, calm again: %v", v.Listeners[i].Name, err)
		}
	}
}

// What goes on failing is said once.
func TestBehindIsSaidOnce(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	var log bytes.Buffer
	c := beginText(t, &log, "")
	c.mu.Lock()
	c.configured = parseText(t, fmt.Sprintf("[listeners.in]\nbind = %q\ncluster = 'out'\n[clusters.out]\nendpoints = ['127.0.0.1:1']", taken.Addr()))
	c.behind = true
	c.mu.Unlock()
	for range 3 {
		c.catchUp()
	}
	if n := strings.Count(log.String(), "trying again"); n != 1 || !c.behind {
		t.Errorf("said %d times, behind: %v\n%s", n, c.behind, &log)
	}
	_ = taken.Close()
	c.catchUp()
	if c.behind || !strings.Contains(log.String(), "runs again") {
		t.Errorf("behind: %v\n%s", c.behind, &log)
	}
	// A change that succeeds is said as such, and leaves nothing to say.
	c.behind, c.behindWhy = true, "something"
	log.Reset()
	if err := c.Apply(c.Snapshot()); err != nil || c.behind || c.behindWhy != "" {
		t.Errorf("%v, behind: %v %q", err, c.behind, c.behindWhy)
	}
	c.mu.Lock()
	c.take(c.configured)
	c.mu.Unlock()
	if strings.Contains(log.String(), "runs again") {
		t.Errorf("the log:\n%s", &log)
	}
	v := c.View()
	if len(v.Listeners) != 1 || v.Reloads.Applied != 1 {
		t.Errorf("%d listeners, reloads %+v", len(v.Listeners), v.Reloads)
	}
}

// Too few descriptors are said once for each value, and again when there were enough in between.
func TestUnmetIsSaidOnce(t *testing.T) {
	var log bytes.Buffer
	c := &Control{log: slog.New(slog.NewTextHandler(&log, nil))}
	for i, step := range []struct {
		most, room int64
		says       bool
	}{{100, 200, false}, {300, 200, true}, {300, 198, false}, {300, 200, false}, {400, 200, true}, {400, 500, false}, {400, 300, true}, {0, 300, false}, {400, 300, true}} {
		log.Reset()
		if c.sayUnmet(step.most, step.room); log.Len() > 0 != step.says {
			t.Errorf("step %d: %q", i, log.String())
		}
	}
}

// Checks and lookups have descriptors that sessions leave to them.
func TestRoomForChecksAndLookups(t *testing.T) {
	for _, c := range []struct{ names, services, want int }{{0, 0, 0}, {1, 0, 2}, {3, 1, 22}, {1000, 0, 128}, {0, 1000, 128}} {
		if got := lookups(c.names, c.services); got != c.want {
			t.Errorf("%d names, %d services: %d descriptors, want %d", c.names, c.services, got, c.want)
		}
	}
	room := func(text string) int64 {
		c := beginText(t, new(bytes.Buffer), text)
		c.mu.Lock()
		defer c.mu.Unlock()
		c.files.limit, c.files.overhead = 10_000, 0
		_, descriptors, _ := c.limits()
		return descriptors
	}
	const cluster = "[clusters.out]\nendpoints = ['127.0.0.1:1', '127.0.0.1:2', '127.0.0.1:3']\n"
	without := room(cluster)
	if with := room(cluster + "health = { interval = '1h' }"); with != without-3 {
		t.Errorf("%d descriptors with 3 endpoints that are checked, %d without", with, without)
	}
	if with := room(cluster + "[clusters.found]\ndiscover = { dns = 'a.invalid:80', servers = ['127.0.0.1:1'] }"); with != without-2 {
		t.Errorf("%d descriptors with a name that is looked up, %d without", with, without)
	}
}

// Refusals are logged for each listener; another one of the same name begins with none.
func TestRefusalsOfAListenerThatIsReplaced(t *testing.T) {
	var log bytes.Buffer
	c := &Control{log: slog.New(slog.NewTextHandler(&log, nil))}
	tcp, udp := l4.NewListener("in", 2), l4.NewListener("in", 2)
	view := func(l *l4.Listener) *stats.View {
		return &stats.View{Listeners: []stats.Listener{{Name: "in", State: l}}}
	}
	says := func(want string) {
		t.Helper()
		if got := log.String(); !strings.Contains(got, want) || strings.Count(got, "\n") != min(1, len(want)) {
			t.Errorf("logged %q, want %q", got, want)
		}
		log.Reset()
	}
	now := time.Now()
	tcp.Loops[0].Closed[l4.Denied].Add(5)
	tcp.Loops[1].Closed[l4.Denied].Add(2)
	seen := c.logRefusals(view(tcp), refusals{}, now)
	says(`level=INFO msg="connections refused" listener=in reason=denied count=7`)
	tcp.Loops[1].Closed[l4.Denied].Add(1)
	seen = c.logRefusals(view(tcp), seen, now.Add(refusalsEvery/2))
	says("")
	udp.Loops[0].Dropped[l4.DropDenied].Add(3)
	seen = c.logRefusals(view(udp), seen, now.Add(refusalsEvery/2))
	says(`level=INFO msg="datagrams refused" listener=in reason=denied count=3`)
	if len(seen) != 1 {
		t.Errorf("%d listeners are kept", len(seen))
	}
	c.logRefusals(view(udp), seen, now.Add(2*refusalsEvery))
	says("")
}
