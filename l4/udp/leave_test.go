package udp

import (
	"fmt"
	"testing"

	"weir/l4"
	"weir/lb"
	"weir/lb/health"
)

// publish has the rig's cluster pick from those endpoints that are up, as a monitor does, and tells the loops who went down.
func (r *rig) publish(up ...bool) {
	r.t.Helper()
	members := make([]lb.Member, len(up))
	var left []*l4.Endpoint
	for i := range up {
		e := r.cluster.Endpoints[i]
		members[i] = r.cluster.Set().Member(i)
		was := members[i].Health
		members[i].Health = lb.Healthy
		c := l4.Condition{Checked: true, Check: health.Up}
		if !up[i] {
			members[i].Health, c.Check = lb.Unhealthy, health.Down
			if was != lb.Unhealthy {
				left = append(left, e)
			}
		}
		e.SetCondition(c)
	}
	set, err := r.cluster.Set().Next(lb.Options{Policy: r.policy}, members)
	if err != nil {
		r.t.Fatal(err)
	}
	r.cluster.Publish(set)
	for _, e := range left {
		r.doAll(func(_ int, p *Proxy) { p.LeaveEndpoint(e) })
	}
}

// The flows of an endpoint that goes down move with their next datagram, and those of others stay; when it comes back nobody moves back.
func TestLeaveEndpoint(t *testing.T) {
	everyWay(t, func(t *testing.T, o rigOptions) {
		o.loops = 2
		r := newRig(t, o, answering(t, 2)...)
		var clients []*end
		for i := range 6 {
			c := newEnd(t)
			c.ask(r.addr, "x", fmt.Sprint(i%2, ":x"))
			clients = append(clients, c)
		}
		r.publish(false, true)
		for range 2 {
			for _, c := range clients {
				c.ask(r.addr, "y", "1:y")
			}
		}
		newEnd(t).ask(r.addr, "z", "1:z")
		if one, other := r.cluster.Endpoints[0].Balance.Active(), r.cluster.Endpoints[1].Balance.Active(); one != 0 || other != 7 || r.cluster.Places.Active() != 7 {
			t.Errorf("%d and %d places are taken, %d of the cluster", one, other, r.cluster.Places.Active())
		}
		r.publish(true, true)
		for _, c := range clients {
			c.ask(r.addr, "y", "1:y")
		}
		if n := r.began(); n != 7 {
			t.Errorf("%d flows", n)
		}
		r.wantNoDrops()
		r.finish()
	})
}

// Endpoints that go down together are left together, with the first datagram of anybody.
func TestLeaveEndpoints(t *testing.T) {
	r := newRig(t, rigOptions{}, answering(t, 3)...)
	var clients []*end
	for i := range 6 {
		c := newEnd(t)
		c.ask(r.addr, "x", fmt.Sprint(i%3, ":x"))
		clients = append(clients, c)
	}
	r.publish(false, true, false)
	clients[1].ask(r.addr, "y", "1:y")
	r.do(0, func(p *Proxy) {
		if p.left != nil {
			t.Error("there are endpoints still to be left")
		}
	})
	r.publish(true, true, true)
	for i, c := range clients {
		c.send(r.addr, []byte("y"))
		if a := string(c.receive().data); (a == fmt.Sprint(i%3, ":y")) != (i%3 == 1) {
			t.Errorf("flow %d was answered %s", i, a)
		}
	}
	r.do(0, func(p *Proxy) {
		unused := l4.NewEndpoint(r.addr, 1)
		if p.LeaveEndpoint(unused); p.left != nil {
			t.Error("an endpoint without flows is to be left")
		}
	})
	if n := r.began(); n != 6 {
		t.Errorf("%d flows", n)
	}
	r.wantNoDrops()
	r.finish()
}

// Where a cluster keeps its flows, they stay; new ones go elsewhere.
func TestLeaveEndpointKeeps(t *testing.T) {
	r := newRig(t, rigOptions{keep: true}, answering(t, 2)...)
	one, other := newEnd(t), newEnd(t)
	one.ask(r.addr, "x", "0:x")
	other.ask(r.addr, "x", "1:x")
	r.publish(false, true)
	one.ask(r.addr, "x", "0:x")
	other.ask(r.addr, "x", "1:x")
	for range 3 {
		newEnd(t).ask(r.addr, "x", "1:x")
	}
	r.wantNoDrops()
	r.finish()
}

