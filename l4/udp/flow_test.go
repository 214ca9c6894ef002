package udp

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"weir/l4"
	"weir/l4/flow"
)

// Each timeout ends the flow, for its own reason and not before its time; datagrams of either side keep it alive.
func TestTimeouts(t *testing.T) {
	const soon = 150 * time.Millisecond
	t.Run("idle", func(t *testing.T) {
		t.Parallel()
		b := serve(t, echo)
		r := newRig(t, rigOptions{settings: Settings{Rules: flow.Rules{Idle: soon}}}, b.at)
		c := newEnd(t)
		began := time.Now()
		c.ask(r.addr, "x", "x")
		r.wantClosed(l4.IdleTimeout, 1)
		if took := time.Since(began); took < soon {
			t.Errorf("ended after %v", took)
		}
		c.ask(r.addr, "another flow", "another flow")
		r.wantClosed(l4.IdleTimeout, 2)
		r.finish()
	})
	t.Run("silent endpoint", func(t *testing.T) {
		t.Parallel()
		b := newEnd(t)
		r := newRig(t, rigOptions{settings: Settings{Rules: flow.Rules{Idle: soon}}}, b.at)
		newEnd(t).send(r.addr, nil)
		r.wantClosed(l4.IdleTimeout, 1)
		r.finish()
	})
	for _, who := range []string{"client", "endpoint"} {
		t.Run(who+" keeps it alive", func(t *testing.T) {
			t.Parallel()
			b, c := newEnd(t), newEnd(t)
			r := newRig(t, rigOptions{settings: Settings{Rules: flow.Rules{Idle: 3 * soon}}}, b.at)
			c.send(r.addr, []byte("x"))
			way := b.want("x")
			tick := time.NewTicker(soon / 2)
			defer tick.Stop()
			for range 12 {
				<-tick.C
				if who == "client" {
					c.send(r.addr, []byte("y"))
					b.want("y")
				} else {
					b.send(way, []byte("y"))
					c.want("y")
				}
			}
			if n := r.began(); n != 1 || r.shared.Active() != 1 {
				t.Errorf("%d flows,%s", n, r.counts())
			}
			r.wantClosed(l4.IdleTimeout, 1)
			r.finish()
		})
	}
	t.Run("max duration", func(t *testing.T) {
		t.Parallel()
		b, c := newEnd(t), newEnd(t)
		r := newRig(t, rigOptions{settings: Settings{Rules: flow.Rules{Idle: time.Hour, MaxDuration: soon}}}, b.at)
		began := time.Now()
		r.eventually("it ends though it is busy", func() bool {
			c.send(r.addr, []byte("y"))
			b.want("y")
			return r.closed(l4.MaxDuration) > 0
		})
		if took := time.Since(began); took < soon {
			t.Errorf("ended after %v", took)
		}
		r.finish()
	})
}

// A flow ends with its last answer, and what was asked before that is answered.
func TestResponses(t *testing.T) {
	everyWay(t, func(t *testing.T, o rigOptions) {
		for _, responses := range []int{1, 2} {
			o.settings.Rules = flow.Rules{Idle: time.Hour, Responses: int64(responses)}
			b, c := newEnd(t), newEnd(t)
			r := newRig(t, o, b.at)
			ended := uint64(0)
			answer := func(way netip.AddrPort, n int) {
				for i := range n {
					b.send(way, fmt.Append(nil, i))
					c.want(fmt.Sprint(i))
				}
				ended++
				r.wantClosed(l4.Answered, ended)
			}
			c.send(r.addr, []byte("one"))
			answer(b.want("one"), responses)

			c.send(r.addr, []byte("one"))
			c.send(r.addr, []byte("two"))
			way := b.want("one")
			if b.want("two") != way {
				t.Fatal("another flow")
			}
			answer(way, 2*responses)

			// Asked again when one answer was given: the rest of both.
			c.send(r.addr, []byte("one"))
			way = b.want("one")
			if responses > 1 {
				b.send(way, []byte("a"))
				c.want("a")
				c.send(r.addr, []byte("two"))
				b.want("two")
				answer(way, 2*responses-1)
			} else {
				answer(way, 1)
			}

			// All in one turn: the questions, then the answers and one too many.
			r.atOnce(func() {
				for range 3 {
					c.send(r.addr, []byte("q"))
				}
			})
			for range 3 {
				way = b.want("q")
			}
			r.atOnce(func() {
				for range 3*responses + 1 {
					b.send(way, []byte("a"))
				}
			})
			for range 3 * responses {
				c.want("a")
			}
			ended++
			r.wantClosed(l4.Answered, ended)
			if n := r.began(); n != ended {
				t.Errorf("%d flows began, %d ended", n, ended)
			}
			r.finish()
		}
	})
}

