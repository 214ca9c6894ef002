package main

import (
	"flag"

	"weir/bench/load"
)

// tolerance declares what the UDP generators have in common.
func tolerance(fs *flag.FlagSet, t *load.Tolerance) {
	fs.Float64Var(&t.Loss, "loss", 0, "share of datagrams that may be lost, 0 to 1")
	fs.DurationVar(&t.Timeout, "timeout", 0, "a datagram not answered for so long is lost (0 = 1s)")
	fs.DurationVar(&t.Stall, "stall", 0, "longest time without progress (0 = 10s)")
}

func reorder(fs *flag.FlagSet, share *float64) {
	fs.Float64Var(share, "reorder", 0, "share of datagrams that may be overtaken, 0 to 1")
}

func udprtt(fs *flag.FlagSet, gate func() load.Gate) func() (load.Result, error) {
	var u load.UDPRTT
	fs.StringVar(&u.Addr, "addr", "", "udpecho service, IPv4:PORT")
	fs.IntVar(&u.Conns, "conns", 64, "sockets, one datagram under way on each")
	fs.IntVar(&u.Reuse, "reuse", 0, "datagrams after which a socket gives way to one with another port (0 = never)")
	fs.IntVar(&u.Size, "size", 64, "bytes per datagram")
	fs.Int64Var(&u.Total, "n", 100_000, "round trips in all")
	tolerance(fs, &u.Tolerance)
	return func() (load.Result, error) { u.Gate = gate(); return u.Run() }
}

func udpflood(fs *flag.FlagSet, gate func() load.Gate) func() (load.Result, error) {
	var u load.UDPFlood
	fs.StringVar(&u.Addr, "addr", "", "udpecho service, IPv4:PORT")
	fs.IntVar(&u.Flows, "flows", 8, "sockets")
	fs.IntVar(&u.Window, "window", 32, "datagrams under way on each socket")
	fs.IntVar(&u.Size, "size", 64, "bytes per datagram")
	fs.Int64Var(&u.Total, "n", 100_000, "round trips in all")
	reorder(fs, &u.Reorder)
	tolerance(fs, &u.Tolerance)
	return func() (load.Result, error) { u.Gate = gate(); return u.Run() }
}

func udpbulk(fs *flag.FlagSet, gate func() load.Gate) func() (load.Result, error) {
	var u load.UDPBulk
	fs.StringVar(&u.Addr, "addr", "", "udpbulk service, IPv4:PORT")
	fs.IntVar(&u.Flows, "flows", 1, "sockets")
	fs.IntVar(&u.Size, "size", 1200, "bytes per datagram")
	fs.IntVar(&u.Segments, "segments", 40, "datagrams the backend sends at once (UDP_SEGMENT), and acknowledged at once")
	fs.IntVar(&u.Window, "window", 2, "batches of segments under way on each socket")
	fs.Int64Var(&u.Bytes, "bytes", 1<<30, "bytes in all, backend to client, rounded up to whole datagrams")
	reorder(fs, &u.Reorder)
	tolerance(fs, &u.Tolerance)
	return func() (load.Result, error) { u.Gate = gate(); return u.Run() }
}

func dns(fs *flag.FlagSet, gate func() load.Gate) func() (load.Result, error) {
	var d load.DNS
	fs.StringVar(&d.Addr, "addr", "", "dns service, IPv4:PORT")
	fs.IntVar(&d.Conns, "conns", 64, "queries at a time, each on a socket of its own")
	fs.IntVar(&d.Reuse, "reuse", 1, "queries after which a socket gives way to one with another port (0 = never)")
	fs.Int64Var(&d.Total, "n", 100_000, "queries in all")
	tolerance(fs, &d.Tolerance)
	return func() (load.Result, error) { d.Gate = gate(); return d.Run() }
}

func udpidle(fs *flag.FlagSet, gate func() load.Gate) func() (load.Result, error) {
	var d load.UDPIdle
	fs.StringVar(&d.Addr, "addr", "", "udpname service, IPv4:PORT")
	fs.IntVar(&d.Conns, "conns", 1000, "flows")
	fs.DurationVar(&d.Timeout, "timeout", 0, "a datagram not answered for so long is lost (0 = 1s)")
	return func() (load.Result, error) { d.Gate = gate(); return d.Run() }
}

func udpopen(fs *flag.FlagSet, gate func() load.Gate) func() (load.Result, error) {
	var u load.UDPOpen
	fs.StringVar(&u.Addr, "addr", "", "udpecho service, IPv4:PORT")
	fs.IntVar(&u.Conns, "conns", 64, "flows")
	fs.IntVar(&u.Size, "size", 64, "bytes per datagram")
	fs.Float64Var(&u.Rate, "rate", 1000, "datagrams per second")
	fs.DurationVar(&u.Duration, "duration", 0, "length of the schedule (0 = 2s)")
	fs.Int64Var(&u.Total, "n", 0, "datagrams in all (0 = rate times duration)")
	reorder(fs, &u.Reorder)
	tolerance(fs, &u.Tolerance)
	return func() (load.Result, error) { u.Gate = gate(); return u.Run() }
}
