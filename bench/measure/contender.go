package measure

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"weir/bench/peers"
)

// Names of contenders. Direct is the load without a proxy, twice in each round.
// The others are in AllContenders; a name with -best is a peer tuned for these
// workloads.
const (
	Direct      = "direct"
	DirectAgain = "direct-again"
	Weir        = "weir"
)

// Binaries are the programs of the contenders: paths, or names to be looked for
// on the PATH. [Installed] says where they are by default.
type Binaries struct {
	Load    string // cmd/load
	Weir    string
	HAProxy string
	NGINX   string
	Envoy   string
	Gnet    string // relay/gnet
	Go      string // relay/goio
	C       string // relay/c/relay.c, built
}

// Contender is a proxy to be measured.
type Contender struct {
	Name      string   `json:"name"`
	Version   string   `json:"version,omitempty"`
	Protocols []string `json:"protocols,omitempty"` // tcp, udp; direct has none, and does all
	Command   []string `json:"command,omitempty"`   // CONFIG stands for the file's path, LISTEN and BACKEND for addresses, PROTOCOL and RESPONSES as in peers.Values
	Config    string   `json:"config,omitempty"`    // its files, one for each protocol, filled in but for addresses

	program      string // its path; results are for other machines and have its name only
	templates    map[string]string
	streamModule string
	session      int // descriptors of a TCP session; 0 = 2
}

// AllContenders lists the names in the order of the first round.
func AllContenders() []string {
	var names []string
	for _, k := range kinds(Binaries{}) {
		names = append(names, k.name)
	}
	return names
}

// isDirect reports whether there is no proxy.
func (c Contender) isDirect() bool { return c.Name == Direct || c.Name == DirectAgain }

// supports reports whether the contender forwards "tcp" or "udp".
func (c Contender) supports(protocol string) bool {
	return c.isDirect() || slices.Contains(c.Protocols, protocol)
}

// lacks says why the contender can't do a workload at all where a process may
// have so many descriptors, or nothing.
func (c Contender) lacks(w Workload, descriptors uint64) string {
	need := uint64(w.Conns * c.session)
	switch {
	case !c.supports(w.Protocol):
		return "has no " + w.Protocol
	case need > descriptors:
		return fmt.Sprintf("takes %d descriptors for a session, %d for these, and RLIMIT_NOFILE is %d (ulimit -Hn)", c.session, need, descriptors)
	default:
		return ""
	}
}

// NewContenders finds the programs of the named contenders, puts direct before
// and after them, and notes their versions. It fails for an unknown name and
// for a program that isn't there.
func NewContenders(names []string, bin Binaries) ([]Contender, error) {
	list := []Contender{{Name: Direct}}
	for _, name := range names {
		c, err := newContender(name, bin)
		if err != nil {
			return nil, fmt.Errorf("contender %s: %w", name, err)
		}
		if slices.ContainsFunc(list, func(o Contender) bool { return o.Name == name }) {
			return nil, fmt.Errorf("contender %s: named twice", name)
		}
		list = append(list, c)
	}
	return append(list, Contender{Name: DirectAgain}), nil
}

// PresentContenders is NewContenders for all that there are; one whose program
// isn't there is left out and said.
func PresentContenders(bin Binaries) ([]Contender, []Skip, error) {
	var names []string
	var skips []Skip
	for _, k := range kinds(bin) {
		if _, err := k.find(); err != nil {
			skips = append(skips, Skip{Contender: k.name, Why: err.Error()})
			continue
		}
		names = append(names, k.name)
	}
	list, err := NewContenders(names, bin)
	return list, skips, err
}

func newContender(name string, bin Binaries) (Contender, error) {
	all := kinds(bin)
	i := slices.IndexFunc(all, func(k kind) bool { return k.name == name })
	if i < 0 {
		return Contender{}, fmt.Errorf("unknown; there are %s", strings.Join(AllContenders(), ", "))
	}
	k := all[i]
	path, err := k.find()
	if err != nil {
		return Contender{}, err
	}
	c := Contender{Name: name, Version: k.version(path), Command: append([]string{filepath.Base(path)}, k.args...), program: path, templates: k.templates, session: k.session}
	if k.path == bin.NGINX {
		c.streamModule = streamModule(path)
	}
	var files []string
	for _, protocol := range []string{"tcp", "udp"} {
		template, ok := k.templates[protocol]
		if !ok {
			continue
		}
		c.Protocols = append(c.Protocols, protocol)
		text, err := c.config(protocol, peers.Values{Listen: "LISTEN", Backend: "BACKEND", Responses: 1, FlowTimeout: churnTimeout, Admin: "ADMIN", Dir: "DIR"})
		if err != nil {
			return Contender{}, err
		}
		if template != "" {
			files = append(files, text)
		}
	}
	c.Config = strings.Join(files, "\n")
	return c, nil
}

// config is the contender's file for a protocol.
func (c Contender) config(protocol string, v peers.Values) (string, error) {
	if c.templates[protocol] == "" {
		return "", nil
	}
	v.Protocol, v.StreamModule = protocol, c.streamModule
	return peers.Render(c.templates[protocol], v)
}

// start runs the contender in front of backend and waits until it listens. It
// returns where.
func (c Contender) start(ctx context.Context, free *ports, dir string, w Workload, backend string) (*child, string, error) {
	protocol := w.Protocol
	listen, err := free.freeFor(protocol)
	if err != nil {
		return nil, "", err
	}
	admin, err := free.freeFor("tcp")
	if err != nil {
		return nil, "", err
	}
	text, err := c.config(protocol, peers.Values{Listen: listen, Backend: backend, Responses: w.responses, FlowTimeout: w.flowTimeout, Admin: admin, Dir: dir})
	if err != nil {
		return nil, "", err
	}
	// Envoy tells a file's language by its ending.
	file := filepath.Join(dir, "config"+filepath.Ext(c.templates[protocol]))
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		return nil, "", err
	}
	args := slices.Clone(c.Command)
	args[0] = c.program
	fill := map[string]string{
		"CONFIG": file, "PROTOCOL": protocol, "LISTEN": listen, "BACKEND": backend, "RESPONSES": strconv.Itoa(w.responses),
	}
	for i, arg := range args {
		if value, ok := fill[arg]; ok {
			args[i] = value
		}
	}
	p, err := startChild(ctx, filepath.Join(dir, c.Name+".log"), args, false)
	if err != nil {
		return nil, "", err
	}
	ready := p.listening
	if protocol == "udp" {
		ready = p.receiving
	}
	if err := ready(ctx, listen); err != nil {
		return nil, "", errors.Join(err, p.stop())
	}
	return p, listen, nil
}
