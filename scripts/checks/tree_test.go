package checks

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const root = "../.."

// pkg is what `go list -json` says of a package.
type pkg struct {
	ImportPath string
	Dir        string
	Doc        string
	GoFiles    []string
	Imports    []string
	Deps       []string
}

func packages(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Dir,Doc,GoFiles,Imports,Deps", "./...")
	cmd.Dir = root
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var all []pkg
	dec := json.NewDecoder(strings.NewReader(string(out)))
	for {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	if len(all) < 8 {
		t.Fatalf("go list found only %d packages", len(all))
	}
	return all
}

// layer returns the room that a package of ours is in: its first path element.
func layer(importPath string) string {
	rest, ok := strings.CutPrefix(importPath, "weir/")
	if !ok {
		return ""
	}
	first, _, _ := strings.Cut(rest, "/")
	return first
}

// mayDependOn says which other rooms a room may depend on, directly or not; see ARCHITECTURE.md, "Layers".
var mayDependOn = map[string][]string{
	"eventloop": {},
	"lb":        {},
	"config":    {},
	"l4":        {"eventloop", "lb"},
	"l7":        {"l4", "eventloop", "lb"},
	"cmd":       {"l7", "l4", "eventloop", "lb", "config"},
	"bench":     {},
	"scripts":   {"config"},
}

func TestLayers(t *testing.T) {
	for _, p := range packages(t) {
		room := layer(p.ImportPath)
		allowed, known := mayDependOn[room]
		if !known {
			t.Errorf("%s is in no known layer", p.ImportPath)
			continue
		}
		for _, dep := range p.Deps {
			if to := layer(dep); to != "" && to != room && !slices.Contains(allowed, to) {
				t.Errorf("%s depends on %s: %s may not use %s", p.ImportPath, dep, room, to)
			}
		}
	}
}

// The pure packages reach nothing but their arguments.
func TestPure(t *testing.T) {
	forbidden := map[string][]string{
		"weir/lb":         {"net", "os", "syscall", "math/rand", "math/rand/v2", "golang.org/x/sys/unix"},
		"weir/config":     {"net", "syscall", "math/rand", "math/rand/v2", "golang.org/x/sys/unix"},
		"weir/l4/access":  {"net", "os", "syscall", "math/rand", "math/rand/v2", "golang.org/x/sys/unix"},
		"weir/l4/flow":    {"net", "os", "syscall", "math/rand", "math/rand/v2", "golang.org/x/sys/unix"},
		"weir/l4/quic":    {"net", "os", "syscall", "math/rand", "math/rand/v2", "golang.org/x/sys/unix"},
		"weir/lb/health":  {"net", "os", "syscall", "math/rand", "math/rand/v2", "golang.org/x/sys/unix"},
		"weir/lb/outlier": {"net", "os", "syscall", "math/rand", "math/rand/v2", "golang.org/x/sys/unix"},
	}
	seen := 0
	for _, p := range packages(t) {
		for _, bad := range forbidden[p.ImportPath] {
			seen++
			if slices.Contains(p.Imports, bad) {
				t.Errorf("%s imports %s", p.ImportPath, bad)
			}
		}
	}
	if seen == 0 {
		t.Error("the pure packages were not found")
	}
	// Goroutines and the wall clock don't show in imports.
	for _, dir := range []string{"lb", "l4/access", "l4/flow", "l4/quic"} {
		for _, file := range goFiles(t, filepath.Join(root, dir)) {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			text := read(t, file)
			for _, bad := range []string{"time.Now(", "time.Since(", "\tgo func", "make(chan"} {
				if strings.Contains(text, bad) {
					t.Errorf("%s contains %q", file, bad)
				}
			}
		}
	}
}

func TestEveryPackageHasADoc(t *testing.T) {
	for _, p := range packages(t) {
		if len(p.GoFiles) > 0 && !slices.Contains(p.GoFiles, "doc.go") {
			t.Errorf("%s has no doc.go", p.ImportPath)
		}
		if len(p.GoFiles) > 0 && len(p.Doc) < 40 {
			t.Errorf("%s says of itself only %q", p.ImportPath, p.Doc)
		}
	}
}

// Files have one reason to change; past 600 lines they have more.
func TestFilesStayReadable(t *testing.T) {
	for _, file := range goFiles(t, root) {
		f, err := os.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		lines := 0
		scan := bufio.NewScanner(f)
		scan.Buffer(nil, 1<<20)
		for scan.Scan() {
			lines++
		}
		_ = f.Close()
		if lines > 600 {
			t.Errorf("%s has %d lines", file, lines)
		}
		name := strings.TrimSuffix(filepath.Base(file), ".go")
		if slices.Contains([]string{"util", "utils", "common", "helper", "helpers", "types", "misc"}, name) {
			t.Errorf("%s: a name that says nothing", file)
		}
	}
}

// Tests wait for conditions, not for time.
func TestNoSleepsInTests(t *testing.T) {
	call := "time." + "Sleep("
	for _, file := range goFiles(t, root) {
		if strings.HasSuffix(file, "_test.go") && strings.Contains(read(t, file), call) {
			t.Errorf("%s sleeps", file)
		}
	}
}

func goFiles(t *testing.T, dir string) (files []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == ".git" || d.Name() == "testdata") {
			return fs.SkipDir
		}
		if strings.HasSuffix(path, ".go") {
			files = append(files, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 {
		t.Fatalf("no Go files under %s", dir)
	}
	return files
}

func read(t *testing.T, file string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
