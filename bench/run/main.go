package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"

	"weir/bench/measure"
)

func main() {
	// Children die with the thread that started them: this one, which lasts.
	runtime.LockOSThread()
	done, code, err := measure.Isolate()
	if err == nil && !done {
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
		defer stop()
		err = run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	}
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "measure:", err)
		code = 1
	}
	os.Exit(code)
}

// options are the command line.
type options struct {
	runner     measure.Runner
	contenders string
	workloads  string
	subject    string
	out        string
	quick      bool
}

func parse(args []string, errs io.Writer) (options, error) {
	var o options
	fs := flag.NewFlagSet("measure", flag.ContinueOnError)
	fs.SetOutput(errs)
	b := &o.runner.Binaries
	fs.StringVar(&b.Load, "load", "bin/load", "the load generators' program")
	fs.StringVar(&b.Weir, "weir", "bin/weir", "weir's program")
	fs.StringVar(&b.HAProxy, "haproxy", "haproxy", "HAProxy's program")
	fs.StringVar(&b.NGINX, "nginx", "nginx", "NGINX's program")
	fs.StringVar(&o.contenders, "contenders", strings.Join(measure.AllContenders(), ","), "who takes part, besides direct; empty measures the null alone")
	fs.StringVar(&o.workloads, "workloads", "rtt1,rtt64,rtt1000,bulk,conn,idle", "what work")
	fs.StringVar(&o.subject, "subject", measure.Weir, "who is compared with the others")
	fs.IntVar(&o.runner.Rounds, "rounds", 5, "rounds; fewer than five say little")
	fs.IntVar(&o.runner.Repeats, "repeats", 10, "how often a disturbed cell is repeated")
	fs.Float64Var(&o.runner.MaxSteal, "max-steal", 0.01, "share of time stolen above which a cell is thrown away")
	fs.Float64Var(&o.runner.MaxForeign, "max-foreign", 0.02, "share of busy time taken by other processes above which it is")
	fs.DurationVar(&o.runner.Quiet, "quiet", 0, "how long to wait before a cell for others to finish (0 = 1m)")
	fs.BoolVar(&o.quick, "quick", false, "half the work")
	fs.StringVar(&o.out, "out", "", "file for all samples, JSON")
	if err := fs.Parse(args); err != nil {
		return o, err
	}
	if fs.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q", fs.Arg(0))
	}
	var err error
	split := func(r rune) bool { return r == ',' }
	if o.runner.Contenders, err = measure.NewContenders(strings.FieldsFunc(o.contenders, split), *b); err != nil {
		return o, err
	}
	o.runner.Workloads, err = measure.ChooseWorkloads(measure.AllWorkloads(o.quick), strings.FieldsFunc(o.workloads, split))
	return o, err
}

func run(ctx context.Context, args []string, out, errs io.Writer) error {
	o, err := parse(args, errs)
	if err != nil {
		return err
	}
	o.runner.Progress = func(s measure.Sample) { fmt.Fprintln(errs, s) }
	r := measure.Report{
		Machine: measure.DescribeMachine(), Subject: o.subject,
		Contenders: o.runner.Contenders, Workloads: o.runner.Workloads,
	}
	var runErr error
	r.Samples, runErr = o.runner.Run(ctx)
	r.Summary = measure.Summarize(r.Workloads, r.Contenders, r.Samples, o.subject)
	for _, s := range r.Samples {
		if s.Failed != "" {
			runErr = errors.Join(runErr, fmt.Errorf("round %d, %s, %s: %s", s.Round, s.Workload, s.Contender, s.Failed))
		}
	}
	if o.out != "" {
		runErr = errors.Join(runErr, save(o.out, r))
	}
	return errors.Join(measure.WriteTable(out, r), runErr)
}

func save(name string, r measure.Report) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	return errors.Join(measure.WriteJSON(f, r), f.Close())
}
