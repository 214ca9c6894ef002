package config

import (
	"reflect"
	"slices"
	"strings"
	"testing"
)

// sameAsDefault is the keys of which there is no other value yet, and the one
// that every endpoint has to have.
var sameAsDefault = map[string]bool{
	"listeners.*.balance": true, "listeners.*.cluster": true,
	"clusters.*.endpoints[].address": true,
}

// wants is what a configuration has to say beside a key for it to mean something.
func wants(path string) string {
	switch {
	case path == "listeners.*.routes[].sni", path == "clusters.*.endpoints[].server_id":
		return "listeners.web = { protocol = \"udp\", udp.quic = true }\n"
	case strings.HasPrefix(path, "listeners.*.udp"):
		return "listeners.web.protocol = \"udp\"\n"
	case path == "clusters.*.health.service":
		return "clusters.web.health.type = \"grpc\"\n"
	case path == "clusters.*.health.tls.cert", path == "clusters.*.health.tls.key":
		return "clusters.web.health.tls = { cert = \"old.pem\", key = \"old.key\" }\n"
	case slices.Contains(ofTypes[strings.TrimPrefix(path, "clusters.*.health.")], HealthHTTP):
		return "clusters.web.health.type = \"http\"\n"
	case strings.HasPrefix(path, "listeners.*.rate."):
		return "listeners.web.rate = { connections = \"1/s\", per_source = \"1/s\" }\n"
	case strings.HasPrefix(path, "clusters.*.hash_"):
		return "clusters.web.policy = \"ring_hash\"\n"
	}
	return ""
}

// examples is a document for each key that has an example, by path.
func examples(t *testing.T) map[string]Source {
	all := make(map[string]Source)
	for _, k := range Keys() {
		if k.Example == "" {
			continue
		}
		name := k.Path[strings.LastIndexByte(k.Path, '.')+1:]
		text := strings.ReplaceAll(k.Path, "*", "web") + " = " + k.Example
		switch above, _, inList := strings.Cut(k.Path, "[]"); {
		case inList && name == "address":
			text = "[[" + strings.ReplaceAll(above, "*", "web") + "]]\naddress = " + k.Example
		case inList && strings.HasSuffix(above, "endpoints"):
			text = "[[" + strings.ReplaceAll(above, "*", "web") + "]]\naddress = \"10.0.0.2:8080\"\n" + name + " = " + k.Example
		case inList && (name == "source" || name == "sni"):
			text = "[[" + strings.ReplaceAll(above, "*", "web") + "]]\ncluster = \"web\"\n" + name + " = " + k.Example
		case inList:
			text = "[[" + strings.ReplaceAll(above, "*", "web") + "]]\n" + name + " = " + k.Example
		}
		text += "\n"
		for _, cluster := range []string{"inside", "stable", "next"} {
			text += "[clusters." + cluster + "]\nendpoints = [\"10.0.0.1:1\"]\nhealth = {}\n"
		}
		all[k.Path] = Source{Name: k.Path, Kind: TOML, Text: text}
	}
	return all
}

// Nothing can be read that is not on the page: the fields of a Snapshot are
// exactly the keys of the schema.
func TestEveryFieldHasAKey(t *testing.T) {
	documented := make(map[string]bool)
	for _, k := range Keys() {
		if k.Help == "" || strings.Contains(k.Help, "\n") {
			t.Errorf("%s: the help is not one line: %q", k.Path, k.Help)
		}
		if k.Type == "" || k.Type != "table" && k.Example == "" {
			t.Errorf("%s: no type or no example", k.Path)
		}
		if documented[k.Path] {
			t.Errorf("%s is there twice", k.Path)
		}
		documented[k.Path] = true
	}
	fields := 0
	var walk func(typ reflect.Type, path string)
	walk = func(typ reflect.Type, path string) {
		for i := range typ.NumField() {
			f := typ.Field(i)
			if f.Name == "On" { // says that the table is there
				continue
			}
			key := join(path, snake(f.Name))
			below := f.Type
			switch key {
			case "listeners", "clusters":
				key, below = key+".*", below.Elem()
			case "listeners.*.name", "clusters.*.name":
				continue
			case "listeners.*.binds":
				key = "listeners.*.bind"
			}
			if !documented[key] {
				t.Errorf("%s.%s has no key %s", typ.Name(), f.Name, key)
			}
			fields++
			switch key {
			case "listeners.*.routes", "clusters.*.endpoints":
				walk(below.Elem(), key+"[]")
			case "process", "admin", "listeners.*", "clusters.*", "listeners.*.tcp", "listeners.*.udp", "listeners.*.rate",
				"clusters.*.discover", "clusters.*.health", "clusters.*.health.tls", "clusters.*.outlier", "clusters.*.limits":
				walk(below, key)
			}
		}
	}
	walk(reflect.TypeFor[Snapshot](), "")
	if fields != len(documented) {
		t.Errorf("there are %d fields and %d keys", fields, len(documented))
	}
}

