package config

import (
	"fmt"
	"io"
	"os"
)

// Limits on what Parse takes. They are far above any real configuration and
// keep a mistaken or hostile one from costing memory or time without end.
const (
	// MaxText is the most bytes the texts of all sources may have together.
	MaxText = 16 << 20
	// MaxErrors is how many errors are reported; one more says how many are not.
	MaxErrors = 100

	maxDepth = 32  // arrays and inline tables within one another
	maxParts = 16  // parts of a dotted key or table header
	maxName  = 128 // bytes of a listener's or cluster's name
)

// Kind says how the text of a Source is written.
type Kind uint8

const (
	// File is a TOML document read from a file.
	File Kind = iota
	// Set is one `path.to.key=value`, as --set takes it.
	Set
	// TOML is a TOML document given in place, as --config-toml takes it.
	TOML
)

// Source is one text of a configuration. Sources are merged in order: tables
// key by key, everything else replaced whole by the later one.
type Source struct {
	// Name is how errors call it: the file's name, "--set #1", "--config-toml #2".
	Name string
	Text string
	Kind Kind
}

// Load reads file and parses it with the overrides merged over it, in order.
// Without a file ("") the overrides are all there is. The error is Errors when
// the configuration is at fault, and wraps the cause when the file cannot be
// read.
func Load(file string, overrides ...Source) (*Snapshot, error) {
	var sources []Source
	if file != "" {
		text, err := readFile(file)
		if err != nil {
			return nil, fmt.Errorf("config: read %s: %w", file, err)
		}
		sources = append(sources, Source{Name: file, Text: text})
	}
	return Parse(append(sources, overrides...))
}

// readFile reads no more than Parse would take, and one byte, so that Parse
// refuses what is larger.
func readFile(name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, MaxText+1))
	return string(text), err
}