// A client that asks again in the very turn in which it gets its answer keeps its flow.
func TestAskedAgainAtOnce(t *testing.T) {
	b, c := newEnd(t), newEnd(t)
	r := newRig(t, rigOptions{settings: Settings{Rules: flow.Rules{Responses: 1}}}, b.at)
	c.send(r.addr, []byte("1"))
	way := b.want("1")
	for i := range 20 {
		next := fmt.Sprint(i)
		r.atOnce(func() {
			b.send(way, []byte("answer"))
			c.send(r.addr, []byte(next))
		})
		c.want("answer")
		again := b.want(next)
		if again != way && r.began() == r.closed(l4.Answered) {
			t.Fatal("the flow ended before it was asked")
		}
		way = again
	}
	b.send(way, []byte("last"))
	c.want("last")
	r.eventually("all flows ended", func() bool { return r.shared.Active() == 0 && r.began() == r.closed(l4.Answered) })
	r.finish()
}

// later echoes after a while; the group waits for it.
func later(group *sync.WaitGroup, by time.Duration, e *end, a arrival) {
	group.Add(1)
	time.AfterFunc(by, func() {
		defer group.Done()
		echo(e, a)
	})
}

// hammered is who asked what through which of weir's ports. The kernel may draw a port again as soon as it is free, and with it comes what is still
// under way to it: that is nobody's to prevent, and told apart from what a socket that is used again would bring.
type hammered struct {
	mu    sync.Mutex
	ports map[string]uint16
}

func (h *hammered) port(question string) uint16 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.ports[question]
}

// Sockets of flows that ended are used again while answers to the flows before are still coming: nobody hears an answer to another's question.
func TestLateAnswers(t *testing.T) { quietly(t, lateAnswers) }

func lateAnswers(t *testing.T) {
	const workers, each = 16, 250
	var late sync.WaitGroup
	h := &hammered{ports: map[string]uint16{}}
	b := serve(t, func(e *end, a arrival) {
		h.mu.Lock()
		h.ports[string(a.data)] = a.from.Port()
		h.mu.Unlock()
		echo(e, a)
		if by := rand.IntN(100) - 49; by <= 0 {
			echo(e, a)
		} else {
			later(&late, time.Duration(by)*time.Millisecond, e, a)
		}
	})
	r := newRig(t, rigOptions{loops: 2, settings: Settings{Rules: flow.Rules{Idle: 5 * time.Second, Responses: 1}}}, b.at)
	var wg sync.WaitGroup
	var mu sync.Mutex
	redrawn := 0
	for w := range workers {
		wg.Go(func() {
			var c *end
			var question, last string
			for k := range each {
				if k%10 == 0 {
					c = newEnd(t)
				}
				question, last = fmt.Sprintf("%d/%d/%d", w, k/10, k), question
				c.send(r.addr, []byte(question))
				for {
					a, err := c.receiveWithin(waiting)
					if err != nil {
						t.Errorf("%s: %v", question, err)
						return
					}
					if a.from != r.addr {
						continue // late, and to a port that is the client's now
					}
					if string(a.data) == question {
						break
					}
					if strings.HasPrefix(string(a.data), question[:strings.LastIndex(question, "/")+1]) {
						continue // its own question of before, answered again
					}
					eventually(t, question+" has arrived", func() bool { return h.port(question) != 0 })
					mu.Lock()
					redrawn++
					mu.Unlock()
					switch h.port(string(a.data)) {
					case h.port(last): // with its own answer, in the turn in which the flow ended
						continue
					case h.port(question):
						c = newEnd(t) // the flow had its answer
					default:
						t.Errorf("%s, which was asked from port %d, was answered what %s asked from port %d",
							question, h.port(question), a.data, h.port(string(a.data)))
					}
					break
				}
			}
		})
	}
	wg.Wait()
	late.Wait()
	r.eventually("all flows ended", func() bool { return r.shared.Active() == 0 })
	if n := r.closed(l4.Answered); n != r.began() || n < workers*each/2 {
		t.Errorf("%d flows,%s", r.began(), r.counts())
	}
	r.do(0, func(p *Proxy) {
		if n := p.upstreams.Cap(); n > workers*each/2 {
			t.Errorf("%d sockets for %d flows: none was used again", n, r.began())
		}
	})
	t.Logf("%d late answers came with a port that was drawn again", redrawn)
	r.finish()
}
