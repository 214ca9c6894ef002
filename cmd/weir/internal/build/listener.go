package build

import (
	"cmp"
	"encoding/hex"
	"fmt"
	"reflect"
	"slices"

	"weir/config"
	"weir/eventloop"
	"weir/l4"
	"weir/l4/flow"
	"weir/l4/tcp"
	"weir/l4/udp"
	"weir/lb"
)

// listener returns the listener that c describes, with the clusters of next.
func (r *Running) listener(next *Running, c *config.Listener) (*Listener, error) {
	old := r.Listener(c.Name)
	if old != nil && old.Config.Protocol != c.Protocol {
		old = nil // another one that happens to have its name
	}
	l := &Listener{Name: c.Name, Sockets: sockets(c), Config: c}
	if old != nil {
		l.State = old.State
	} else {
		l.State = l4.NewListener(c.Name, r.options.Loops)
	}
	if old != nil && reflect.DeepEqual(old.Config, c) && r.sameClusters(next, c) {
		l.TCP, l.UDP = old.TCP, old.UDP
		return l, nil
	}
	routes, err := routes(old, next, c)
	if err != nil {
		return nil, err
	}
	if c.Protocol == config.ProtocolUDP {
		l.UDP, err = datagramSettings(next, c, routes)
		return l, err
	}
	l.TCP = &tcp.Settings{
		Routes:           routes,
		Buffer:           int(c.Buffer),
		IdleTimeout:      c.IdleTimeout,
		HalfCloseTimeout: c.HalfCloseTimeout,
		MaxDuration:      c.MaxDuration,
		MaxConnections:   c.MaxConnections,
		Access:           admission(c),
		UserTimeout:      c.TCP.UserTimeout,
		Keepalive:        c.TCP.Keepalive,
	}
	return l, nil
}

// routes returns where the listener's connections go.
func routes(old *Listener, next *Running, c *config.Listener) (r l4.Routes, err error) {
	for i := range c.Routes {
		target, err := route(old, next, i, &c.Routes[i])
		if err != nil {
			return r, fmt.Errorf("route %d: %w", i+1, err)
		}
		r.Routes = append(r.Routes, l4.Route{Sources: c.Routes[i].Source, SNI: c.Routes[i].SNI, Target: target})
	}
	if c.Cluster != "" {
		cluster := next.Cluster(c.Cluster)
		if cluster == nil {
			return r, fmt.Errorf("no cluster %q", c.Cluster)
		}
		r.Default.Clusters = []*l4.Cluster{cluster}
	}
	return r, nil
}

// datagramSettings returns what a UDP listener does.
func datagramSettings(next *Running, c *config.Listener, routes l4.Routes) (*udp.Settings, error) {
	s := &udp.Settings{
		Routes:       routes,
		Rules:        flow.Rules{Idle: c.IdleTimeout, MaxDuration: c.MaxDuration, Responses: c.UDP.Responses},
		MaxFlows:     c.UDP.MaxFlows,
		Access:       admission(c),
		PerPacket:    c.UDP.PerPacket,
		QUIC:         c.UDP.QUIC,
		DontFragment: c.UDP.QUIC, // QUIC measures the path, and must not be sent in fragments (RFC 9000, section 14)
		Receive:      int(c.UDP.ReceiveBuffer),
		Send:         int(c.UDP.SendBuffer),
	}
	if !s.QUIC {
		return s, nil
	}
	servers := &udp.Servers{ByID: map[string]*udp.Server{}}
	for _, name := range c.Clusters() {
		endpoints := next.Snapshot.Cluster(name).Endpoints
		for i := range endpoints {
			id, err := hex.DecodeString(endpoints[i].ServerID)
			if err != nil {
				return nil, fmt.Errorf("cluster %q: endpoint %s: server ID: %w", name, endpoints[i].Address, err)
			}
			if _, known := servers.ByID[string(id)]; len(id) > 0 && !known {
				servers.Size = len(id)
				servers.ByID[string(id)] = &udp.Server{Cluster: next.Cluster(name), Member: i}
			}
		}
	}
	if servers.Size > 0 {
		s.Servers = servers
	}
	return s, nil
}

// sameClusters reports whether all clusters that the listener sends to are the same ones in r and next.
func (r *Running) sameClusters(next *Running, c *config.Listener) bool {
	return !slices.ContainsFunc(c.Clusters(), func(name string) bool { return r.Cluster(name) != next.Cluster(name) })
}

// route returns the target of route number i; a split that has not changed goes on in its sequence.
func route(old *Listener, next *Running, i int, c *config.Route) (t l4.Target, err error) {
	names, weights := []string{c.Cluster}, []uint32(nil)
	if len(c.Split) > 0 {
		names = names[:0]
		for _, share := range c.Split {
			names = append(names, share.Cluster)
			weights = append(weights, share.Weight)
		}
	}
	for _, name := range names {
		cluster := next.Cluster(name)
		if cluster == nil {
			return t, fmt.Errorf("no cluster %q", name)
		}
		t.Clusters = append(t.Clusters, cluster)
	}
	switch {
	case len(weights) == 0:
	case old != nil && i < len(old.Config.Routes) && slices.Equal(old.Config.Routes[i].Split, c.Split):
		t.Split = old.routes().Routes[i].Target.Split
	default:
		t.Split, err = lb.NewSplit(weights)
	}
	return t, err
}

// routes are those of either protocol's settings.
func (l *Listener) routes() *l4.Routes {
	if l.UDP != nil {
		return &l.UDP.Routes
	}
	return &l.TCP.Routes
}

// roomForBursts is what a UDP listener's sockets have of buffer (bytes), as far as the kernel lets them, where the configuration doesn't say. All clients of a
// loop share one, and the kernel's own, 208 KiB, is full after 92 datagrams of 1,200 bytes.
const roomForBursts = 4 << 20

// sockets returns what the listener's sockets are to be like.
func sockets(c *config.Listener) []Socket {
	all := make([]Socket, len(c.Binds))
	for i, addr := range c.Binds {
		all[i] = Socket{Addr: addr, V6Only: c.V6Only}
		if c.Protocol == config.ProtocolUDP {
			all[i].UDP = eventloop.DatagramOptions{
				Addr:         addr,
				V6Only:       c.V6Only,
				Receive:      int(cmp.Or(c.UDP.ReceiveBuffer, roomForBursts)),
				Send:         int(cmp.Or(c.UDP.SendBuffer, roomForBursts)),
				DontFragment: c.UDP.QUIC,
				NoOffload:    c.UDP.PerPacket, // each datagram for itself
			}
			continue
		}
		all[i].TCP = eventloop.ListenOptions{
			Addr:        addr,
			V6Only:      c.V6Only,
			Backlog:     c.Backlog,
			FastOpen:    c.TCP.FastOpen,
			DeferAccept: c.TCP.DeferAccept,
			UserTimeout: c.TCP.UserTimeout,
			Keepalive:   c.TCP.Keepalive,
			Congestion:  c.TCP.Congestion,
		}
	}
	return all
}
