package config

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files")

// golden compares got with a file, or writes it.
func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs; got\n%s", file, got)
	}
}

// Every document in testdata/errors is at fault; what is said of it stands beside.
func TestErrorsGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/errors/*.toml")
	if err != nil || len(files) == 0 {
		t.Fatal("no documents", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".toml"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			s, err := Parse([]Source{{Name: "weir.toml", Text: string(text)}})
			var all Errors
			if s != nil || !errors.As(err, &all) {
				t.Fatalf("Parse gave %v, %v; want Errors", s, err)
			}
			golden(t, strings.TrimSuffix(file, ".toml")+".golden", all.Error()+"\n")
		})
	}
}

// Errors come in the order of the sources, and a source that is not TOML keeps
// the others' errors from being hidden, but makes nothing missing.
func TestErrorsOfManySources(t *testing.T) {
	_, err := Parse([]Source{
		{Name: "a.toml", Text: "[process]\nlops = 1\n[listeners.web]\ncluster = \"web\"\n[clusters.web]\npolicy = \"fisrt\"\n"},
		{Name: "--config-toml #1", Kind: TOML, Text: "[clusters.web]\nendpoints = [\"127.0.0.1:1\"\n"},
		{Name: "--set #1", Kind: Set, Text: "process.pin=maybe"},
		{Name: "--set #2", Kind: Set, Text: "process"},
	})
	golden(t, "testdata/errors/many_sources.golden", err.Error()+"\n")
}

// An error stands where the value came from, whatever source its table began in.
func TestErrorNamesTheSourceOfTheValue(t *testing.T) {
	base := Source{Name: "weir.toml", Text: valid}
	for _, c := range []struct {
		source Source
		want   string
	}{
		{Source{"--set #1", "listeners.web.cluster=wbe", Set}, `--set #1: listeners.web.cluster: there is no cluster "wbe", did you mean "web"?`},
		{Source{"--config-toml #1", "\n[clusters.web]\nconnect_attempts = 17", TOML}, `--config-toml #1:3: clusters.web.connect_attempts: want a whole number of 0 to 16, got the integer 17`},
		{Source{"--set #1", "admin.listen=127.0.0.1:8080", Set}, `--set #1: admin.listen: 127.0.0.1:8080 is bound by listeners.web.bind already (weir.toml:3)`},
	} {
		_, err := Parse([]Source{base, c.source})
		if err == nil || err.Error() != c.want {
			t.Errorf("with %q: got\n%v, want\n%s", c.source.Text, err, c.want)
		}
	}
}

func TestErrorsAreBounded(t *testing.T) {
	var b strings.Builder
	b.WriteString("[process]\n")
	const faults = 3 * maxHeld
	for i := range faults {
		fmt.Fprintf(&b, "k%d = 1\n", i)
	}
	_, err := Parse([]Source{{Name: "f", Text: b.String()}})
	all, ok := err.(Errors)
	if !ok || len(all) != MaxErrors+1 {
		t.Fatalf("got %d errors, want %d", len(all), MaxErrors+1)
	}
	for i, e := range all[:MaxErrors] {
		if e.Line != i+2 {
			t.Fatalf("error %d is of line %d, want the first lines in order", i, e.Line)
		}
	}
	if got, want := all[MaxErrors].Error(), fmt.Sprintf("and %d more", faults-MaxErrors); got != want {
		t.Errorf("the last says %q, want %q", got, want)
	}
}

func TestTextIsBounded(t *testing.T) {
	half := strings.Repeat("#", MaxText/2+1)
	if _, err := Parse([]Source{{Name: "a", Text: half}}); err != nil {
		t.Errorf("half of the most: %v", err)
	}
	_, err := Parse([]Source{{Name: "a", Text: half}, {Name: "b", Text: half}})
	if err == nil || !strings.HasPrefix(err.Error(), "b: the configuration is larger than") {
		t.Errorf("more than the most: %v", err)
	}
}

// What an error repeats of a text is cut, so that every error is a line to read.
func TestErrorsAreShort(t *testing.T) {
	long := strings.Repeat("é", 100_000)
	for _, text := range []string{
		`"` + long + `" = 1`,
		`process.log_level = "` + long + `"`,
		`listeners.web.cluster = "` + long + `"`,
		"[\"" + long + "\"]\n[\"" + long + "\"]",
		"[[listeners.web.routes]]\nsplit = { \"" + long + "\" = 1 }",
	} {
		_, err := Parse([]Source{{Name: "f", Text: text}})
		for line := range strings.SplitSeq(err.Error(), "\n") {
			if len(line) > 1000 {
				t.Errorf("%.40s: an error of %d bytes", text, len(line))
			}
		}
	}
}

func TestErrorsUnwrap(t *testing.T) {
	_, err := Parse([]Source{{Name: "f", Text: "a = 1\nb = 2"}})
	var e Error
	if !errors.As(fmt.Errorf("check: %w", err), &e) || e.Line != 1 || e.Key != "a" {
		t.Errorf("got %+v, want the first error", e)
	}
}

func TestLoad(t *testing.T) {
	file := filepath.Join(t.TempDir(), "weir.toml")
	if _, err := Load(file); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), file) {
		t.Errorf("without the file: %v", err)
	}
	if err := os.WriteFile(file, []byte(valid), 0o644); err != nil {
		t.Fatal(err)
	}
	s, err := Load(file, Source{Name: "--set #1", Kind: Set, Text: "process.loops=3"})
	if err != nil || s.Process.Loops != 3 || s.Listener("web") == nil {
		t.Errorf("got %+v, %v", s, err)
	}
	if _, err := Load("", Source{Name: "--set #1", Kind: Set, Text: "process.loops=x"}); err == nil {
		t.Error("overrides alone are not checked")
	}
}
