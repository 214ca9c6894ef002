package demo

import (
	"bytes"
	"text/template"

	_ "embed" // the configuration
)

//go:embed demo.toml
var text string

var document = template.Must(template.New("demo.toml").Parse(text))

// Addresses are where the demo listens.
type Addresses struct {
	Listen string // the balancer
	Admin  string // the administrative side; "" = off
}

// Config returns the demo's configuration as TOML, with these addresses and the backends' as endpoints. The addresses are put in
// as they are: a wrong one is found when the configuration is read.
func Config(at Addresses, endpoints []string) (string, error) {
	var b bytes.Buffer
	err := document.Execute(&b, struct {
		Addresses
		Endpoints []string
	}{at, endpoints})
	return b.String(), err
}
