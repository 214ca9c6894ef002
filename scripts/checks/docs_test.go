package checks

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"weir/config"
)

var update = flag.Bool("update", false, "write the generated documents anew")

// The reference of every key is what the code reads.
func TestConfigurationReference(t *testing.T) {
	var want bytes.Buffer
	if err := config.WriteReference(&want); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(root, "docs/reference/configuration.md")
	if *update {
		if err := os.WriteFile(file, want.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if read(t, file) != want.String() {
		t.Errorf("%s is not what config.WriteReference gives; run this test with -update", file)
	}
}

// Every example is a configuration that weir takes.
func TestExamples(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(root, "examples/*.toml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("examples: %v, %v", files, err)
	}
	for _, file := range files {
		s, err := config.Load(file)
		if err != nil {
			t.Errorf("%v", err)
			continue
		}
		if len(s.Listeners) == 0 || len(s.Clusters) == 0 {
			t.Errorf("%s configures nothing", file)
		}
	}
}

var tomlBlock = regexp.MustCompile("(?s)```toml\n(.*?)```")

// Every TOML block of the README and the guides is a configuration that weir takes.
func TestDocumentedConfigurations(t *testing.T) {
	guides, err := filepath.Glob(filepath.Join(root, "docs/guides/*.md"))
	if err != nil || len(guides) == 0 {
		t.Fatalf("guides: %v, %v", guides, err)
	}
	for _, file := range append(guides, filepath.Join(root, "README.md")) {
		blocks := tomlBlock.FindAllStringSubmatch(read(t, file), -1)
		if len(blocks) == 0 {
			t.Errorf("%s shows no configuration", file)
		}
		for _, b := range blocks {
			if _, err := config.Parse([]config.Source{{Name: filepath.Base(file), Text: b[1]}}); err != nil {
				t.Errorf("%v in\n%s", err, b[1])
			}
		}
	}
}

var link = regexp.MustCompile(`\]\(([^)#:]+)(#[^)]*)?\)`)

// Links between documents lead somewhere.
func TestLinks(t *testing.T) {
	docs, err := filepath.Glob(filepath.Join(root, "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	more, err := filepath.Glob(filepath.Join(root, "docs", "*", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	docs = append(docs, more...)
	for _, doc := range docs {
		for _, m := range link.FindAllStringSubmatch(read(t, doc), -1) {
			if _, err := os.Stat(filepath.Join(filepath.Dir(doc), m[1])); err != nil {
				t.Errorf("%s links to %s: %v", doc, m[1], err)
			}
		}
	}
	for _, must := range []string{"README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md"} {
		if !strings.Contains(strings.Join(docs, " "), must) {
			t.Errorf("%s is missing", must)
		}
	}
}
