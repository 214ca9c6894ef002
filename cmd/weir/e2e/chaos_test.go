package e2e

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// What the clusters of the chaos test are told of health.
const (
	interval = 200 * time.Millisecond
	fast     = 100 * time.Millisecond
	timeout  = 300 * time.Millisecond
	connect  = 500 * time.Millisecond
	rise     = 2
	fall     = 3
)

// How long it takes at most until checks have taken an endpoint down, or up: each wait may be a tenth longer than it is set, and the check under way
// as it changes may tell of what was before.
const (
	downBy = (interval+(fall-1)*fast)*11/10 + fall*timeout
	upBy   = timeout + (interval+(rise-1)*fast)*11/10
)

const (
	chaosBackends = 20
	mostFaulty    = chaosBackends / 3
	mostDeaf      = 2 // that weir doesn't know to be down: fewer than it makes connect attempts
	mostDrained   = 3
	serial        = 100 // connections for each endpoint, at rest
)

// chaos is one run. All of it belongs to the test's goroutine, but for what the load notes.
type chaos struct {
	t        *testing.T
	w        *proxy
	seed     uint64
	dice     *rand.Rand
	start    time.Time
	backends []*backend
	now      []*fault // by backend
	until    []time.Duration
	bag      []*kind // that are drawn next
	rounds   int

	*annals
	*load
	heard      int      // bytes of weir's log
	weights    []string // of the configuration that runs, as text
	drained    []bool
	drains     [][]span // by backend
	counted    counts
	blames     []blame
	receiver   map[string]int // backend by the request's key, of the last round
	stutter    *stutter
	complaints int
}

// TestChaos breaks backends in all the ways it knows, at random, while clients work, and reconfigures weir besides. No client may suffer from what is no
// fault of its backend, and none for longer than it takes to see it; weir must know of all of it, count all of it, and be as before when it is over.
//
//	go test ./cmd/weir/e2e -run TestChaos -v                     one round
//	WEIR_SOAK=30m go test -timeout 40m ./cmd/weir/e2e -run ...   rounds for so long
//	WEIR_CHAOS_SEED=N ...                                        faults of that seed, in its order; their times are the machine's
func TestChaos(t *testing.T) {
	c := newChaos(t)
	round, soak := 14*time.Second, time.Duration(0)
	if len(raceFlag) > 0 {
		round = 10 * time.Second
	}
	if text := os.Getenv("WEIR_SOAK"); text != "" {
		var err error
		if soak, err = time.ParseDuration(text); err != nil {
			t.Fatalf("WEIR_SOAK: %v", err)
		}
		round = min(time.Minute, soak)
	}
	before := c.resources()
	var warm resources
	for begun := time.Now(); ; {
		c.rounds++
		c.round(round)
		after := c.leaks(before)
		if c.rounds == 1 {
			warm = after
		} else if len(raceFlag) == 0 && after.resident > warm.resident*3/2 {
			t.Errorf("weir has %d KiB after %d rounds, and had %d after the first", after.resident>>10, c.rounds, warm.resident>>10)
		}
		t.Logf("round %d: %s", c.rounds, after)
		if t.Failed() || time.Since(begun)+round > soak {
			break
		}
	}
	c.checkLog()
	if c.complaints > 0 {
		t.Logf("%d complaints, of which the first were told", c.complaints)
	}
}

// newChaos starts the backends, and weir before them.
func newChaos(t *testing.T) *chaos {
	c := &chaos{t: t, start: time.Now(), seed: rand.Uint64N(1 << 32), now: make([]*fault, chaosBackends), until: make([]time.Duration, chaosBackends),
		annals: newAnnals(chaosBackends), drained: make([]bool, chaosBackends), drains: make([][]span, chaosBackends)}
	if text := os.Getenv("WEIR_CHAOS_SEED"); text != "" {
		var err error
		if c.seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("WEIR_CHAOS_SEED: %v", err)
		}
	}
	t.Logf("WEIR_CHAOS_SEED=%d", c.seed)
	c.dice = rand.New(rand.NewPCG(c.seed, 0))
	for i := range chaosBackends {
		c.backends = append(c.backends, newBackend(t, i))
		c.weights = append(c.weights, "weight = 1")
	}
	c.w = &proxy{file: filepath.Join(t.TempDir(), "weir.toml")}
	c.w.write(t, c.config())
	c.w.start(t)
	c.stutter = newStutter(t, c.start)
	c.load = &load{
		start: c.start, avoid: map[string]map[int]bool{}, sent: map[string]time.Duration{},
		stream:  c.w.says(`msg=listening listener=stream address=(\S+)`),
		packets: c.w.says(`msg=listening listener=packets address=(\S+)`),
	}
	return c
}

