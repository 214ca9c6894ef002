package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"

	"weir/bench/load"
)

func main() {
	runtime.GOMAXPROCS(1)
	debug.SetGCPercent(-1)
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// command is one subcommand: it declares its flags and returns its work.
type command func(fs *flag.FlagSet, gate func() load.Gate) func() (load.Result, error)

func commands() map[string]command {
	return map[string]command{
		"rtt": rtt, "bulk": bulk, "conn": conn, "idle": idle, "open": open, "mix": mix,
		"udprtt": udprtt, "udpflood": udpflood, "udpbulk": udpbulk, "dns": dns, "udpidle": udpidle, "udpopen": udpopen,
	}
}

// holds reports whether a generator does nothing but hold what it has opened.
func holds(name string) bool { return name == "idle" || name == "udpidle" }

// run is main without the process: it returns the exit code.
func run(args []string, in io.Reader, out, errs io.Writer) int {
	if len(args) > 0 && args[0] == "backend" {
		return backend(args[1:], in, out, errs)
	}
	cmd := command(nil)
	if len(args) > 0 {
		cmd = commands()[args[0]]
	}
	if cmd == nil {
		fmt.Fprintln(errs, "usage: load backend|rtt|bulk|conn|idle|open|mix|udprtt|udpflood|udpbulk|dns|udpidle|udpopen [flags]")
		return 2
	}
	fs := flag.NewFlagSet("load "+args[0], flag.ContinueOnError)
	fs.SetOutput(errs)
	gated := fs.Bool("gate", false, "print ready, start on a line of input, hold until its end")
	sharp := fs.Bool("realtime", false, "run before all ordinary threads")
	encode := json.NewEncoder(out)
	gate := func() load.Gate {
		g := load.Gate{Done: func(r load.Result) { _ = encode.Encode(r) }}
		if *gated || holds(args[0]) {
			g.Ready, g.Go = out, in
			g.Done = func(r load.Result) {
				_ = encode.Encode(r)
				_, _ = io.Copy(io.Discard, in)
			}
		}
		return g
	}
	work := cmd(fs, gate)
	if err := fs.Parse(args[1:]); err != nil {
		return 2
	}
	if fs.NArg() > 0 {
		fmt.Fprintf(errs, "load %s: unexpected argument %q\n", args[0], fs.Arg(0))
		return 2
	}
	if *sharp {
		if err := realtime(); err != nil {
			fmt.Fprintln(errs, "load", err)
			return 1
		}
	}
	if r, err := work(); err != nil {
		r.Error = err.Error()
		_ = encode.Encode(r)
		fmt.Fprintln(errs, "load", err)
		return 1
	}
	return 0
}

func rtt(fs *flag.FlagSet, gate func() load.Gate) func() (load.Result, error) {
	var r load.RTT
	fs.StringVar(&r.Addr, "addr", "", "echo service, IPv4:PORT")
	fs.IntVar(&r.Conns, "conns", 64, "connections")
	fs.IntVar(&r.Size, "size", 64, "bytes per message")
	fs.Int64Var(&r.Total, "n", 100_000, "round trips in all")
	fs.DurationVar(&r.Stall, "stall", 0, "longest time without progress (0 = 10s)")
	return func() (load.Result, error) { r.Gate = gate(); return r.Run() }
}

func bulk(fs *flag.FlagSet, gate func() load.Gate) func() (load.Result, error) {
	var b load.Bulk
	fs.StringVar(&b.Addr, "addr", "", "bulk service, IPv4:PORT")
	fs.IntVar(&b.Conns, "conns", 4, "connections")
	fs.Int64Var(&b.Bytes, "bytes", 1<<30, "bytes in all, each way")
	fs.BoolVar(&b.Up, "up", false, "from here to the backend")
	fs.BoolVar(&b.Both, "both", false, "both ways at once")
	fs.DurationVar(&b.Stall, "stall", 0, "longest time without progress (0 = 10s)")
	return func() (load.Result, error) { b.Gate = gate(); return b.Run() }
}

func conn(fs *flag.FlagSet, gate func() load.Gate) func() (load.Result, error) {
	var c load.Conn
	fs.StringVar(&c.Addr, "addr", "", "once service, IPv4:PORT")
	fs.IntVar(&c.Conns, "conns", 64, "connections at a time")
	fs.Int64Var(&c.Total, "n", 10_000, "connections in all")
	fs.IntVar(&c.Sources, "sources", 8, "source addresses 127.0.0.2 and up (0 = the kernel's choice)")
	fs.DurationVar(&c.Stall, "stall", 0, "longest time without progress (0 = 10s)")
	return func() (load.Result, error) { c.Gate = gate(); return c.Run() }
}

func idle(fs *flag.FlagSet, gate func() load.Gate) func() (load.Result, error) {
	var d load.Idle
	fs.StringVar(&d.Addr, "addr", "", "echo service, IPv4:PORT")
	fs.IntVar(&d.Conns, "conns", 1000, "connections")
	fs.DurationVar(&d.Stall, "stall", 0, "longest a connection may take (0 = 10s)")
	return func() (load.Result, error) { d.Gate = gate(); return d.Run() }
}

func open(fs *flag.FlagSet, gate func() load.Gate) func() (load.Result, error) {
	var o load.Open
	fs.StringVar(&o.Addr, "addr", "", "echo service, IPv4:PORT")
	fs.IntVar(&o.Conns, "conns", 64, "connections")
	fs.IntVar(&o.Size, "size", 64, "bytes per message")
	fs.Float64Var(&o.Rate, "rate", 1000, "messages per second")
	fs.DurationVar(&o.Duration, "duration", 0, "length of the schedule (0 = 2s)")
	fs.Int64Var(&o.Total, "n", 0, "messages in all (0 = rate times duration)")
	fs.DurationVar(&o.Stall, "stall", 0, "longest time without progress (0 = 10s)")
	return func() (load.Result, error) { o.Gate = gate(); return o.Run() }
}

func mix(fs *flag.FlagSet, gate func() load.Gate) func() (load.Result, error) {
	var m load.Mix
	fs.StringVar(&m.Addr, "addr", "", "mix service, IPv4:PORT")
	fs.Int64Var(&m.Bytes, "bytes", 1<<30, "bytes of bulk in all, backend to client")
	fs.IntVar(&m.BulkConns, "bulk-conns", 2, "connections of bulk")
	fs.IntVar(&m.Conns, "conns", 16, "connections of small messages")
	fs.Float64Var(&m.Rate, "rate", 2000, "small messages per second")
	fs.IntVar(&m.Size, "size", 64, "bytes per small message")
	fs.DurationVar(&m.Stall, "stall", 0, "longest time without progress (0 = 10s)")
	return func() (load.Result, error) { m.Gate = gate(); return m.Run() }
}

func backend(args []string, in io.Reader, out, errs io.Writer) int {
	fs := flag.NewFlagSet("load backend", flag.ContinueOnError)
	fs.SetOutput(errs)
	host := fs.String("host", "127.0.0.1", "IPv4 address to listen on")
	sharp := fs.Bool("realtime", false, "run before all ordinary threads")
	if err := fs.Parse(args); err != nil {
		return 2
	}
	if *sharp {
		if err := realtime(); err != nil {
			fmt.Fprintln(errs, "load", err)
			return 1
		}
	}
	b, err := load.NewBackend(*host)
	if err != nil {
		fmt.Fprintln(errs, "load", err)
		return 1
	}
	defer b.Close()
	_ = json.NewEncoder(out).Encode(b.Addrs())
	go func() {
		_, _ = io.Copy(io.Discard, in)
		b.Stop()
	}()
	if err := b.Run(); err != nil {
		fmt.Fprintln(errs, "load", err)
		return 1
	}
	return 0
}
