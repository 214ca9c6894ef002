package measure

import (
	"slices"
	"strings"
	"testing"
)

func TestChooseWorkloads(t *testing.T) {
	for _, c := range []struct{ names, want string }{
		{"conn,rtt1", "conn rtt1"},
		{"bulk", "bulk"}, // a workload's name goes before its group's
		{"udp", "udp-rtt udp-dns udp-churn udp-flood udp-bulk udp-open udp-idle"},
		{"growth", "rtt1000 rtt10 rtt100 rtt4000 rtt8000"},
		{"rtt10,growth", "rtt10 rtt1000 rtt100 rtt4000 rtt8000"},
		{"round-trips,latency", "rtt1 rtt64 rtt1000 rtt1-1k rtt64-1k rtt1000-1k rtt1-16k rtt64-16k rtt1000-16k open mix"},
	} {
		got, err := ChooseWorkloads(AllWorkloads(false), strings.Split(c.names, ","))
		if names := strings.Join(namesOf(got), " "); err != nil || names != c.want {
			t.Errorf("%s: %s, %v, want %s", c.names, names, err, c.want)
		}
	}
	if _, err := ChooseWorkloads(AllWorkloads(false), []string{"rtt2"}); err == nil {
		t.Error("no error for an unknown workload")
	}
}

func TestAllWorkloadsAreWhole(t *testing.T) {
	full, quick := AllWorkloads(false), AllWorkloads(true)
	seen := map[string]bool{}
	for i, w := range full {
		if seen[w.Name] || w.Title == "" || !slices.Contains(Groups(), w.Group) || w.Unit == "" || w.Scale <= 0 || w.Conns <= 0 || w.service == "" || w.AmountFlag == "" {
			t.Errorf("%+v", w)
		}
		seen[w.Name] = true
		if (w.Figure == Latency) != (w.Percentile != "") {
			t.Errorf("%s: %s of percentile %q", w.Name, w.Figure, w.Percentile)
		}
		if less := quick[i].Amount == w.Amount/6; less == (w.Figure == Memory) {
			t.Errorf("%s: quick does %d of %d", w.Name, quick[i].Amount, w.Amount)
		}
	}
	if len(full) != 27 {
		t.Errorf("%d workloads, want 27", len(full))
	}
}

func TestWarmUpDialsFewConnections(t *testing.T) {
	for conns, want := range map[int]string{
		64:   "rtt -conns 64 -size 64 -addr A -n 5 -gate",
		8000: "rtt -conns 8000 -size 64 -addr A -n 5 -gate -conns 64",
	} {
		if got := strings.Join(rtt("w", "", 64, conns, 100).warmUp("A"), " "); got != want {
			t.Errorf("%d connections: %s, want %s", conns, got, want)
		}
	}
}
