package e2e

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"time"
)

// The load of the chaos test. It is small, and steady: what is looked for are mistakes, not speed.
const (
	shortClients = 4                      // each makes a connection for every request
	shortEvery   = 20 * time.Millisecond  // of each
	longClients  = 40                     // each keeps its connection for some requests
	longEvery    = 100 * time.Millisecond // of each
	flowClients  = 40                     // each keeps its UDP socket for some requests
	flowEvery    = 100 * time.Millisecond // of each
	oneIsLarge   = 10                     // requests on long connections
	largeAnswer  = 256 << 10              // bytes: weir splices them
	longestStay  = 40                     // requests

	giveUp     = 10 * time.Second // a client's patience with a connection: longer than anything may take
	longAnswer = time.Second      // what takes longer is looked at
	answerLate = time.Second      // a datagram without an answer by then counts as lost
)

// unknown is the backend of a connection that had no answer.
const unknown = -1

// failure is a request over TCP that failed, or took long. The first one of a connection has well = sent.
type failure struct {
	key     string        // of the request
	backend int           // that the connection is with, or unknown
	well    time.Duration // when all was well for the last time: the last answer; without one, before the client connected
	sent    time.Duration // when it was sent, or before the client connected for it
	failed  time.Duration
	what    string // "" = it was answered in the end
}

func (f *failure) String() string {
	how := "failed: " + f.what
	if f.what == "" {
		how = "was answered"
	}
	return fmt.Sprintf("connection %s, with backend %d, well until %s, request of %s, at %s %s", f.key, f.backend, stamp(f.well), stamp(f.sent), stamp(f.failed), how)
}

// loss is a datagram that had no answer in time.
type loss struct {
	key     string        // of the request
	backend int           // that answered the request before, or unknown: that one was lost as well, or there was none
	well    time.Duration // when the last one that was answered was sent
	sent    time.Duration
}

func (l *loss) String() string {
	return fmt.Sprintf("flow %s, with backend %d, which answered the request of %s, lost that of %s", l.key, l.backend, stamp(l.well), stamp(l.sent))
}

// pick is a new connection or flow, from before it came until it was answered.
type pick struct {
	cluster string
	backend int
	span
}

// load is clients at work, and what they have seen.
type load struct {
	start   time.Time
	stream  string // addresses
	packets string
	clients sync.WaitGroup
	stop    context.CancelFunc

	mu        sync.Mutex
	connected int // connections
	dials     int // that failed; weir may have had them all the same, and ended them before they were seen
	failed    int // of them, in the rounds so far
	requests  int // that were answered, of any kind
	flows     int
	datagrams int // that were sent
	failures  []failure
	slow      []failure // that were answered, after longAnswer
	losses    []loss
	wrong     []string // what must not be at all
	picks     []pick   // that came to backends that get none, as far as is known
	avoid     map[string]map[int]bool
	sent      map[string]time.Duration // by key
	names     int
	opened    int // flows
}

func (l *load) now() time.Duration { return time.Since(l.start) }

// begin starts the clients. seed makes their pace.
func (l *load) begin(seed uint64) {
	ctx, stop := context.WithCancel(context.Background())
	l.stop = stop
	client := func(n int, run func(context.Context, *rand.Rand)) {
		for range n {
			seed++
			dice := rand.New(rand.NewPCG(seed, 1))
			l.clients.Go(func() { run(ctx, dice) })
		}
	}
	client(shortClients, l.short)
	client(longClients, l.long)
	client(flowClients, l.flow)
}

// name is one that no client has had.
func (l *load) name(letter string) (name string) {
	l.note(func() {
		l.names++
		name = fmt.Sprint(letter, l.names)
	})
	return name
}

// asks notes that a request is about to be sent, and returns its key.
func (l *load) asks(name string, n int) (key string, at time.Duration) {
	key = fmt.Sprint(name, "/", n)
	at = l.now()
	l.note(func() { l.sent[key] = at })
	return key, at
}

// What the names of connections and of flows begin with.
const (
	ofConnection = "c"
	ofFlow       = "f"
)

// end has the clients come to their ends and waits for them.
func (l *load) end() {
	l.stop()
	l.clients.Wait()
}

func (l *load) note(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f()
}

// shun says which backends of a cluster get no new connections, as far as is known. Who comes there all the same is looked at later.
func (l *load) shun(cluster string, which map[int]bool) { l.note(func() { l.avoid[cluster] = which }) }

// picked notes that a new connection or flow came to a backend.
func (l *load) picked(cluster string, b int, sent time.Duration) {
	l.note(func() {
		if l.avoid[cluster][b] {
			l.picks = append(l.picks, pick{cluster, b, span{sent, l.now()}})
		}
	})
}

// pause waits, as long as the load goes on.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// about is d, or up to a tenth more or less.
func about(d time.Duration, dice *rand.Rand) time.Duration {
	return d - d/10 + time.Duration(dice.Int64N(int64(d/5)))
}

// short asks once on each connection.
func (l *load) short(ctx context.Context, dice *rand.Rand) {
	for pause(ctx, about(shortEvery, dice)) {
		l.talk(ctx, dice, 1)
	}
}

// long asks more often.
func (l *load) long(ctx context.Context, dice *rand.Rand) {
	for pause(ctx, about(longEvery, dice)) {
		l.talk(ctx, dice, 2+dice.IntN(longestStay))
	}
}

