package resolve

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"weir/config"
)

func TestFile(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "web.toml")
	r := start(t)
	r.set(config.Discover{File: file})
	r.fails("c", "no such file", 3)
	if _, ok := r.Known("c"); ok {
		t.Error("known")
	}
	write(t, file, `endpoints = ["10.0.0.2:80", { address = "10.0.0.1:80", weight = 7, priority = 1 }, { address = "10.0.0.3:80", state = "drain" }]`)
	r.finds("c", "10.0.0.2:80", "10.0.0.1:80*7@1", "10.0.0.3:80drain")
	r.works("c")
	if n := r.log.count("discovery fails"); n != 1 {
		t.Errorf("%d lines of the same failure", n)
	}
	// What isn't changed is not read.
	read, _ := r.Status("c")
	r.status("c", "looks on", func(s Status) bool { return s.Next.After(read.Next.Add(50 * time.Millisecond)) })
	if now, _ := r.Status("c"); now.Queries != read.Queries {
		t.Errorf("read %d times more", now.Queries-read.Queries)
	}
	// Errors and a file that is gone leave what there was.
	write(t, file, `endpoints = ["nonsense"]`)
	r.fails("c", "nonsense", 1)
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	r.fails("c", "no such file", 1)
	if err := os.Mkdir(file, 0o700); err != nil {
		t.Fatal(err)
	}
	r.fails("c", "not a regular file", 1)
	if st, _ := r.Status("c"); st.Endpoints != 3 {
		t.Errorf("%d endpoints", st.Endpoints)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	// Written in place.
	if err := os.WriteFile(file, []byte(`endpoints = ["10.0.0.4:80"]`), 0o600); err != nil {
		t.Fatal(err)
	}
	r.finds("c", "10.0.0.4:80")
	r.works("c")
	// None, when it says so.
	write(t, file, `endpoints = []`)
	r.finds("c")
	if got, ok := r.Known("c"); !ok || len(got) != 0 {
		t.Errorf("known: %v %v", got, ok)
	}
}

// A ConfigMap is changed by a symbolic link to a directory that leads elsewhere.
func TestSymlinkSwap(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"a": `endpoints = ["10.0.0.1:80"]`, "b": `endpoints = ["10.0.0.2:80"]`} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, name, "web.toml"), text)
	}
	link := func(to string) {
		if err := os.Symlink(to, filepath.Join(dir, ".data")); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(dir, ".data"), filepath.Join(dir, "data")); err != nil {
			t.Fatal(err)
		}
	}
	link("a")
	if err := os.Symlink("data/web.toml", filepath.Join(dir, "web.toml")); err != nil {
		t.Fatal(err)
	}
	r := start(t)
	r.set(config.Discover{File: filepath.Join(dir, "web.toml")})
	r.finds("c", "10.0.0.1:80")
	link("b")
	r.finds("c", "10.0.0.2:80")
	link("a")
	r.finds("c", "10.0.0.1:80")
}

// A file is read when it has been the same in two looks, and at the latest after some that found another one each.
func TestSettles(t *testing.T) {
	file := filepath.Join(t.TempDir(), "web.toml")
	w, d := new(watched), &config.Discover{File: file}
	look := func(want string) {
		t.Helper()
		o, looked := w.look(t.Context(), d)
		got := "nothing"
		switch {
		case o.err != nil:
			got = "error"
		case looked:
			got = said(o.endpoints)[0]
		}
		if got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	write(t, file, `endpoints = ["10.0.0.1:80"]`)
	look("10.0.0.1:80") // at once
	look("10.0.0.1:80") // once more when it has settled
	look("nothing")
	write(t, file, `endpoints = ["10.0.0.2:80"]`)
	look("nothing")
	write(t, file, `endpoints = ["10.0.0.3:80"]`)
	look("nothing")
	look("10.0.0.3:80")
	look("nothing")
	for range maxUnsettled - 1 {
		write(t, file, `endpoints = ["10.0.0.4:80"]`)
		look("nothing")
	}
	write(t, file, `endpoints = ["10.0.0.5:80"]`)
	look("10.0.0.5:80")
	look("10.0.0.5:80")
	look("nothing")
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	look("error")
	look("error")
	write(t, file, `endpoints = ["10.0.0.5:80"]`)
	look("nothing")
	look("10.0.0.5:80")
}

func TestReadRegular(t *testing.T) {
	file := filepath.Join(t.TempDir(), "f")
	write(t, file, "12345")
	if text, err := readRegular(file, 5); string(text) != "12345" || err != nil {
		t.Errorf("%q, %v", text, err)
	}
	if _, err := readRegular(file, 4); err == nil {
		t.Error("too large, and read")
	}
}
