package config

import (
	"fmt"
	"io"
	"strings"
)

// Key is one key of the language.
type Key struct {
	// Path is the key path. "*" stands for a name of the user's, "[]" for each
	// element of a list: "clusters.*.endpoints[].weight".
	Path string
	// Type is the kind of value, "a | b" for one of some words; "table" is one
	// whose keys follow.
	Type string
	// Default is the value of an absent key as TOML; "" is none.
	Default string
	// DefaultUDP is that of a UDP listener; "" is no other than Default.
	DefaultUDP string
	// Help says what it means, on one line.
	Help string
	// Example is a value as TOML; "" for tables that need none.
	Example string
}

// Keys is every key that Parse knows, in the order of the reference, each table
// before its keys. It is made from what Parse itself works by.
func Keys() []Key { return rootTable().describe("") }

// section is the keys of one table of the reference.
type section struct {
	key  Key // the table itself
	keys []Key
}

// WriteReference writes the reference of the language as a Markdown page. The
// error is that of w.
func WriteReference(w io.Writer) error {
	var b strings.Builder
	b.WriteString(referenceHead)
	for _, s := range sections() {
		fmt.Fprintf(&b, "\n## `%s`\n\n%s\n\n", header(s.key), s.key.Help)
		b.WriteString("| Key | Type | Default | Meaning | Example |\n|---|---|---|---|---|\n")
		for _, k := range s.keys {
			name := k.Path[strings.LastIndexByte(k.Path, '.')+1:]
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", name, cell(k.Type), ofProtocols(k), cell(k.Help), code(name+" = "+k.Example))
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// sections groups the keys by their table, in the order of the tables.
func sections() []*section {
	var all []*section
	byPath := make(map[string]*section)
	keys := Keys()
	for i, k := range keys {
		// What has keys below it comes right before the first of them.
		if i+1 < len(keys) {
			for _, own := range []string{k.Path, k.Path + "[]"} {
				if strings.HasPrefix(keys[i+1].Path, own+".") {
					byPath[own] = &section{key: Key{Path: own, Help: k.Help}}
					all = append(all, byPath[own])
				}
			}
		}
		if dot := strings.LastIndexByte(strings.TrimSuffix(k.Path, ".*"), '.'); dot >= 0 {
			s := byPath[k.Path[:dot]]
			s.keys = append(s.keys, k)
		}
	}
	return all
}

// header is a table's header in a document.
func header(k Key) string {
	name := strings.ReplaceAll(k.Path, ".*", ".NAME")
	if list, ok := strings.CutSuffix(name, "[]"); ok {
		return "[[" + list + "]]"
	}
	return "[" + name + "]"
}

// cell is a text that may stand in a Markdown table.
func cell(s string) string { return strings.ReplaceAll(s, "|", `\|`) }

// ofProtocols is a key's default in a cell, for each protocol where they differ.
func ofProtocols(k Key) string {
	if k.DefaultUDP == "" {
		return code(k.Default)
	}
	return code(k.Default) + "; udp " + code(k.DefaultUDP)
}

// code is a TOML text in a cell; nothing for none.
func code(s string) string {
	if s == "" {
		return ""
	}
	return "`" + cell(s) + "`"
}

const referenceHead = `# Configuration reference

weir reads one TOML file. A key that is not on this page is an error, and so is
everything else that is wrong: all errors are reported at once, each with its
file, line and key, and a configuration with an error changes nothing.

An absent key has the default given here. So has one that is zero or empty,
unless its meaning says otherwise.

## Overrides

` + "`--set path.to.key=value` and `--config-toml 'TOML'`" + ` are merged over the file in the order
of the command line; the last one wins. Tables are merged key by key. Everything else
is replaced whole: a list never grows by merging.

| Written | Means |
|---|---|
| ` + "`--set process.loops=2`" + ` | the integer 2: a value that is TOML is taken as TOML |
| ` + "`--set process.drain_timeout=5s`" + ` | the string "5s": anything else is taken as a string |
| ` + "`--set admin.listen=`" + ` | the empty string |
| ` + "`--set listeners.web.cluster=8080`" + ` | the string "8080", since a cluster's name is a string |
| ` + "`--set 'listeners.\"my web\".cluster=web'`" + ` | a name in quotes, as in TOML |
| ` + "`--set 'clusters.web.endpoints=[\"127.0.0.1:1\"]'`" + ` | a list, quoted from the shell |
| ` + "`--config-toml 'clusters.web = { policy = \"p2c\" }'`" + ` | one key of the cluster; the others stay |

## Values

- **duration**: a string of numbers and units, ` + "`\"250ms\"`, `\"30s\"`, `\"1h30m\"`" + `. Units are
  ` + "`ns`, `us`, `ms`, `s`, `m` and `h`" + `; the unit is never left out.
- **size**: a whole number of bytes, or a string of a number and its unit, ` + "`\"64KiB\"`" + `.
  Units are ` + "`B`; `KiB`, `MiB`, `GiB` (1024); `kB`, `MB`, `GB` (1000)" + `.
- **rate**: a string of a whole number and "/s", "/m" or "/h", ` + "`\"100/s\"`" + `: so many a second,
  minute or hour.
- **address**: an IP address and port, ` + "`\"10.0.0.1:80\"` or `\"[2001:db8::1]:80\"`" + `. To bind every
  address, leave it out: ` + "`\":80\"`" + `. Port 0 binds a free port.
- **network**: ` + "`\"10.0.0.0/8\"`, `\"2001:db8::/32\"`" + `, or a single address.
- Numbers, durations, sizes and rates are never negative.
- **server name**: a DNS name, ` + "`\"db.example.com\"`" + `, or one with ` + "`*`" + ` as its first label.
- **hex string**: two digits for each byte, ` + "`\"0a1b\"`" + `.
- Two binds of one protocol may not overlap: the same address and port, or a wildcard and
  any address of its family on the same port. ` + "`[::]`" + ` takes IPv4 as well, unless ` + "`v6_only`" + ` is set.
`
