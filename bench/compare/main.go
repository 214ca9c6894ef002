package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"weir/bench/measure"
)

func main() {
	if err := run(os.Args[1:], os.Stdout, os.Stderr); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "compare:", err)
		os.Exit(1)
	}
}

func run(args []string, out, errs io.Writer) error {
	fs := flag.NewFlagSet("compare", flag.ContinueOnError)
	fs.SetOutput(errs)
	fs.Usage = func() {
		fmt.Fprintln(errs, "usage: compare OLD NEW\n\nOLD and NEW are files that bench/run left, or directories with a results.json.")
	}
	if err := fs.Parse(args); err != nil {
		return err
	}
	if fs.NArg() != 2 {
		fs.Usage()
		return fmt.Errorf("%d arguments, not two", fs.NArg())
	}
	before, err := read(fs.Arg(0))
	if err != nil {
		return err
	}
	after, err := read(fs.Arg(1))
	if err != nil {
		return err
	}
	return write(out, before, after)
}

// read takes a file, or results.json of a directory.
func read(name string) (measure.Report, error) {
	var r measure.Report
	if info, err := os.Stat(name); err == nil && info.IsDir() {
		name = filepath.Join(name, "results.json")
	}
	text, err := os.ReadFile(name)
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal(text, &r); err != nil {
		return r, fmt.Errorf("%s: %w", name, err)
	}
	if len(r.Workloads) == 0 {
		return r, fmt.Errorf("%s: no workloads; is it the JSON that bench/run left?", name)
	}
	return r, nil
}