// When the last endpoint goes down, flows end with their next datagram, which is lost; in a panic, where all are used, they stay.
func TestLastEndpointDown(t *testing.T) {
	r := newRig(t, rigOptions{}, answering(t, 1)...)
	c := newEnd(t)
	c.ask(r.addr, "x", "0:x")
	r.publish(false)
	c.send(r.addr, []byte("lost"))
	r.wantDropped(l4.DropNoEndpoint, 1)
	r.wantClosed(l4.NoEndpoint, 1)
	r.publish(true)
	c.ask(r.addr, "x", "0:x")
	set, err := r.cluster.Set().Next(lb.Options{PanicThreshold: 0.5}, []lb.Member{{Endpoint: r.cluster.Endpoints[0].Balance, Weight: 1, Health: lb.Unhealthy}})
	if err != nil {
		t.Fatal(err)
	}
	r.cluster.Publish(set)
	r.do(0, func(p *Proxy) { p.LeaveEndpoint(r.cluster.Endpoints[0]) })
	c.ask(r.addr, "x", "0:x")
	newEnd(t).ask(r.addr, "x", "0:x")
	r.finish()
}

// What a connection ID names is not gone to once it is down: the connection is lost, and another server says so to its client at once.
func TestServerDown(t *testing.T) {
	for _, keep := range []bool{false, true} {
		t.Run(fmt.Sprint("keep=", keep), func(t *testing.T) {
			r := quicRig(t, rigOptions{keep: keep}, answering(t, 2)...)
			c := newEnd(t)
			made := string(packet(true, []byte{0xff, 0xff}, "first"))
			c.ask(r.addr, made, "0:"+made)
			b := string(packet(false, server(0), "x"))
			c.ask(r.addr, b, "0:"+b)
			r.publish(false, true)
			name := map[bool]string{true: "0:", false: "1:"}[keep]
			for range 3 {
				c.ask(r.addr, b, name+b)
			}
			moved := newEnd(t)
			for range 2 {
				moved.ask(r.addr, b, name+b)
			}
			r.publish(true, true)
			newEnd(t).ask(r.addr, b, "0:"+b)
			r.publish(false, false)
			newEnd(t).send(r.addr, []byte(b))
			if !keep {
				r.wantDropped(l4.DropNoEndpoint, 1)
			}
			r.finish()
		})
	}
}

// A flow of a full cluster moves: it has its place. New ones are refused until one has ended, exactly, over all loops.
func TestMoveAtFullCluster(t *testing.T) {
	everyWay(t, func(t *testing.T, o rigOptions) {
		const limit = 4
		o.loops, o.limits.MaxConnections = 2, limit
		r := newRig(t, o, answering(t, 2)...)
		var clients []*end
		for i := range limit {
			c := newEnd(t)
			c.ask(r.addr, "x", fmt.Sprint(i%2, ":x"))
			clients = append(clients, c)
		}
		for round := range 4 {
			r.publish(round%2 == 0, round%2 == 1)
			for _, c := range clients {
				c.ask(r.addr, "y", fmt.Sprint(round%2, ":y"))
			}
			newEnd(t).send(r.addr, []byte("let me in"))
			r.wantDropped(l4.DropClusterFull, uint64(round+1))
			if n := r.cluster.Places.Active(); n != limit {
				t.Fatalf("%d places are taken", n)
			}
		}
		r.doAll(func(_ int, p *Proxy) { p.DrainListener(r.listener, 0) })
		r.eventually("all have ended", func() bool { return r.cluster.Places.Active() == 0 })
		newEnd(t).ask(r.addr, "x", "1:x")
		n := uint64(0)
		for i := range r.cluster.Loops {
			n += r.cluster.Loops[i].ClusterFull.Load()
		}
		if n != 4 {
			t.Errorf("the cluster counted %d", n)
		}
		r.finish()
	})
}

// ICMP errors are failures in a row, over all flows and loops, until the endpoint answers anybody.
func TestConduct(t *testing.T) {
	everyWay(t, func(t *testing.T, o rigOptions) {
		o.keep = true
		at := refusing(t)
		r := newRig(t, o, at)
		conduct := &r.cluster.Endpoints[0].Conduct
		alarms := make(chan int, 100)
		conduct.Watch(3, func() { alarms <- conduct.Failures() })
		c := newEnd(t)
		for i := range 4 {
			c.send(r.addr, []byte("x"))
			r.eventually("the refusal is counted", func() bool { return conduct.Failures() > i })
			r.settle()
		}
		newEnd(t).send(r.addr, []byte("x"))
		r.eventually("the refusal is counted", func() bool { return conduct.Failures() >= 5 })
		if n := <-alarms; n != 3 || len(alarms) != 0 {
			t.Errorf("the alarm rang at %d, and %d times more", n, len(alarms))
		}
		e, err := tryEnd(t, at)
		if err != nil {
			t.Skip("somebody else has the port: ", err)
		}
		go e.serve(echo)
		c.ask(r.addr, "x", "x")
		r.settle()
		if n := conduct.Failures(); n != 0 {
			t.Errorf("%d failures in a row after an answer", n)
		}
		r.finish()
	})
}
