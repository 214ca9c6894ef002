package config

import (
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func TestParseEndpoints(t *testing.T) {
	one := Endpoint{Address: netip.MustParseAddrPort("10.0.0.1:80"), Weight: 1, State: Ready}
	two := Endpoint{Address: netip.MustParseAddrPort("[fd00::2]:80"), Weight: 2, MaxConnections: 5, Backup: true, State: Drain, ServerID: "0a", Priority: 3}
	const table = `address = "[fd00::2]:80", weight = 2, max_connections = 5, backup = true, state = "drain", server_id = "0A", priority = 3`
	object := strings.NewReplacer(" =", ":", "address", `"address"`, "weight", `"weight"`, "max_connections", `"max_connections"`, "backup", `"backup"`,
		"state", `"state"`, "server_id", `"server_id"`, "priority", `"priority"`).Replace(table)
	both := []Endpoint{one, two}
	for name, c := range map[string]struct {
		text string
		want []Endpoint
	}{
		"TOML":                 {"endpoints = [\"10.0.0.1:80\", { " + table + " }]", both},
		"TOML tables":          {"[[endpoints]]\naddress = \"10.0.0.1:80\"\n[[endpoints]]\n" + strings.ReplaceAll(table, ", ", "\n"), both},
		"TOML spaced header":   {"\n [[ endpoints ]]\naddress = \"10.0.0.1:80\"", []Endpoint{one}},
		"TOML quoted header":   {"[[\"endpoints\"]]\naddress = \"10.0.0.1:80\"", []Endpoint{one}},
		"TOML literal header":  {"[['endpoints' ]]\naddress = \"10.0.0.1:80\"", []Endpoint{one}},
		"TOML quoted key":      {"\"endpoints\" = []", nil},
		"TOML behind comments": {"# { [\n\nendpoints = []", nil},
		"TOML with a mark":     {"\ufeffendpoints = []", nil},
		"JSON list":            {"\n\t[\"10.0.0.1:80\", {" + object + "}]\n", both},
		"JSON object":          {"{ \"endpoints\": [\"10.0.0.1:80\", {" + object + "}] }", both},
		"JSON with a mark":     {"\ufeff[ ]", nil},
		"JSON list of none":    {"[]", nil},
		"JSON object of none":  {`{"endpoints":[]}`, nil},
		"JSON of one":          {`["10.0.0.1:80"]`, []Endpoint{one}},
		"JSON of one table":    {`[ { "address" : "10.0.0.1:80" } ]`, []Endpoint{one}},
	} {
		got, err := ParseEndpoints(Source{Name: "f", Text: c.text})
		if err != nil || len(got) != len(c.want) || len(got) > 0 && !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: got\n%+v, %v, want\n%+v", name, got, err, c.want)
		}
	}
}

// What a cluster makes of endpoints is what a file makes of them.
func TestEndpointsOfAClusterAndAFile(t *testing.T) {
	const text = `endpoints = ["10.0.0.1:80", { address = "10.0.0.2:80", weight = 0, priority = 65535 }]`
	got, err := ParseEndpoints(Source{Name: "f", Text: text})
	if want := parse(t, "[clusters.c]\n"+text).Clusters[0].Endpoints; err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%+v, %v, want\n%+v", got, err, want)
	}
}

// Every file in testdata/endpoints is at fault; what is said of it stands beside.
func TestParseEndpointsGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/endpoints/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no files", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all, err := ParseEndpoints(Source{Name: "web.json", Text: string(text)})
		if _, ok := err.(Errors); !ok || all != nil {
			t.Errorf("%s: got %v, %v; want Errors", file, all, err)
			continue
		}
		golden(t, strings.TrimSuffix(file, ".txt")+".golden", err.Error()+"\n")
	}
}

func TestEndpointFilesAreBounded(t *testing.T) {
	of := func(n int) string {
		var b strings.Builder
		for i := range n {
			b.WriteString(",\"" + netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 80).String() + "\"\n")
		}
		return "[" + strings.TrimPrefix(b.String(), ",") + "]"
	}
	if all, err := ParseEndpoints(Source{Name: "f", Text: of(maxEndpoints)}); err != nil || len(all) != maxEndpoints {
		t.Errorf("the most: %d, %v", len(all), err)
	}
	for name, c := range map[string]struct{ text, want string }{
		"one more":  {of(maxEndpoints + 1), "f:1: 65537 endpoints are more than the 65536 that a file may hold"},
		"too large": {strings.Repeat(" ", MaxText+1), "f: the file is larger than 16 MiB"},
		"too deep":  {strings.Repeat("[", maxDepth+2) + strings.Repeat("]", maxDepth+2), "f:1: nested too deeply"},
		"very deep": {strings.Repeat(`{"a":`, 1_000_000), ""},
	} {
		if _, err := ParseEndpoints(Source{Name: "f", Text: c.text}); err == nil || c.want != "" && err.Error() != c.want {
			t.Errorf("%s: got %v, want %s", name, err, c.want)
		}
	}
}

func FuzzParseEndpoints(f *testing.F) {
	files, _ := filepath.Glob("testdata/endpoints/*.txt")
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	f.Add("endpoints = [\"10.0.0.1:80\", { address = \"10.0.0.2:80\", weight = 2 }]")
	f.Add("[[endpoints]]\naddress = \"10.0.0.1:80\"\n")
	f.Add("[\"10.0.0.1:80\", { \"address\": \"10.0.0.2:80\", \"state\": \"maint\" }]")
	f.Add("{ \"endpoints\": [{ \"address\": \"[::1]:80\", \"server_id\": \"0a\" }] }")
	f.Fuzz(func(t *testing.T, text string) {
		all, err := ParseEndpoints(Source{Name: "f", Text: text})
		if err == nil {
			seen := make(map[netip.AddrPort]bool)
			for _, e := range all {
				if !e.Address.IsValid() || e.Address.Port() == 0 || seen[e.Address] || e.State == "" || e.Weight > maxWeight || e.Priority > maxPriority {
					t.Fatalf("not valid: %+v", all)
				}
				seen[e.Address] = true
			}
			return
		}
		errs, ok := err.(Errors)
		if all != nil || !ok || len(errs) == 0 || len(errs) > MaxErrors+1 {
			t.Fatalf("got %v, %#v", all, err)
		}
		for i, e := range errs {
			if e.Source == "" && i == MaxErrors {
				continue
			}
			if e.Source != "f" || e.Line < 1 || e.Line > 1+strings.Count(text, "\n") || e.Message == "" || strings.ContainsAny(e.Error(), "\n\r") {
				t.Fatalf("an error outside of the text, or of more than one line: %#v", e)
			}
		}
	})
}
