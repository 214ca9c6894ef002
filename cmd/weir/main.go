package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"weir/config"
)

func main() { os.Exit(execute(os.Args[1:], os.Stdout, os.Stderr)) }

// Exit codes.
const (
	exitOK      = 0
	exitFailure = 1 // at run time
	exitUsage   = 2 // the command line or the configuration
)

// failure is an error at run time. All others are errors of usage or configuration.
type failure struct{ error }

func (f failure) Unwrap() error { return f.error }

// errEnded is the failure of a second signal. It has been logged.
var errEnded = errors.New("ended by a second signal")

// execute runs the program and returns its exit code.
func execute(args []string, stdout, stderr io.Writer) int {
	root := rootCommand()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	cmd, err := root.ExecuteC()
	if err == nil {
		return exitOK
	}
	var bad config.Errors
	var failed failure
	var unread unreadable
	switch {
	case errors.As(err, &bad):
		for _, e := range bad {
			_, _ = fmt.Fprintln(stderr, e)
		}
		return exitUsage
	case errors.As(err, &failed):
		_, _ = fmt.Fprintf(stderr, "weir: %v\n", err)
		return exitFailure
	case errors.As(err, &unread):
		_, _ = fmt.Fprintf(stderr, "weir: %v\n", err)
		return exitUsage
	}
	_, _ = fmt.Fprintf(stderr, "weir: %v\nsee: %s --help\n", err, cmd.CommandPath())
	return exitUsage
}

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "weir",
		Short: "A TCP and UDP load balancer whose configuration changes in place",
		Long: `weir takes TCP connections and UDP flows and balances them over the endpoints of clusters. One
process, one TOML file; a change of the file is taken up in place, without a second process and
without losing a connection.`,
		Example: `  weir demo                        # try it: three backends and a balancer in one process
  weir check -c weir.toml          # is the configuration right?
  weir run -c weir.toml            # run it; kill -HUP to read it again, kill -TERM to drain`,
		SilenceErrors: true,
		SilenceUsage:  true,

		DisableFlagsInUseLine:      true,
		SuggestionsMinimumDistance: 2,
		Args:                       knownCommand,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return errors.New("a command is needed: run, check, demo or version")
		},
	}
	root.AddCommand(runCommand(), checkCommand(), demoCommand(), versionCommand())
	return root
}

// knownCommand refuses what is no command, and names those that are near.
func knownCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		return fmt.Errorf("unknown command %q, did you mean %q?", args[0], near[0])
	}
	return fmt.Errorf("unknown command %q", args[0])
}

// flagsOnly refuses arguments.
func flagsOnly(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("unexpected argument %q", args[0])
	}
	return nil
}

// fileByFlag refuses arguments; the one that people give is the file.
func fileByFlag(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("unexpected argument %q: a file is given as -c %[1]s", args[0])
	}
	return nil
}
