package measure

import (
	"fmt"
	"slices"
	"strconv"
)

// Growth compares the ends of a curve: the same round trips over few and over
// many connections.
const (
	growthFew    = "rtt10"
	growthMiddle = "rtt1000" // listed with the round trips
	growthMany   = "rtt8000"
)

// openRate is a workload's that no calibration has given one yet.
const openRate = 10_000

// AllWorkloads are sized for a proxy's cell of about 1.5 s (the rows that are
// looked at first) or 0.7 s (the others) on a machine with two cores. Quick makes
// them a sixth of that: enough to see that all works, and what is far apart.
func AllWorkloads(quick bool) []Workload {
	list := slices.Concat(roundTrips(), bulks(), connections(), latencies(), memory(), growths(), udp())
	if quick {
		for i := range list {
			if list[i].Figure != Memory {
				list[i].Amount /= 6
				list[i].seconds /= 6
			}
		}
	}
	return list
}

func rtt(name, group string, size, conns int, n int64) Workload {
	return Workload{
		Name: name, Title: fmt.Sprintf("round trips of %s, %s", bytesOf(size), connsOf(conns)), Group: group,
		Figure: Cost, Protocol: "tcp", Command: []string{"rtt", "-conns", strconv.Itoa(conns), "-size", strconv.Itoa(size)},
		Amount: n, Unit: "us", Scale: 1e6, Conns: conns, AmountFlag: "-n", service: "echo",
	}
}

func bytesOf(size int) string {
	if size >= 1024 {
		return fmt.Sprintf("%d KiB", size/1024)
	}
	return fmt.Sprintf("%d B", size)
}

func connsOf(n int) string {
	if n == 1 {
		return "1 connection"
	}
	return fmt.Sprintf("%d connections", n)
}

func roundTrips() []Workload {
	const group = "round trips"
	return []Workload{
		rtt("rtt1", group, 64, 1, 20_000),
		rtt("rtt64", group, 64, 64, 120_000),
		rtt("rtt1000", group, 64, 1000, 80_000),
		rtt("rtt1-1k", group, 1024, 1, 9_000),
		rtt("rtt64-1k", group, 1024, 64, 50_000),
		rtt("rtt1000-1k", group, 1024, 1000, 36_000),
		rtt("rtt1-16k", group, 16384, 1, 6_000),
		rtt("rtt64-16k", group, 16384, 64, 26_000),
		rtt("rtt1000-16k", group, 16384, 1000, 20_000),
	}
}

func growths() []Workload {
	const group = "growth"
	return []Workload{
		rtt(growthFew, group, 64, 10, 110_000),
		rtt("rtt100", group, 64, 100, 54_000),
		rtt("rtt4000", group, 64, 4000, 36_000),
		rtt(growthMany, group, 64, 8000, 72_000),
	}
}

func bulks() []Workload {
	bulk := func(name, way string, bytes int64, flags ...string) Workload {
		return Workload{
			Name: name, Title: "bulk, " + way + ", 4 connections", Group: "bulk", Figure: Cost, Protocol: "tcp",
			Command: append([]string{"bulk", "-conns", "4"}, flags...),
			Amount:  bytes, Unit: "s/GB", Scale: 1e9, Conns: 4, AmountFlag: "-bytes", service: "bulk",
		}
	}
	return []Workload{
		bulk("bulk", "backend to client", 4_200_000_000),
		bulk("bulk-up", "client to backend", 2_100_000_000, "-up"),
		bulk("bulk-both", "both ways at once, so many bytes each way", 900_000_000, "-both"),
	}
}

func connections() []Workload {
	return []Workload{{
		Name: "conn", Title: "a connection and one request", Group: "connections", Figure: Cost, Protocol: "tcp",
		Command: []string{"conn", "-conns", "64", "-sources", "8"},
		Amount:  18_000, Unit: "us", Scale: 1e6, Conns: 64, AmountFlag: "-n", service: "once",
	}}
}

