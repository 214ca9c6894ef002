package e2e

import (
	"encoding/csv"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// sippServer takes calls.
func sippServer(t *testing.T) string {
	t.Helper()
	path := need(t, "sipp")
	_, addr := serveUDP(t, syscall.SIGTERM, func(host, port string) *exec.Cmd {
		return command(t, path, "-sn", "uas", "-i", host, "-p", port, "-nostdin")
	})
	return addr
}

// Calls succeed, all of them on one socket and each on its own, and no message has to be sent again.
func TestSIP(t *testing.T) {
	path := need(t, "sipp")
	servers := []string{sippServer(t), sippServer(t)}
	const calls, rate = 500, 250
	for _, c := range []struct {
		name, transport string
	}{
		{"one socket", "u1"},
		{"a socket for each call", "un"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := weir(t, datagrams("", servers...))
			file := filepath.Join(t.TempDir(), "calls.csv")
			run(t, command(t, path, "-sn", "uac", "-t", c.transport, "-i", "127.0.0.1", "-m", fmt.Sprint(calls), "-r", fmt.Sprint(rate), "-l", "100",
				"-max_socket", "1000", "-nostdin", "-trace_stat", "-stf", file, "-fd", "1h", w.at()))
			got := lastRow(t, file)
			t.Logf("%s calls a second, %s succeeded, %s failed, %s retransmissions",
				got["CallRate(C)"], got["SuccessfulCall(C)"], got["FailedCall(C)"], got["Retransmissions(C)"])
			if got["SuccessfulCall(C)"] != fmt.Sprint(calls) || got["FailedCall(C)"] != "0" {
				t.Errorf("of %d calls %s succeeded and %s failed", calls, got["SuccessfulCall(C)"], got["FailedCall(C)"])
			}
			if got["Retransmissions(C)"] != "0" {
				t.Errorf("%s messages were sent again", got["Retransmissions(C)"])
			}
			l := w.lossless()
			if c.transport == "un" {
				w.spread()
			} else if l.Connections.Total != 1 {
				t.Errorf("%d flows of one socket", l.Connections.Total)
			}
		})
	}
}

// lastRow reads a table, and returns its last row by the names of the columns.
func lastRow(t *testing.T, file string) map[string]string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	table := csv.NewReader(strings.NewReader(string(text)))
	table.Comma, table.FieldsPerRecord = ';', -1
	rows, err := table.ReadAll()
	if err != nil || len(rows) < 2 {
		t.Fatalf("%s: %v\n%s", file, err, text)
	}
	row := map[string]string{}
	for i, value := range rows[len(rows)-1] {
		if i < len(rows[0]) {
			row[rows[0][i]] = value
		}
	}
	return row
}
