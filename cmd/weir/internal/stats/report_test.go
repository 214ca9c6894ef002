package stats

import (
	"encoding/json"
	"os"
	"testing"
	"time"
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
	web := r.Listeners[1]
	if web.Name != "web" {
		t.Fatalf("listeners are not in the order of their names: %s is second", web.Name)
	}
	var closed uint64
	for _, n := range web.Closed {
		closed += n
	}
	if web.Refused == 0 || web.Refused > closed {
		t.Errorf("%d refused of %d closed", web.Refused, closed)
	}
	if p, l, c := r.Process.Bytes, web.Bytes, r.Clusters[1].Bytes; p != l || p != c {
		t.Errorf("bytes: process %+v, listener %+v, cluster %+v", p, l, c)
	}
	if got := web.Connections.PerSecond; got != 12.3 {
		t.Errorf("%v connections a second, want 123 in 10 s", got)
	}
	if r.Clusters[1].Connections.Active != 37 {
		t.Errorf("%d connections of the cluster, want 37", r.Clusters[1].Connections.Active)
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
