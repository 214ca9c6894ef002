package e2e

import (
	"fmt"
	"path/filepath"
	"regexp"
	"testing"
)

func TestKeepAlive(t *testing.T) {
	path := need(t, "ab")
	root := t.TempDir()
	sparse(t, filepath.Join(root, "file"), 64<<10)
	_, addr := nginxServer(t, root)
	w := weir(t, simple(addr))
	const requests, clients = 10_000, 50
	said := run(t, command(t, path, "-q", "-k", "-c", fmt.Sprint(clients), "-n", fmt.Sprint(requests), "http://"+w.at()+"/file"))
	for _, want := range []string{
		fmt.Sprintf(`Complete requests: +%d\n`, requests), `Failed requests: +0\n`, fmt.Sprintf(`Keep-Alive requests: +%d\n`, requests),
	} {
		if !regexp.MustCompile(want).MatchString(said) {
			t.Errorf("ab: no %q in:\n%s", want, said)
		}
	}
	l := w.settled("downstream_closed", "downstream_reset")
	if l.Connections.Total < clients || l.Connections.Total > 2*clients {
		t.Errorf("weir counts %d sessions", l.Connections.Total)
	}
	if l.Bytes.ToDownstream.total() < requests*64<<10 {
		t.Errorf("weir counts %+v", l.Bytes)
	}
}
