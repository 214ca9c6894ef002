package e2e

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// curl is a curl that says nothing but errors, and takes an answer of 400 or more for one.
func curl(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	return command(t, need(t, "curl"), append([]string{"-sS", "--fail"}, args...)...)
}

// sparse makes a file with a page of random bytes in every 64 KiB, which takes a sixteenth of its size on the disk. Bytes that are lost, come twice or
// in another order give another hash.
func sparse(t *testing.T, name string, size int64) {
	t.Helper()
	const every, page = 64 << 10, 4 << 10
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	pages := random(5, int(size/every)*page)
	for at := int64(0); len(pages) > 0; at, pages = at+every, pages[page:] {
		if _, err := f.WriteAt(pages[:page], at+at/every*512%(every-page)); err != nil {
			t.Fatal(err)
		}
	}
}

func hashOf(t *testing.T, name string) string {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// fetchHash is curl | sha256sum.
func fetchHash(t *testing.T, args ...string) string {
	t.Helper()
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	sum := command(t, need(t, "sha256sum"))
	sum.Stdin = read
	get := curl(t, args...)
	get.Stdout = write
	s, c := launch(t, sum, os.Kill), launch(t, get, os.Kill)
	_, _ = read.Close(), write.Close() // they have theirs
	c.succeeds()
	hash, _, _ := strings.Cut(s.succeeds(), " ")
	return hash
}

func TestCurl(t *testing.T) {
	need(t, "curl")
	need(t, "sha256sum")
	root := t.TempDir()
	_, addr := nginxServer(t, root)

	t.Run("download of 1 GiB", func(t *testing.T) {
		const size = 1 << 30
		file := filepath.Join(root, "large")
		sparse(t, file, size)
		defer func() { _ = os.Remove(file) }()
		w := weir(t, simple(addr))
		if got, want := fetchHash(t, "http://"+w.at()+"/large"), hashOf(t, file); got != want {
			t.Errorf("hash %s, want %s", got, want)
		}
		mostlySpliced(t, w.settled("downstream_closed").Bytes.ToDownstream, size)
	})
	t.Run("slow reader", func(t *testing.T) {
		file := filepath.Join(root, "small")
		sparse(t, file, 12<<20)
		w := weir(t, simple(addr))
		if got, want := fetchHash(t, "--limit-rate", "8M", "http://"+w.at()+"/small"), hashOf(t, file); got != want {
			t.Errorf("hash %s, want %s", got, want)
		}
		w.settled("downstream_closed")
	})
	t.Run("upload of 100 MiB", func(t *testing.T) {
		const size = 100 << 20
		file := filepath.Join(t.TempDir(), "upload")
		sparse(t, file, size)
		w := weir(t, simple(addr))
		run(t, curl(t, "-T", file, "http://"+w.at()+"/in/upload"))
		if got, want := hashOf(t, filepath.Join(root, "in", "upload")), hashOf(t, file); got != want {
			t.Errorf("hash %s, want %s", got, want)
		}
		mostlySpliced(t, w.settled("downstream_closed").Bytes.ToUpstream, size)
	})
}

// mostlySpliced wants at least size bytes, nine tenths of them moved by the kernel.
func mostlySpliced(t *testing.T, f flow, size int) {
	t.Helper()
	t.Logf("%d bytes spliced, %d copied", f.Spliced, f.Copied)
	if f.total() < size || f.Spliced < size/10*9 {
		t.Errorf("%d bytes spliced and %d copied of %d", f.Spliced, f.Copied, size)
	}
}
