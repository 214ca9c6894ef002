package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"

	"weir/bench/measure"
	"weir/bench/report"
)

func main() {
	// Children die with the thread that started them: this one, which lasts.
	runtime.LockOSThread()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	code, err := start(ctx, os.Args[1:], os.Stdout, os.Stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
	case err != nil:
		fmt.Fprintln(os.Stderr, "bench:", err)
		code = 1
	}
	os.Exit(code)
}

// start looks at what can be wrong before it takes time: the command line, the
// folder of the result, the build. Only then it isolates, because a network
// namespace has no network to build with.
func start(ctx context.Context, args []string, out, errs io.Writer) (int, error) {
	o, err := parse(args, errs)
	if err != nil {
		return 2, err
	}
	if err := o.prepare(ctx, errs); err != nil {
		return 1, err
	}
	if done, code, err := measure.Isolate(); done || err != nil {
		return code, err
	}
	return 0, o.run(ctx, out, errs)
}

// options are the command line.
type options struct {
	runner     measure.Runner
	contenders []string // nil: all that are there
	out        string
}

const all = "all"

func parse(args []string, errs io.Writer) (*options, error) {
	var o options
	var contenders, workloads string
	fs := flag.NewFlagSet("bench/run", flag.ContinueOnError)
	fs.SetOutput(errs)
	r, b := &o.runner, &o.runner.Binaries
	fs.StringVar(&workloads, "workloads", all, "what work: names or groups, with commas in between:\n"+workloadHelp())
	fs.StringVar(&contenders, "contenders", all, "who takes part, besides direct; direct alone measures the null:\n"+strings.Join(measure.AllContenders(), " "))
	fs.StringVar(&o.out, "out", "out/bench", "folder that results.json and report.html are left in; empty: nothing is left")
	fs.BoolVar(&r.Quick, "quick", false, "small amounts of work and one round: does all work, and what is far apart?")
	fs.IntVar(&r.Rounds, "rounds", 0, "rounds; fewer than five say little (0 = 5, with -quick 1)")
	fs.StringVar(&r.Subject, "subject", measure.Weir, "who is compared with the others")
	fs.Float64Var(&r.Rate, "rate", 0, "messages a second in the workloads open and udp-open (0 = half, and a quarter, of what the slowest contender can do)")
	realtime := fs.Bool("realtime", os.Geteuid() == 0, "give the open loop and its backend precedence over all other threads, as root;\nwithout it their own lateness is in the latencies")
	fs.StringVar(&b.Load, "load", "", "the load generators' program (built)")
	fs.StringVar(&b.Weir, "weir", "", "weir's program (built)")
	fs.StringVar(&b.HAProxy, "haproxy", "", "HAProxy's program (bin/peers/haproxy, or on the PATH)")
	fs.StringVar(&b.NGINX, "nginx", "", "NGINX's program, with stream (bin/peers/nginx, or on the PATH)")
	fs.StringVar(&b.Envoy, "envoy", "", "Envoy's program (bin/peers/envoy, or on the PATH)")
	fs.IntVar(&r.Repeats, "repeats", 0, "how often a disturbed cell is repeated (0 = 10, with -quick 1, and 30 in all)")
	fs.Float64Var(&r.MaxSteal, "max-steal", 0, "share of time stolen above which a cell is thrown away (0 = 0.01, with -quick 0.05)")
	fs.Float64Var(&r.MaxForeign, "max-foreign", 0, "share of busy time taken by other processes above which it is (0 = 0.02, with -quick 0.1)")
	fs.DurationVar(&r.Quiet, "quiet", 0, "how long to wait before a cell for others to finish (0 = 1m, with -quick 300ms)")
	if err := fs.Parse(args); err != nil {
		return nil, err
	}
	if fs.NArg() > 0 {
		return nil, fmt.Errorf("unexpected argument %q", fs.Arg(0))
	}
	if r.Rounds < 0 || r.Repeats < 0 || r.Rate < 0 || r.Rate > 1e7 {
		return nil, fmt.Errorf("rounds %d, repeats %d, rate %g: want no negative number, and a rate of at most 1e7", r.Rounds, r.Repeats, r.Rate)
	}
	r.Workloads = measure.AllWorkloads(r.Quick)
	for i := range r.Workloads {
		r.Workloads[i].Realtime = r.Workloads[i].Realtime && *realtime
	}
	var err error
	if workloads != all {
		r.Workloads, err = measure.ChooseWorkloads(r.Workloads, names(workloads))
	}
	if contenders != all {
		o.contenders = []string{}
		for _, name := range names(contenders) {
			if name != measure.Direct {
				o.contenders = append(o.contenders, name)
			}
		}
		err = errors.Join(err, known(o.contenders))
	}
	if err == nil && len(r.Workloads) == 0 {
		err = errors.New("no workload is named")
	}
	return &o, err
}

