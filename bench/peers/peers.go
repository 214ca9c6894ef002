package peers

import (
	"embed"
	"fmt"
	"strings"
	"text/template"
)

//go:embed *.cfg *.conf *.yaml *.toml
var files embed.FS

// Values fill a template.
type Values struct {
	Listen       string // where the contender listens, IPv4:PORT
	Backend      string // where it forwards to, IPv4:PORT
	Protocol     string // tcp or udp, where one template serves both
	Responses    int    // UDP: answers after which a flow is over; 0 = it goes on
	FlowTimeout  string // UDP: of a flow, as "0.25s", for who can't end it after an answer; empty = as it comes
	Admin        string // admin address of weir and Envoy
	Dir          string // a folder of the run's own, for pid files and logs
	StreamModule string // NGINX: path of the stream module; empty when built in
}

// Render fills the template of that name, one of Names. It fails for a name that
// isn't one.
func Render(name string, v Values) (string, error) {
	text, err := files.ReadFile(name)
	if err != nil {
		return "", fmt.Errorf("configuration %q: %w", name, err)
	}
	t, err := template.New(name).Funcs(parts()).Parse(string(text))
	if err != nil {
		return "", fmt.Errorf("configuration %q: %w", name, err)
	}
	var b strings.Builder
	if err := t.Execute(&b, v); err != nil {
		return "", fmt.Errorf("configuration %q: %w", name, err)
	}
	return b.String(), nil
}

// parts are functions for templates that want an address in two pieces.
func parts() template.FuncMap {
	cut := func(addr string) (host, port string) {
		i := strings.LastIndexByte(addr, ':')
		if i < 0 {
			return addr, "PORT" // a placeholder, for people to read
		}
		return addr[:i], addr[i+1:]
	}
	return template.FuncMap{
		"host": func(addr string) string { h, _ := cut(addr); return h },
		"port": func(addr string) string { _, p := cut(addr); return p },
	}
}

// Names lists the templates.
func Names() []string {
	entries, _ := files.ReadDir(".") // an embedded folder can't fail
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	return names
}
