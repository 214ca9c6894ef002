package main

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/spf13/cobra"

	"weir/config"
)

// sources are where the configuration comes from: a file, and what the command line merges over it.
type sources struct {
	file      string
	overrides []config.Source // in the order of the command line
}

// flags adds the flags that fill s.
func (s *sources) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVarP(&s.file, "config", "c", "", "TOML `file` with the configuration")
	f.Var(&override{to: s, kind: config.Set, name: "--set"}, "set",
		"one `key=value` merged over the file, such as process.loops=2; may be given again, later ones win")
	f.Var(&override{to: s, kind: config.TOML, name: "--config-toml"}, "config-toml",
		"TOML `text` merged over the file; may be given again, in turn with --set")
}

// load reads and validates the configuration.
func (s *sources) load() (*config.Snapshot, error) {
	if s.file == "" && len(s.overrides) == 0 {
		return nil, errors.New("no configuration: give -c FILE, --config-toml or --set")
	}
	snapshot, err := config.Load(s.file, s.overrides...)
	if cause := (*fs.PathError)(nil); errors.As(err, &cause) {
		return nil, unreadable{cause}
	}
	return snapshot, err
}

// unreadable is an error of the configuration's file that no help text would help with.
type unreadable struct{ error }

func (u unreadable) Unwrap() error { return u.error }

// override is a flag that adds a source; those of one kind are numbered for error messages.
type override struct {
	to    *sources
	kind  config.Kind
	name  string
	count int
}

// Set adds a source.
func (o *override) Set(text string) error {
	o.count++
	o.to.overrides = append(o.to.overrides, config.Source{
		Name: fmt.Sprintf("%s #%d", o.name, o.count), Text: text, Kind: o.kind,
	})
	return nil
}

// String is the default that help shows: none.
func (o *override) String() string { return "" }

// Type is the placeholder that help would show had the usage no name of its own.
func (o *override) Type() string { return "text" }