func names(list string) []string {
	return strings.FieldsFunc(list, func(r rune) bool { return r == ',' })
}

// known refuses names before anything is built for them.
func known(contenders []string) error {
	for _, name := range contenders {
		if !slices.Contains(measure.AllContenders(), name) {
			return fmt.Errorf("contender %s: unknown; there are %s", name, strings.Join(measure.AllContenders(), ", "))
		}
	}
	return nil
}

func workloadHelp() string {
	text := ""
	for _, g := range measure.Groups() {
		text += strings.ReplaceAll(g, " ", "-") + ":"
		for _, w := range measure.AllWorkloads(false) {
			if w.Group == g {
				text += " " + w.Name
			}
		}
		text += "\n"
	}
	return strings.TrimSuffix(text, "\n")
}

// prepare makes sure that results can be kept, and that there is who to measure.
func (o *options) prepare(ctx context.Context, errs io.Writer) error {
	if o.out != "" {
		if err := writable(o.out); err != nil {
			return fmt.Errorf("folder of the results: %w", err)
		}
	}
	r := &o.runner
	var err error
	if r.Binaries, err = programs(ctx, r.Binaries, o.contenders, errs); err != nil {
		return err
	}
	if o.contenders == nil {
		r.Contenders, r.Skipped, err = measure.PresentContenders(r.Binaries)
	} else {
		r.Contenders, err = measure.NewContenders(o.contenders, r.Binaries)
	}
	return err
}

func writable(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, "results-")
	if err != nil {
		return err
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

func (o *options) run(ctx context.Context, out, errs io.Writer) error {
	w := newWatch(errs)
	o.runner.Before, o.runner.Progress = w.before, w.sample
	o.runner.AfterRound = o.save
	for _, s := range o.runner.Skipped {
		fmt.Fprintf(errs, "%s is left out: %s\n", s.Contender, s.Why)
	}
	r, err := o.runner.Run(ctx)
	w.end()
	if len(r.Samples) > 0 {
		err = errors.Join(err, o.save(r))
	}
	return errors.Join(measure.WriteTable(out, r), err, failures(r, errs))
}

// failures says who failed, and is an error where that was the subject, or the
// load without anybody in between.
func failures(r measure.Report, errs io.Writer) error {
	var err error
	for _, s := range r.Samples {
		if s.Failed == "" {
			continue
		}
		text := fmt.Sprintf("round %d, %s, %s failed: %s", s.Round, s.Workload, s.Contender, s.Failed)
		switch s.Contender {
		case r.Subject, measure.Direct, measure.DirectAgain:
			err = errors.Join(err, errors.New(text))
		default:
			fmt.Fprintln(errs, text)
		}
	}
	return err
}

// save writes the results; whoever reads meanwhile finds the old ones, whole.
func (o *options) save(r measure.Report) error {
	if o.out == "" {
		return nil
	}
	return errors.Join(
		replace(filepath.Join(o.out, "results.json"), func(w io.Writer) error { return measure.WriteJSON(w, r) }),
		replace(filepath.Join(o.out, "report.html"), func(w io.Writer) error { return report.Write(w, r) }),
	)
}

func replace(name string, write func(io.Writer) error) error {
	f, err := os.CreateTemp(filepath.Dir(name), filepath.Base(name)+"-")
	if err != nil {
		return err
	}
	err = errors.Join(write(f), f.Chmod(0o644), f.Close())
	if err != nil {
		return errors.Join(fmt.Errorf("%s: %w", name, err), os.Remove(f.Name()))
	}
	return os.Rename(f.Name(), name)
}
