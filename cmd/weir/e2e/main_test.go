package e2e

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

var (
	raceFlag   []string // what go build needs to build weir as the tests are built
	weirBinary string
	weirFrom   []string // directories of its sources
)

func TestMain(m *testing.M) {
	if what := os.Getenv(beBackend); what != "" {
		os.Exit(runBackend(what))
	}
	os.Exit(withWeir(m))
}

// withWeir runs the tests with weir built.
func withWeir(m *testing.M) int {
	dir, err := os.MkdirTemp("", "weir-e2e")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	weirBinary = filepath.Join(dir, "weir")
	build := exec.Command("go", append(append([]string{"build", "-buildvcs=false"}, raceFlag...), "-o", weirBinary, "weir/cmd/weir")...)
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n%s", build, err, out)
		return 1
	}
	list := exec.Command("go", "list", "-deps", "-f", "{{with .Module}}{{if .Main}}{{$.Dir}}{{end}}{{end}}", "weir/cmd/weir")
	out, err := list.Output()
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", list, err)
		return 1
	}
	weirFrom = strings.Split(strings.TrimSpace(string(out)), "\n")
	return m.Run()
}

// lookAtSources looks at the files that weir is built from. go test keeps a result until a file changes that a test has looked at; the
// program that a test runs is beyond its sight.
func lookAtSources(t *testing.T) {
	t.Helper()
	for _, dir := range weirFrom {
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if e.IsDir() || strings.HasSuffix(e.Name(), "_test.go") {
				continue
			}
			if _, err := os.Stat(filepath.Join(dir, e.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
				t.Fatal(err)
			}
		}
	}
}

// missing ends a test for want of something on this machine.
func missing(t *testing.T, format string, args ...any) {
	t.Helper()
	if os.Getenv("WEIR_TEST_REAL") == "1" {
		t.Fatalf("WEIR_TEST_REAL=1, but "+format, args...)
	}
	t.Skipf(format, args...)
}

// need returns the path of a program: from PATH, or else from a directory that matches one of the patterns.
func need(t *testing.T, name string, patterns ...string) string {
	t.Helper()
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	for _, pattern := range append(patterns, "/usr/sbin") {
		found, err := filepath.Glob(filepath.Join(pattern, name))
		if err == nil && len(found) > 0 {
			return found[len(found)-1] // of several versions the last one
		}
	}
	missing(t, "%s is not installed", name)
	return ""
}
