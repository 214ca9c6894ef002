package e2e

import (
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// What curl's exit codes mean here.
const (
	curlGotNothing  = 52
	curlPartialFile = 18
	curlSendFailed  = 55
	curlRecvFailed  = 56
)

// A server that dies in the middle of a transfer must look to curl as if weir were not there.
func TestServerDies(t *testing.T) {
	need(t, "curl")
	root := t.TempDir()
	sparse(t, filepath.Join(root, "file"), 64<<20)

	t.Run("download", func(t *testing.T) {
		server, addr := nginxServer(t, root)
		w := weir(t, simple(addr))
		got := filepath.Join(t.TempDir(), "got")
		c := launch(t, curl(t, "-o", got, "http://"+w.at()+"/slow/file"), os.Kill)
		eventually(t, "some of it has come", func() bool { return sizeOf(got) > 1<<20 })
		server.signal(os.Kill)
		exits(t, c, curlPartialFile, curlRecvFailed)
		if n := sizeOf(got); n >= 64<<20 {
			t.Errorf("the server died too late: %d bytes had come", n)
		}
	})
	t.Run("upload", func(t *testing.T) {
		server, addr := nginxServer(t, t.TempDir())
		w := weir(t, simple(addr))
		c := launch(t, curl(t, "--limit-rate", "16M", "-T", filepath.Join(root, "file"), "http://"+w.at()+"/in/file"), os.Kill)
		eventually(t, "some of it has gone", func() bool { return w.stats().Listeners[0].Bytes.ToUpstream.total() > 1<<20 })
		server.signal(os.Kill)
		exits(t, c, curlGotNothing, curlSendFailed, curlRecvFailed)
	})
	// Without Content-Length the end of the connection is all that tells the end of the file: a reset must stay one.
	t.Run("reset", func(t *testing.T) {
		addr, abort := endless(t)
		w := weir(t, simple(addr))
		got := filepath.Join(t.TempDir(), "got")
		c := launch(t, curl(t, "-o", got, "http://"+w.at()+"/"), os.Kill)
		eventually(t, "some of it has come", func() bool { return sizeOf(got) > 1<<20 })
		abort()
		exits(t, c, curlRecvFailed)
		if l := w.settled("upstream_reset"); l.Closed["upstream_reset"] != 1 {
			t.Errorf("weir counts %v", l.Closed)
		}
	})
}

func sizeOf(name string) int64 {
	info, err := os.Stat(name)
	if err != nil {
		return 0
	}
	return info.Size()
}

func exits(t *testing.T, p *program, codes ...int) {
	t.Helper()
	got := p.code()
	t.Logf("exit code %d: %s", got, &p.out)
	if !slices.Contains(codes, got) {
		t.Errorf("exit code %d, want one of %v", got, codes)
	}
}

// endless serves one HTTP answer without length or end, until abort resets the connection.
func endless(t *testing.T) (addr string, abort func()) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	stop, done := make(chan struct{}), make(chan struct{})
	abort = func() { close(stop) }
	t.Cleanup(func() {
		_ = ln.Close()
		<-done
	})
	go func() {
		defer close(done)
		c, err := ln.Accept()
		if err != nil {
			return
		}
		defer func() { _ = c.Close() }()
		_, err = io.WriteString(c, "HTTP/1.0 200 OK\r\nContent-Type: application/octet-stream\r\n\r\n")
		for chunk := make([]byte, 64<<10); err == nil; _, err = c.Write(chunk) {
			select {
			case <-stop:
				_ = c.(*net.TCPConn).SetLinger(0)
				return
			default:
			}
		}
	}()
	return ln.Addr().String(), abort
}
