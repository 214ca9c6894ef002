package main

import (
	"github.com/spf13/cobra"
)

func runCommand() *cobra.Command {
	var from sources
	cmd := &cobra.Command{
		Use:   "run [-c FILE] [--set KEY=VALUE]... [--config-toml TEXT]...",
		Short: "Run a configuration",
		Long: `Run listens and balances until it is told to end.

The configuration is the file with --set and --config-toml merged over it in the order of the
command line. The file may be left out when one of the others is given.

Signals:
  SIGHUP            read the file again, and those of health.tls, and change in place; what is wrong is
                    logged and changes nothing
  SIGTERM, SIGINT   stop accepting, end the sessions gradually over process.drain_timeout, exit 0;
                    a second one ends the sessions that are left and exits 1`,
		Example: `  weir run -c weir.toml
  weir run -c weir.toml --set process.loops=2 --set 'listeners.web.bind="127.0.0.1:8080"'
  weir run --config-toml '[listeners.web]
    bind = ":8080"
    cluster = "web"
    [clusters.web]
    endpoints = ["10.0.0.1:80", "10.0.0.2:80"]'`,
		DisableFlagsInUseLine: true,

		Args: fileByFlag,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return serve(service{load: from.load, stderr: cmd.ErrOrStderr()})
		},
	}
	from.flags(cmd)
	return cmd
}

func checkCommand() *cobra.Command {
	var from sources
	cmd := &cobra.Command{
		Use:   "check [-c FILE] [--set KEY=VALUE]... [--config-toml TEXT]...",
		Short: "Say what is wrong with a configuration",
		Long: `Check reads and validates a configuration as run would, and prints every error on a line of its
own. It exits 0 when there is none and 2 otherwise.

It opens no address and no file but the configuration's, and asks no DNS: that a file which the
configuration names is missing, or an address is in use, run says.`,
		Example: `  weir check -c weir.toml
  weir check -c weir.toml --set process.loops=2`,
		DisableFlagsInUseLine: true,

		Args: fileByFlag,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := from.load()
			if err != nil {
				return err
			}
			cmd.Printf("ok: %d %s, %d %s\n", len(s.Listeners), plural(len(s.Listeners), "listener"),
				len(s.Clusters), plural(len(s.Clusters), "cluster"))
			return nil
		},
	}
	from.flags(cmd)
	return cmd
}

func plural(n int, noun string) string {
	if n == 1 {
		return noun
	}
	return noun + "s"
}
