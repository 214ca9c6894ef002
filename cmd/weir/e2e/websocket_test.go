package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// python returns an interpreter that has the module websockets. The one in PATH may be another than the system's.
func python(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"python3", "/usr/bin/python3"} {
		if exec.Command(name, "-c", "import websockets").Run() == nil {
			return name
		}
	}
	missing(t, "there is no python3 with the module websockets")
	return ""
}

// Messages up to 1 MiB, text and binary, come back as they were; pings of either side are answered; close codes of either side arrive.
func TestWebSocket(t *testing.T) {
	interpreter := python(t)
	script, err := filepath.Abs("testdata/websocket.py")
	if err != nil {
		t.Fatal(err)
	}
	server := launch(t, command(t, interpreter, script, "serve"), syscall.SIGTERM)
	var port string
	eventually(t, "the server says its port", func() bool {
		if found := regexp.MustCompile(`port (\d+)\n`).FindStringSubmatch(server.out.String()); found != nil {
			port = found[1]
		}
		return port != "" || !server.running()
	})
	if port == "" {
		t.Fatal("the server does not start")
	}
	w := weir(t, simple("127.0.0.1:"+port))
	client := launch(t, command(t, interpreter, script, "talk", w.at()), os.Kill)
	client.succeeds()
	for _, want := range []string{"closed 4321 as you like\n", "closed 4000 enough\n"} {
		eventually(t, "the server says "+want, func() bool { return strings.Contains(server.out.String(), want) })
	}
	if l := w.settled("upstream_closed"); l.Connections.Total != 2 {
		t.Errorf("weir counts %d sessions", l.Connections.Total)
	}
}
