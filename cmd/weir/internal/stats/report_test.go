package stats

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"weir/l4"
)

// TestReportJSON holds the names of all fields, and what is read from where: the golden file is the contract with programs.
func TestReportJSON(t *testing.T) {
	s := newScene(t)
	s.busy(t)
	text, err := json.MarshalIndent(s.report(), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "testdata/busy.json", append(text, '\n'))
}

// TestSums holds that the parts add up to the whole.
func TestSums(t *testing.T) {
	s := newScene(t)
	s.busy(t)
	r := s.report()
	dns, web := r.Listeners[0], r.Listeners[2]
	if dns.Name != "dns" || web.Name != "web" {
		t.Fatalf("listeners are not in the order of their names: %s is first, %s last", dns.Name, web.Name)
	}
	var closed uint64
	for _, n := range web.Closed {
		closed += n
	}
	if web.Refused == 0 || web.Refused > closed {
		t.Errorf("%d refused of %d closed", web.Refused, closed)
	}
	var listeners, clusters Bytes
	for i := range r.Listeners {
		listeners.add(&r.Listeners[i].Bytes)
	}
	for i := range r.Clusters {
		clusters.add(&r.Clusters[i].Bytes)
	}
	if p := r.Process.Bytes; p != listeners || p != clusters {
		t.Errorf("bytes: process %+v, listeners %+v, clusters %+v", p, listeners, clusters)
	}
	if p, l, c := r.Process.Datagrams, dns.Datagrams, s.named(r, "dns").Datagrams; p != l || p != c || p == (Datagrams{}) {
		t.Errorf("datagrams: process %+v, listener %+v, cluster %+v", p, l, c)
	}
	if got := web.Connections.PerSecond; got != 12.3 {
		t.Errorf("%v connections a second, want 123 in 10 s", got)
	}
	if s.named(r, "web").Connections.Active != 37 {
		t.Errorf("%d connections of the cluster, want 37", s.named(r, "web").Connections.Active)
	}
}

// TestDatagrams holds what a UDP listener has of its own, and that a TCP listener has none of it.
func TestDatagrams(t *testing.T) {
	s := newScene(t)
	s.busy(t)
	dns := s.report().Listeners[0]
	if dns.Datagrams.ToUpstreamRate != 14.9 || dns.Datagrams.ToDownstreamRate != 10 || dns.DroppedRate != 0.1 {
		t.Errorf("rates %+v, dropped %v; want 14.9 and 10 a second, and 1 lost in 10 s", dns.Datagrams, dns.DroppedRate)
	}
	if dns.Refused != 4 || dns.Dropped["max_flows"] != 4 || dns.Dropped["receive_overflow"] != 21 || len(dns.Dropped) != int(l4.NumDrops) {
		t.Errorf("%d refused, dropped %v", dns.Refused, dns.Dropped)
	}
	if b := dns.Batches; b.Received.ToDownstream.Count != 10 || b.Received.ToDownstream.Mean != 2 || b.Sent.ToUpstream.Mean != 3 || b.Sent.ToUpstream.Buckets[2] != 10 {
		t.Errorf("batches %+v", b)
	}
	if *dns.Buffers != (Buffers{Receive: 4 << 20, Send: 212_992}) {
		t.Errorf("buffers %+v", dns.Buffers)
	}
	s.view.Listeners = s.view.Listeners[:2]
	r := s.report()
	for _, l := range r.Listeners {
		if l.Dropped != nil || l.Batches != nil || l.Buffers != nil || l.Datagrams != (Datagrams{}) {
			t.Errorf("the TCP listener %s: %+v", l.Name, l)
		}
	}
	for name := range parse(t, own(t, r)) {
		if strings.Contains(name, "datagrams") && name != "weir_loop_datagrams_total" || strings.Contains(name, "buffer") {
			t.Errorf("%s: series without a UDP listener", name)
		}
	}
	var page bytes.Buffer
	if err := WriteText(&page, r); err != nil || strings.Contains(strings.ToLower(page.String()), "datagram") {
		t.Errorf("%v; datagrams on a page without a UDP listener:\n%s", err, &page)
	}
}

func TestSampler(t *testing.T) {
	s := newScene(t)
	at := now
	sampler := NewSampler(Options{View: func() *View { return s.view }, Version: "1.2.3", Now: func() time.Time { return at }})
	sampler.Start()
	s.count(500, 1000, 2000)
	at = at.Add(5 * time.Second)
	r := sampler.Report()
	sampler.Close()
	if r.Process.Connections.PerSecond != 100 || r.Process.Bytes.ToDownstream.PerSecond != 400 {
		t.Errorf("rates %+v %+v, want 100 connections and 400 bytes", r.Process.Connections, r.Process.Bytes)
	}
	p := r.Process
	if p.Version != "1.2.3" || p.PID != os.Getpid() || p.Uptime != at.Sub(began).Seconds() {
		t.Errorf("process %+v", p)
	}
	if p.Resident < 1<<20 || p.Descriptors.Open < 3 || p.Descriptors.Limit < p.Descriptors.Open {
		t.Errorf("what the kernel says of the process: %+v", p)
	}
}

// TestDescriptors holds that the count goes up with what is opened.
func TestDescriptors(t *testing.T) {
	before := openDescriptors()
	var files []*os.File
	for range 10 {
		f, err := os.Open("/dev/null")
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	after := openDescriptors()
	for _, f := range files {
		f.Close()
	}
	if after < before+10 {
		t.Errorf("%d descriptors, and %d after ten more", before, after)
	}
}
