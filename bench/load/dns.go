package load

import (
	"fmt"
	"syscall"

	"golang.org/x/net/dns/dnsmessage"
)

// DNS asks queries of 49 bytes, for the addresses of a name, with EDNS, in a
// closed loop: each of Conns slots asks, waits for the answer of 113 bytes, and
// asks again. ID, question and answer are compared. As resolvers take another
// port for each query, so does this: a socket gives way to a new one after Reuse
// queries, and a proxy sees a new flow.
type DNS struct {
	Addr  string // dns service, IPv4:PORT
	Conns int    // queries at a time, each on a socket of its own; 0 = 64
	Reuse int    // queries after which a socket gives way to one with another port; 0 = never
	Total int64  // in all; 0 = 100,000
	Tolerance
	Gate Gate
}

// dnsSize is the largest answer; what EDNS allows is more, and not needed.
const dnsSize = 512

// Run asks the queries; Units of the result are those that were answered. It
// fails with ErrLost, ErrCorrupt, ErrStalled or the error of a socket.
func (d DNS) Run() (Result, error) {
	if d.Conns == 0 {
		d.Conns = 64
	}
	if d.Total == 0 {
		d.Total = 100_000
	}
	if d.Conns < 0 || d.Reuse < 0 || d.Total < 0 {
		return Result{}, fmt.Errorf("dns: conns %d, reuse %d, total %d: want positive numbers", d.Conns, d.Reuse, d.Total)
	}
	askers := make([]asker, d.Conns)
	for i := range askers {
		name := fmt.Sprintf("host%04d.example.com.", i%10_000)
		query, err := dnsQuery(name)
		if err != nil {
			return Result{}, fmt.Errorf("dns: %w", err)
		}
		answer, err := dnsReply(name)
		if err != nil {
			return Result{}, fmt.Errorf("dns: %w", err)
		}
		askers[i] = asker{fd: -1, out: query, want: answer, stamp: uint64(i) * 1021 & 0xffff}
	}
	return ask("dns", d.Addr, d.Gate, askRun{
		Tolerance: d.Tolerance, askers: askers, width: 2, reuse: d.Reuse, in: make([]byte, dnsSize+1), total: d.Total,
	})
}

// dnsQuery asks for the IPv4 addresses of name (RFC 1035), with room for answers
// of 1,232 bytes (EDNS, RFC 6891). The ID is 0.
func dnsQuery(name string) ([]byte, error) {
	return dnsMessage(name, dnsmessage.Header{RecursionDesired: true}, nil)
}

// dnsReply is what the backend answers to dnsQuery: four addresses.
func dnsReply(name string) ([]byte, error) {
	return dnsMessage(name, dnsmessage.Header{Response: true, RecursionDesired: true, RecursionAvailable: true}, [][4]byte{
		{192, 0, 2, 1}, {192, 0, 2, 2}, {192, 0, 2, 3}, {192, 0, 2, 4},
	})
}

func dnsMessage(name string, h dnsmessage.Header, addrs [][4]byte) ([]byte, error) {
	n, err := dnsmessage.NewName(name)
	if err != nil {
		return nil, fmt.Errorf("name %s: %w", name, err)
	}
	m := dnsmessage.Message{
		Header:    h,
		Questions: []dnsmessage.Question{{Name: n, Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET}},
	}
	for _, a := range addrs {
		m.Answers = append(m.Answers, dnsmessage.Resource{
			Header: dnsmessage.ResourceHeader{Name: n, Class: dnsmessage.ClassINET, TTL: 300},
			Body:   &dnsmessage.AResource{A: a},
		})
	}
	var edns dnsmessage.ResourceHeader
	if err := edns.SetEDNS0(1232, dnsmessage.RCodeSuccess, false); err != nil {
		return nil, err
	}
	m.Additionals = []dnsmessage.Resource{{Header: edns, Body: &dnsmessage.OPTResource{}}}
	b, err := m.Pack()
	if err != nil {
		return nil, fmt.Errorf("message for %s: %w", name, err)
	}
	return b, nil
}

// dnsAnswer is a reply in two parts, between which the question goes. The
// records name it by a pointer to where it begins, so they fit any.
type dnsAnswer struct{ head, tail []byte }

const dnsHead = 12 // bytes of the header

func newDNSAnswer() (dnsAnswer, error) {
	b, err := dnsReply("example.com.")
	if err != nil {
		return dnsAnswer{}, err
	}
	end := questionEnd(b)
	return dnsAnswer{head: b[:dnsHead], tail: b[end:]}, nil
}

// questionEnd returns where the one question of b ends, or 0 when b isn't a
// message that begins with a question of a name in full.
func questionEnd(b []byte) int {
	if len(b) < dnsHead || b[4] != 0 || b[5] != 1 {
		return 0
	}
	for at := dnsHead; at < len(b) && at < dnsHead+255; at += 1 + int(b[at]) {
		switch {
		case b[at] > 63:
			return 0
		case b[at] == 0 && at+5 <= len(b):
			return at + 5 // and type and class
		case b[at] == 0:
			return 0
		}
	}
	return 0
}

// answer writes the reply to query into out and returns its length, or 0 when
// query isn't one.
func (a *dnsAnswer) answer(out, query []byte) int {
	end := questionEnd(query)
	if end == 0 || query[2]&0x80 != 0 || end+len(a.tail) > len(out) {
		return 0
	}
	copy(out, a.head)
	copy(out, query[:2])
	copy(out[dnsHead:], query[dnsHead:end])
	return end + copy(out[end:], a.tail)
}

// dns answers queries; what isn't one gets no answer.
func (b *Backend) dns(fd int) {
	in, out := b.udp.in, b.udp.answers
	n, e := in.receive(fd)
	if e != 0 && e != syscall.EAGAIN {
		return
	}
	answers := 0
	for i := range n {
		if size := b.udp.tail.answer(out.bufs[answers], in.payload(i)); size > 0 {
			out.setLen(answers, size)
			out.names[answers] = in.names[i]
			answers++
		}
	}
	out.send(fd, answers)
}