func latencies() []Workload {
	return []Workload{
		{
			Name: "open", Title: "p99.9 of 64 B messages at a fixed rate, half of the slowest contender's most, 64 connections", Group: "latency",
			Figure: Latency, Protocol: "tcp", Command: []string{"open", "-conns", "64", "-size", "64"},
			Amount: 3 * openRate, Unit: "us", Scale: 1e6, Conns: 64, Percentile: "p99_9",
			AmountFlag: "-n", service: "echo", seconds: 3, part: 0.5, Realtime: true,
		},
		{
			Name: "mix", Title: "p99.9 of 64 B messages, 2,000 a second on 16 connections, beside 2 connections of bulk", Group: "latency",
			Figure: Latency, Protocol: "tcp", Command: []string{"mix", "-bulk-conns", "2", "-conns", "16", "-rate", "2000", "-size", "64"},
			Amount: 4_200_000_000, Unit: "us", Scale: 1e6, Conns: 18, Percentile: "p99_9", Rate: 2000,
			AmountFlag: "-bytes", service: "mix",
		},
	}
}

func memory() []Workload {
	return []Workload{{
		Name: "idle", Title: "memory of an idle connection", Group: "memory", Figure: Memory, Protocol: "tcp",
		Command: []string{"idle"},
		Amount:  idleMany - idleFew, Unit: "KiB", Scale: 1, Conns: idleMany, AmountFlag: "-conns", service: "echo",
	}}
}

// udpRoundTrips is the closed loop of datagrams: a row, and what udp-open's rate
// comes from.
const udpRoundTrips = "udp-rtt"

func udpRTT(n int64) Workload {
	return datagrams(udpRoundTrips, "UDP round trips of 64 B, 64 flows", "udpecho", 64, n, "udprtt", "-conns", "64", "-size", "64")
}

func datagrams(name, title, service string, conns int, n int64, command ...string) Workload {
	return Workload{
		Name: name, Title: title, Group: "udp", Figure: Cost, Protocol: "udp", Command: command,
		Amount: n, Unit: "us", Scale: 1e6, Conns: conns, AmountFlag: "-n", service: service,
	}
}

// churnTimeout is long against a round trip, and short enough for a peer that
// ends flows by nothing else to have descriptors for 30,000 of them a second.
const churnTimeout = "0.25s"

// datagramPart is less than half, which open takes: an open loop's load and backend
// alone need more than one of two cores at such a rate, and who is late loses data
// here instead of having it wait.
const datagramPart = 0.25

// openLoss is what udp-open takes: at more than one in a thousand the p99.9 would
// be no latency.
const openLoss = "0.001"

func udp() []Workload {
	dns := datagrams("udp-dns", "DNS queries, each from a new port, 64 at a time", "dns", 64, 16_000, "dns", "-conns", "64", "-reuse", "1")
	dns.responses = 1
	churn := datagrams("udp-churn", "UDP round trips of 64 B, each a new flow, 64 at a time", "udpecho", 64, 30_000,
		"udprtt", "-conns", "64", "-size", "64", "-reuse", "1")
	churn.responses, churn.flowTimeout = 1, churnTimeout
	flood := datagrams("udp-flood", "UDP round trips of 64 B, 8 flows, 32 under way on each", "udpecho", 8, 72_000,
		"udpflood", "-flows", "8", "-window", "32", "-size", "64")
	bulk := datagrams("udp-bulk", "UDP bulk, datagrams of 1,200 B, 40 sent at once", "udpbulk", 1, 300_000_000,
		"udpbulk", "-flows", "1", "-size", "1200", "-segments", "40")
	bulk.Unit, bulk.Scale, bulk.AmountFlag = "s/GB", 1e9, "-bytes"
	open := datagrams("udp-open", "p99.9 of 64 B datagrams at a fixed rate, a quarter of the slowest contender's most, 64 flows", "udpecho", 64, 3*openRate,
		"udpopen", "-conns", "64", "-size", "64", "-loss", openLoss)
	open.Figure, open.Percentile, open.seconds, open.part, open.Realtime = Latency, "p99_9", 3, datagramPart, true
	idle := datagrams("udp-idle", "memory of an idle UDP flow", "udpname", idleMany, idleMany-idleFew, "udpidle")
	idle.Figure, idle.Unit, idle.Scale, idle.AmountFlag = Memory, "KiB", 1, "-conns"
	return []Workload{udpRTT(60_000), dns, churn, flood, bulk, open, idle}
}