// config is the configuration with the present weights.
func (c *chaos) config() string {
	var endpoints strings.Builder
	for i, b := range c.backends {
		fmt.Fprintf(&endpoints, "  { address = %q, %s },\n", b.addr, c.weights[i])
	}
	cluster := func(name, check string) string {
		return fmt.Sprintf(`
[clusters.%[1]s]
endpoints = [
%[2]s]
connect_timeout = "%[3]s"
connect_attempts = 3
panic_threshold = 0.0
outlier = { consecutive_failures = 5, success_rate_stdev = 0.0, ejection = "1s" }
limits = { max_pending = 100 }
[clusters.%[1]s.health]
type = %[4]q
send = "health\n"
expect = %[5]q
interval = "%[6]s"
fast_interval = "%[7]s"
timeout = "%[8]s"
rise = %[9]d
fall = %[10]d
on_down = "close"
`, name, &endpoints, connect, check, fine, interval, fast, timeout, rise, fall)
	}
	return hurried + `
[listeners.stream]
bind = "127.0.0.1:0"
cluster = "stream"
[listeners.packets]
bind = "127.0.0.1:0"
protocol = "udp"
cluster = "packets"
idle_timeout = "1s"
` + cluster(streamCluster, "tcp") + cluster(packetCluster, "udp")
}

// round is faults and load for so long, then rest, in which all must be as it was.
func (c *chaos) round(over time.Duration) {
	c.t.Helper()
	c.counted = c.count()
	c.load.begin(c.dice.Uint64())
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	end := c.load.now() + over
	var nextFault, nextPoll time.Duration
	nextReload := c.load.now() + time.Second
	for ; c.load.now() < end && !c.t.Failed(); <-tick.C {
		c.follow()
		now := c.load.now()
		for i, f := range c.now {
			if f != nil && now >= c.until[i] {
				c.heal(i)
			}
		}
		if now >= nextFault && end-now > time.Second {
			c.breakOne()
			nextFault = c.load.now() + c.between(0, 400*time.Millisecond)
		}
		if now >= nextReload {
			c.reconfigure()
			nextReload = c.load.now() + c.between(500*time.Millisecond, 3*time.Second)
		}
		if now >= nextPoll {
			c.poll()
			nextPoll = now + 200*time.Millisecond
		}
	}
	for i, f := range c.now {
		if f != nil {
			c.heal(i)
		}
	}
	c.settle()
	c.load.end()
	c.rest()
	c.judge()
	c.balance()
}

func (c *chaos) between(least, most time.Duration) time.Duration {
	return least + time.Duration(c.dice.Int64N(int64(most-least)))
}

// draw returns the next kind of fault. All have their turn before one comes again; the deaf ones wait where there are enough.
func (c *chaos) draw() *kind {
	if len(c.bag) == 0 {
		c.bag = slices.Clone(kinds)
		c.dice.Shuffle(len(c.bag), func(i, j int) { c.bag[i], c.bag[j] = c.bag[j], c.bag[i] })
	}
	deaf := 0
	for i, f := range c.now {
		if f != nil && f.deaf && c.up(streamCluster, i) {
			deaf++
		}
	}
	i := slices.IndexFunc(c.bag, func(k *kind) bool { return !k.deaf || deaf < mostDeaf })
	if i < 0 {
		return nil
	}
	k := c.bag[i]
	c.bag = slices.Delete(c.bag, i, i+1)
	return k
}

// breakOne gives a backend a fault, if it may have one.
func (c *chaos) breakOne() {
	c.t.Helper()
	faulty := 0
	for _, f := range c.now {
		if f != nil {
			faulty++
		}
	}
	i := c.dice.IntN(len(c.backends))
	hasty := c.dice.IntN(5) == 0 // also one that is still down
	if faulty >= mostFaulty || c.now[i] != nil || !hasty && !(c.up(streamCluster, i) && c.up(packetCluster, i)) {
		return
	}
	k := c.draw()
	if k == nil {
		return
	}
	f := &fault{kind: k, backend: i, begin: c.load.now(), end: noEnd, ended: noEnd}
	if err := k.begin(c.backends[i]); err != nil {
		c.t.Fatalf("backend %d, %s: %v", i, k.name, err)
	}
	f.began = c.load.now()
	c.now[i] = f
	c.faults = append(c.faults, f)
	lasts := c.between(time.Second, 4*time.Second)
	if c.dice.IntN(4) == 0 {
		lasts = c.between(20*time.Millisecond, 800*time.Millisecond) // over before it is noticed, or just then
	}
	c.until[i] = f.began + lasts
}