// snake is a Go name as a key: MaxConnections is max_connections.
func snake(name string) string {
	name = strings.NewReplacer("V6Only", "v6_only", "TCP", "tcp", "TLS", "tls", "DNS", "dns", "CA", "ca", "UDP", "udp", "QUIC", "quic", "SNI", "sni", "ServerID", "server_id").Replace(name)
	var b strings.Builder
	for i, c := range name {
		if c >= 'A' && c <= 'Z' {
			if i > 0 {
				b.WriteByte('_')
			}
			c += 'a' - 'A'
		}
		b.WriteRune(c)
	}
	return b.String()
}

// tableOf is a setting with which the table of a key is there, of one for which
// that makes a difference.
func tableOf(path string) []string {
	for _, table := range []string{"clusters.*.health.tls", "clusters.*.health", "clusters.*.outlier"} {
		if strings.HasPrefix(path, table+".") && path != "clusters.*.health.on_down" {
			return []string{strings.ReplaceAll(table, "*", "web") + "={}"}
		}
	}
	return nil
}

// Every default on the page is what an absent key gives, whatever the protocol, and may be written out.
func TestDocumentedDefaults(t *testing.T) {
	for _, protocol := range []Protocol{ProtocolTCP, ProtocolUDP} {
		base := strings.Replace(valid, "cluster =", "protocol = "+literal(string(protocol))+"\ncluster =", 1)
		for _, k := range Keys() {
			if k.Default == "" || strings.Contains(k.Path, "[]") || k.Path == "listeners.*.cluster" || k.Path == "listeners.*.protocol" && protocol != ProtocolTCP {
				continue
			}
			def := k.Default
			if protocol == ProtocolUDP && k.DefaultUDP != "" {
				def = k.DefaultUDP
			}
			text := strings.ReplaceAll(k.Path, "*", "web") + " = " + def
			s, err := Parse([]Source{{Name: "f", Text: base}, {Name: "default", Kind: TOML, Text: text}})
			if err != nil {
				t.Errorf("%s, %s: %v", protocol, k.Path, err)
				continue
			}
			plain := parse(t, base, tableOf(k.Path)...)
			if !reflect.DeepEqual(s, plain) {
				t.Errorf("%s, %s: the default written out makes a difference: %+v", protocol, k.Path, Diff(plain, s))
			}
		}
	}
}

func TestReference(t *testing.T) {
	var b strings.Builder
	if err := WriteReference(&b); err != nil {
		t.Fatal(err)
	}
	page := b.String()
	golden(t, "testdata/reference.golden", page)
	rows := 0
	for line := range strings.SplitSeq(page, "\n") {
		if strings.HasPrefix(line, "| `") && strings.Count(strings.ReplaceAll(line, `\|`, ""), "|") == 6 {
			rows++
		}
	}
	keys := 0
	for _, k := range Keys() {
		if strings.Contains(strings.TrimSuffix(k.Path, ".*"), ".") {
			keys++
		}
	}
	if rows != keys {
		t.Errorf("the page has %d rows of keys, want %d", rows, keys)
	}
}
