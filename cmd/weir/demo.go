package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"weir/cmd/weir/internal/control"
	"weir/cmd/weir/internal/demo"
	"weir/config"
)

func demoCommand() *cobra.Command {
	at := demo.Addresses{Listen: "127.0.0.1:8080", Admin: "127.0.0.1:9901"}
	cmd := &cobra.Command{
		Use:   "demo [--listen ADDRESS] [--admin ADDRESS]",
		Short: "Run a built-in example with three backends of its own",
		Long: `Demo starts three tiny HTTP servers inside the process, balances over them, and says what to try.
It needs no configuration. End it with Ctrl-C.`,
		Example: `  weir demo
  weir demo --listen 127.0.0.1:8000 --admin 127.0.0.1:9000
  weir demo --listen 127.0.0.1:0 --admin ""       # any free port, no administrative side`,
		DisableFlagsInUseLine: true,

		Args: flagsOnly,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runDemo(at, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	cmd.Flags().StringVar(&at.Listen, "listen", at.Listen, "`address` and port to balance on")
	cmd.Flags().StringVar(&at.Admin, "admin", at.Admin, "`address` and port of the administrative side; empty for none")
	return cmd
}

func runDemo(at demo.Addresses, stdout, stderr io.Writer) error {
	backends, err := demo.Start()
	if err != nil {
		return failure{err}
	}
	defer func() { _ = backends.Close() }()
	text, err := demo.Config(at, backends.Addresses())
	if err != nil {
		return failure{err}
	}
	from := sources{overrides: []config.Source{{Name: "demo", Text: text, Kind: config.TOML}}}
	return serve(service{load: from.load, stderr: stderr, started: func(c *control.Control) {
		sayWhatToTry(stdout, c.View().Listeners[0].Binds[0].String(), c.AdminAddr())
	}})
}

// sayWhatToTry greets whoever runs the demo.
func sayWhatToTry(w io.Writer, listen, admin string) {
	_, _ = fmt.Fprintf(w, `
weir balances http://%[1]s over three backends inside this process. In another terminal, try:

  for i in 1 2 3 4 5 6; do curl http://%[1]s/; done
`, listen)
	if admin != "" {
		_, _ = fmt.Fprintf(w, `  curl 'http://%[1]s/stats?format=text'
  curl http://%[1]s/metrics
`, admin)
	}
	_, _ = fmt.Fprint(w, "\nCtrl-C drains and ends it; a second Ctrl-C ends it at once.\n\n")
}