// talk makes a connection for so many requests.
func (l *load) talk(ctx context.Context, dice *rand.Rand, requests int) {
	name := l.name(ofConnection)
	f := failure{backend: unknown}
	f.key, f.sent = l.asks(name, 0)
	f.well = f.sent
	fail := func(err error) {
		f.failed, f.what = l.now(), err.Error()
		l.note(func() { l.failures = append(l.failures, f) })
	}
	c, err := net.DialTimeout("tcp4", l.stream, giveUp)
	if err != nil {
		fail(err)
		l.note(func() { l.dials++ })
		return
	}
	defer c.Close()
	l.note(func() { l.connected++ })
	answers := bufio.NewReader(c)
	for i := range requests {
		if i > 0 && !pause(ctx, about(longEvery, dice)) {
			return
		}
		if i > 0 {
			f.key, f.sent = l.asks(name, i)
		}
		_ = c.SetDeadline(time.Now().Add(giveUp))
		question, rest := fmt.Sprintf("get %s %d", name, i), "\n"
		if i > 0 && dice.IntN(oneIsLarge) == 0 {
			question += fmt.Sprint(" ", largeAnswer)
			rest = " " + strings.Repeat("x", largeAnswer) + "\n"
		}
		if _, err := fmt.Fprintln(c, question); err != nil {
			fail(err)
			return
		}
		line, err := answers.ReadString('\n')
		var b, n int
		if k, _ := fmt.Sscanf(line, "b%02d "+name+" %d", &b, &n); k > 0 && f.backend == unknown && len(line) > 3 {
			f.backend = b
		} else if k > 0 && len(line) > 3 && b != f.backend {
			l.note(func() { l.wrong = append(l.wrong, fmt.Sprintf("%v: an answer of backend %d", &f, b)) })
		}
		if err != nil {
			fail(fmt.Errorf("after %d bytes: %w", len(line), err))
			return
		}
		if n != i || line != fmt.Sprintf("b%02d %s %d%s", b, name, i, rest) {
			l.note(func() {
				l.wrong = append(l.wrong, fmt.Sprintf("%v: request %d was answered with %.50q and more, %d bytes", &f, i, line, len(line)))
			})
		}
		if i == 0 {
			l.picked(streamCluster, b, f.sent)
		}
		f.failed = l.now()
		l.note(func() {
			l.requests++
			if f.failed-f.sent > longAnswer {
				l.slow = append(l.slow, f)
			}
		})
		f.well = f.failed
	}
}

// question is a datagram under way, or one that was answered.
type question struct {
	sent    time.Duration
	backend int
}

// flow asks in datagrams, on one socket for some time.
func (l *load) flow(ctx context.Context, dice *rand.Rand) {
	for pause(ctx, about(flowEvery, dice)) {
		name := l.name(ofFlow)
		c, err := l.openFlow()
		if err != nil {
			l.note(func() { l.wrong = append(l.wrong, err.Error()) })
			return
		}
		l.ask(ctx, dice, c, name)
		_ = c.Close()
	}
}

// openFlow has an address that no flow had before: the kernel may give out a port again while weir still has its flow.
func (l *load) openFlow() (net.Conn, error) {
	var n int
	l.note(func() {
		l.opened++
		n = l.opened
	})
	d := net.Dialer{LocalAddr: &net.UDPAddr{IP: net.IPv4(127, byte(1+n>>16), byte(n>>8), byte(n))}}
	return d.Dial("udp4", l.packets)
}

func (l *load) ask(ctx context.Context, dice *rand.Rand, c net.Conn, who string) {
	var mu sync.Mutex
	var questions []question
	var reader sync.WaitGroup
	reader.Go(func() {
		buf := make([]byte, 2048)
		for {
			k, err := c.Read(buf)
			if errors.Is(err, net.ErrClosed) || isTimeout(err) {
				return
			}
			var b, n int
			if _, err := fmt.Sscanf(string(buf[:k]), "b%02d "+who+" %d", &b, &n); err != nil {
				l.note(func() { l.wrong = append(l.wrong, fmt.Sprintf("%s: answer %q: %v", who, buf[:k], err)) })
				continue
			}
			at := l.now()
			mu.Lock()
			q := &questions[n]
			first := n == 0 && q.backend == unknown
			if at-q.sent <= answerLate && q.backend == unknown {
				q.backend = b
			}
			sent := q.sent
			mu.Unlock()
			if first {
				l.picked(packetCluster, b, sent)
			}
		}
	})
	for n := range 2 + dice.IntN(longestStay) {
		if n > 0 && !pause(ctx, about(flowEvery, dice)) {
			break
		}
		mu.Lock()
		_, sent := l.asks(who, n)
		questions = append(questions, question{sent, unknown})
		mu.Unlock()
		if _, err := fmt.Fprintf(c, "get %s %d", who, n); err != nil {
			l.note(func() { l.wrong = append(l.wrong, fmt.Sprintf("%s: %v", who, err)) })
		}
	}
	_ = c.SetReadDeadline(time.Now().Add(answerLate + 10*time.Millisecond))
	reader.Wait()
	l.settle(who, questions)
}

// settle finds what a flow has lost.
func (l *load) settle(who string, questions []question) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.flows++
	l.datagrams += len(questions)
	at, well := unknown, questions[0].sent
	for i, q := range questions {
		if q.backend == unknown {
			l.losses = append(l.losses, loss{fmt.Sprint(who, "/", i), at, well, q.sent})
			at = unknown
			continue
		}
		l.requests++
		at, well = q.backend, q.sent
	}
}

func isTimeout(err error) bool {
	var n net.Error
	return errors.As(err, &n) && n.Timeout()
}
