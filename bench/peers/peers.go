package peers

import (
	"embed"
	"fmt"
	"strings"
	"text/template"
)

//go:embed haproxy.cfg haproxy-best.cfg nginx.conf nginx-best.conf weir.toml
var files embed.FS

// Values fill a template.
type Values struct {
	Listen       string // where the contender listens, IPv4:PORT
	Backend      string // where it forwards to, IPv4:PORT
	Admin        string // weir's admin address
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
	t, err := template.New(name).Parse(string(text))
	if err != nil {
		return "", fmt.Errorf("configuration %q: %w", name, err)
	}
	var b strings.Builder
	if err := t.Execute(&b, v); err != nil {
		return "", fmt.Errorf("configuration %q: %w", name, err)
	}
	return b.String(), nil
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