// heal ends a backend's fault.
func (c *chaos) heal(i int) {
	c.t.Helper()
	f := c.now[i]
	f.end = c.load.now()
	if err := f.kind.end(c.backends[i]); err != nil {
		c.t.Fatalf("backend %d, the end of %s: %v", i, f.name, err)
	}
	f.ended = c.load.now()
	c.now[i] = nil
}

// reconfigure draws weights, and some endpoints that drain.
func (c *chaos) reconfigure() {
	c.t.Helper()
	drained := make([]bool, len(c.backends))
	for range c.dice.IntN(mostDrained + 1) {
		drained[c.dice.IntN(len(drained))] = true
	}
	for i := range c.weights {
		c.weights[i] = fmt.Sprint("weight = ", 1+c.dice.IntN(3))
	}
	c.apply(drained)
}

// apply has weir take up the configuration with these endpoints drained.
func (c *chaos) apply(drained []bool) {
	c.t.Helper()
	for i, d := range drained {
		if d {
			c.weights[i] += `, state = "drain"`
		} else if c.drained[i] {
			last := &c.drains[i][len(c.drains[i])-1]
			last.to = c.load.now()
		}
	}
	before := c.load.now()
	c.w.reload(c.config())
	c.reloads = append(c.reloads, span{before, c.load.now()})
	for i, d := range drained {
		if d && !c.drained[i] {
			c.drains[i] = append(c.drains[i], span{c.load.now(), noEnd})
		}
	}
	c.drained = drained
}

var turnLine = regexp.MustCompile(`^time=(\S+) level=\S+ msg="endpoint (down|up|ejected|returns)" cluster=(\S+) endpoint=(\S+)`)

// follow reads on in weir's log.
func (c *chaos) follow() {
	c.t.Helper()
	text := c.w.out.from(c.heard)
	for {
		line, rest, whole := strings.Cut(text, "\n")
		if !whole {
			break
		}
		c.heard += len(line) + 1
		text = rest
		m := turnLine.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		at, err := time.Parse(time.RFC3339Nano, m[1])
		i := slices.IndexFunc(c.backends, func(b *backend) bool { return b.addr == m[4] })
		if err != nil || i < 0 {
			c.t.Fatalf("weir's log says %q: %v", line, err)
		}
		c.turns[m[3]][i] = append(c.turns[m[3]][i], turn{at.Sub(c.start.Round(0)), m[2]})
	}
	for _, cluster := range []string{streamCluster, packetCluster} {
		avoid := map[int]bool{}
		for i := range c.backends {
			avoid[i] = c.drained[i] || !c.up(cluster, i)
		}
		c.load.shun(cluster, avoid)
	}
}

// up reports whether weir's log, as far as it was read, has the endpoint up.
func (c *chaos) up(cluster string, i int) bool { return c.last(cluster, i, "down", "up") != "down" }

// last is the last of two kinds of turns.
func (c *chaos) last(cluster string, i int, a, b string) string {
	for _, t := range slices.Backward(c.turns[cluster][i]) {
		if t.what == a || t.what == b {
			return t.what
		}
	}
	return ""
}

// settle has weights equal again, and waits until weir has all endpoints back.
func (c *chaos) settle() {
	c.t.Helper()
	for i := range c.weights {
		c.weights[i] = "weight = 1"
	}
	c.apply(make([]bool, len(c.backends)))
	over := c.load.now()
	quiet := over + timeout + c.slack(span{over, over}) // no check is under way that began in a fault
	eventually(c.t, "all endpoints are back", func() bool {
		c.follow()
		if c.load.now() < quiet {
			return false
		}
		for _, cluster := range []string{streamCluster, packetCluster} {
			for i := range c.backends {
				if !c.up(cluster, i) || c.last(cluster, i, "ejected", "returns") == "ejected" {
					return false
				}
			}
		}
		return c.poll()
	})
}
