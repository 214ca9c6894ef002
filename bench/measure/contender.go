package measure

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"weir/bench/peers"
)

// Names of the contenders. Direct is the load without a proxy, twice in each
// round; a name with -best is a peer tuned for these workloads.
const (
	Direct      = "direct"
	DirectAgain = "direct-again"
	Weir        = "weir"
)

// Binaries are the programs of the contenders.
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
	Name    string   `json:"name"`
	Version string   `json:"version,omitempty"`
	Command []string `json:"command,omitempty"` // CONFIG stands for the file's path
	Config  string   `json:"config,omitempty"`  // the template of peers, filled in but for addresses

	template     string
	streamModule string
}

// AllContenders lists the names in the order of the first round.
func AllContenders() []string {
	return []string{Weir, "haproxy", "haproxy-best", "nginx", "nginx-best"}
}

var errNoProgram = errors.New("its program isn't there")

// isDirect reports whether there is no proxy.
func (c Contender) isDirect() bool { return c.Name == Direct || c.Name == DirectAgain }

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
	for _, name := range AllContenders() {
		if _, err := newContender(name, bin); errors.Is(err, errNoProgram) {
			skips = append(skips, Skip{Contender: name, Why: err.Error()})
			continue
		}
		names = append(names, name)
	}
	list, err := NewContenders(names, bin)
	return list, skips, err
}

func newContender(name string, bin Binaries) (Contender, error) {
	c := Contender{Name: name}
	var path string
	switch name {
	case Weir:
		path, c.template = bin.Weir, "weir.toml"
	case "haproxy", "haproxy-best":
		path, c.template = bin.HAProxy, name+".cfg"
	case "nginx", "nginx-best":
		path, c.template = bin.NGINX, name+".conf"
	default:
		return c, fmt.Errorf("unknown; there are %s", strings.Join(AllContenders(), ", "))
	}
	path, err := exec.LookPath(path)
	if err != nil {
		return c, fmt.Errorf("%w: %w", errNoProgram, err)
	}
	if path, err = filepath.Abs(path); err != nil {
		return c, err
	}
	switch c.template {
	case "weir.toml":
		c.Command = []string{path, "run", "-c", "CONFIG"}
		c.Version = strings.Join(strings.Fields(output(path, "version")), " ")
	case "haproxy.cfg", "haproxy-best.cfg":
		c.Command = []string{path, "-db", "-f", "CONFIG"}
		c.Version, _, _ = strings.Cut(output(path, "-v"), "\n")
	default:
		c.Command = []string{path, "-e", "stderr", "-c", "CONFIG"}
		c.Version, _, _ = strings.Cut(output(path, "-v"), "\n")
		c.streamModule = streamModule(path)
	}
	c.Config, err = peers.Render(c.template, peers.Values{
		Listen: "LISTEN", Backend: "BACKEND", Admin: "ADMIN", Dir: "DIR", StreamModule: c.streamModule,
	})
	return c, err
}

// output is what a program says of its version, or why it doesn't.
func output(path string, args ...string) string {
	out, err := exec.Command(path, args...).CombinedOutput()
	text := strings.TrimSpace(string(out))
	if err != nil && text == "" {
		return err.Error()
	}
	return text
}

// streamModule is the path of NGINX's stream module where it is one.
func streamModule(path string) string {
	out, _ := exec.Command(path, "-V").CombinedOutput()
	m := regexp.MustCompile(`--modules-path=(\S+)`).FindSubmatch(out)
	if m == nil || !strings.Contains(string(out), "--with-stream=dynamic") {
		return ""
	}
	return filepath.Join(string(m[1]), "ngx_stream_module.so")
}

// supports reports whether the contender forwards "tcp" or "udp".
func (c Contender) supports(protocol string) bool {
	return c.isDirect() || protocol == "tcp"
}

// start runs the contender in front of backend and waits until it listens.
func (c Contender) start(ctx context.Context, free *ports, dir, protocol, backend string) (*child, string, error) {
	listen, err := free.free()
	if err != nil {
		return nil, "", err
	}
	admin, err := free.free()
	if err != nil {
		return nil, "", err
	}
	text, err := peers.Render(c.template, peers.Values{
		Listen: listen, Backend: backend, Admin: admin, Dir: dir, StreamModule: c.streamModule,
	})
	if err != nil {
		return nil, "", err
	}
	file := filepath.Join(dir, c.template)
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		return nil, "", err
	}
	args := slices.Clone(c.Command)
	args[slices.Index(args, "CONFIG")] = file
	p, err := startChild(ctx, filepath.Join(dir, c.Name+".log"), args, false)
	if err != nil {
		return nil, "", err
	}
	if err := p.listening(ctx, listen); err != nil {
		return nil, "", errors.Join(err, p.stop())
	}
	return p, listen, nil
}
