package admin

import (
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"testing"
)

func TestUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "weir.sock")
	s, err := Serve(Options{Listen: "unix:" + path, View: running})
	if err != nil {
		t.Fatal(err)
	}
	if s.Addr() != "unix:"+path {
		t.Errorf("Addr %s", s.Addr())
	}
	info, err := os.Lstat(path)
	if err != nil || info.Mode() != fs.ModeSocket|0o660 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if got := ask(t, s, "GET", "/stats", "Host", "any.example"); got.status != 200 {
		t.Errorf("%d %q", got.status, got.body)
	}
	closeServer(t, s)
	if _, err := os.Lstat(path); err == nil {
		t.Error("the socket's file is left")
	}
}

// TestStaleSocket takes the place of a socket that a process left behind.
func TestStaleSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "weir.sock")
	dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	dead.SetUnlinkOnClose(false)
	dead.Close()
	s := serve(t, Options{Listen: "unix:" + path})
	if got := ask(t, s, "GET", "/live"); got.status != 200 {
		t.Errorf("%d", got.status)
	}
}

// TestSocketOfAnother leaves a file alone that has taken the place of the server's own.
func TestSocketOfAnother(t *testing.T) {
	path := filepath.Join(t.TempDir(), "weir.sock")
	s, err := Serve(Options{Listen: "unix:" + path})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path, path+".old"); err != nil {
		t.Fatal(err)
	}
	other := serve(t, Options{Listen: "unix:" + path})
	closeServer(t, s)
	if got := ask(t, other, "GET", "/live"); got.status != 200 {
		t.Errorf("the other server answers %d", got.status)
	}
}
