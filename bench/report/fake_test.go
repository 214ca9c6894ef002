package report

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"weir/bench/load"
	"weir/bench/measure"
)

// fake is a run that might have been: all workloads, or
// those named, and every kind of trouble.
func fake(t testing.TB, rounds int, workloads ...string) measure.Report {
	t.Helper()
	rnd := rand.New(rand.NewPCG(7, 11))
	r := measure.Report{
		Machine: measure.Machine{
			CPU: "Some Processor 9000", CPUs: 2, Kernel: "6.18.44", MemoryKiB: "8146204 kB", Congestion: "cubic", Autogroup: "1",
			Time: time.Date(2026, 11, 23, 22, 0, 0, 0, time.UTC),
		},
		Subject: measure.Weir, Rounds: rounds, Workloads: measure.AllWorkloads(false),
		Skipped: []measure.Skip{{Contender: "c", Why: "no C compiler"}},
	}
	versions := map[string]string{
		"weir": "weir 0.3.0 (438fd2e) go1.26.0", "haproxy": "HAProxy version 2.6.12-1+deb12u2 2025/04/17", "nginx": "nginx version: nginx/1.31.3",
		"envoy": "envoy 1.40.0/Clean/RELEASE/BoringSSL", "gnet": "gnet v2.9.7", "go": "go1.26.0",
	}
	if len(workloads) > 0 {
		var err error
		if r.Workloads, err = measure.ChooseWorkloads(r.Workloads, workloads); err != nil {
			t.Fatal(err)
		}
	}
	names := []string{measure.Direct, "weir", "haproxy", "haproxy-best", "nginx", "nginx-best", "envoy", "envoy-best", "gnet", "go", measure.DirectAgain}
	for _, name := range names {
		c := measure.Contender{Name: name}
		if !isDirect(name) {
			base, _, _ := strings.Cut(name, "-")
			c.Version, c.Command = versions[base], []string{"/usr/sbin/" + base, "-c", "CONFIG"}
			c.Config = "# " + name + "\nlisten LISTEN\nbackend BACKEND\n"
		}
		r.Contenders = append(r.Contenders, c)
	}
	for _, w := range r.Workloads {
		if w.Protocol == "udp" {
			for _, name := range []string{"haproxy", "haproxy-best", "gnet", "go"} {
				r.Skipped = append(r.Skipped, measure.Skip{Contender: name, Workload: w.Name, Why: "forwards no UDP"})
			}
		}
		for round := 1; round <= rounds; round++ {
			for i, name := range names {
				if w.Figure == measure.Memory && isDirect(name) || w.Protocol == "udp" && overTCP(name) {
					continue
				}
				r.Samples = append(r.Samples, fakeSamples(rnd, w, name, i, round)...)
			}
		}
	}
	for i, name := range names {
		r.Calibration = append(r.Calibration, measure.Sample{Workload: "rtt64", Contender: name, Amount: 60_000, Wall: 0.6 + 0.1*float64(i)})
		if !overTCP(name) {
			r.Calibration = append(r.Calibration, measure.Sample{Workload: "udp-rtt", Contender: name, Amount: 50_000, Wall: 0.6 + 0.1*float64(i)})
		}
	}
	r.Summary = measure.Summarize(r.Workloads, r.Contenders, r.Samples, r.Subject)
	return r
}

// overTCP reports whether a contender does nothing else.
func overTCP(name string) bool {
	return strings.HasPrefix(name, "haproxy") || name == "gnet" || name == "go"
}

// over is what a contender costs, in direct hops.
var over = map[string]float64{
	"weir": 0.97, "haproxy": 1.27, "haproxy-best": 1.78, "nginx": 1.21, "nginx-best": 1.13, "envoy": 1.55, "envoy-best": 1.8, "gnet": 1.4, "go": 2.3,
}

func fakeSamples(rnd *rand.Rand, w measure.Workload, name string, i, round int) []measure.Sample {
	noise := func(sd float64) float64 { return 1 + sd*rnd.NormFloat64() }
	s := measure.Sample{Workload: w.Name, Contender: name, Round: round, Amount: w.Amount, Steal: 0.001 * rnd.Float64(), Foreign: 0.002 * rnd.Float64()}
	switch w.Figure {
	case measure.Memory:
		s.PssFew = 20_000 * noise(0.01)
		s.PssMany = s.PssFew + float64(w.Amount)*(1+2.5*float64(i))*noise(0.01)
		return []measure.Sample{s}
	case measure.Latency:
		s.Busy = 1.2 * noise(0.02)
		lost := int64(0)
		if w.Protocol == "udp" && name == "nginx" && round == 1 {
			lost = 3
		}
		s.Load = fakeLoad(rnd, (60+40*over[name])*noise(0.05), lost)
	default:
		direct := 11.6 / w.Scale
		if w.Unit == "s/GB" {
			direct = 0.143 / w.Scale
		}
		grow := 1 + 0.1*math.Log10(float64(max(w.Conns, 1)))*(0.3+over[name])
		s.Busy = float64(w.Amount) * direct * (noise(0.008) + over[name]*grow*noise(0.015))
		s.Process = s.Busy * 0.4
		if w.Name == "bulk" && name == "haproxy-best" {
			s.Busy = float64(w.Amount) * direct * (1 + 0.4*noise(0.05))
		}
	}
	s.Wall = s.Busy * 0.6
	if strings.HasPrefix(w.Name, "bulk") && name == "nginx" && round == 2 {
		s.Failed = "data lost or altered: 4 of 4,000,000,000 bytes at 3,123,456"
	}
	if rnd.IntN(25) == 0 {
		bad := s
		bad.Busy, bad.Steal, bad.Discarded = s.Busy*1.2, 0.034, "steal was 3.4 % of the time"
		return []measure.Sample{bad, s}
	}
	return []measure.Sample{s}
}

// fakeLoad is an open loop's result with a tail.
func fakeLoad(rnd *rand.Rand, typical float64, lost int64) json.RawMessage {
	at := func(percent float64) float64 {
		n := -math.Log10(1 - percent/100)
		return typical * (0.6 + 0.8*n + 0.12*math.Pow(n, 3.2))
	}
	result := load.Result{
		Work: "open", Units: 100_000, Seconds: 2, Lost: lost,
		LatencyUS: &load.Spread{Mean: typical, P50: at(50), P90: at(90), P99: at(99), P999: at(99.9), Max: at(99.999)},
		SendLagUS: &load.Spread{P50: 2, P99: 40 + 10*rnd.Float64()},
	}
	for n := 0.0; n < 5; n += 0.05 {
		percent := 100 * (1 - math.Pow(10, -n))
		result.Curve = append(result.Curve, load.Point{Percent: percent, US: at(percent)})
	}
	result.Curve = append(result.Curve, load.Point{Percent: 100, US: at(99.9995)})
	text, _ := json.Marshal(result)
	return text
}
