package e2e

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"syscall"
	"testing"
)

// rsyslogServer writes what comes into a file, a line for each message.
func rsyslogServer(t *testing.T) (addr, file string) {
	t.Helper()
	path := need(t, "rsyslogd")
	dir := t.TempDir()
	conf, file := filepath.Join(dir, "rsyslog.conf"), filepath.Join(dir, "messages")
	_, addr = serveUDP(t, syscall.SIGTERM, func(host, port string) *exec.Cmd {
		text := fmt.Sprintf(`
global(workDirectory=%[1]q net.enableDNS="off")
module(load="imudp")
template(name="line" type="string" string="%%rawmsg%%\n")
input(type="imudp" address=%[2]q port=%[3]q rcvbufSize="1m")
action(type="omfile" file=%[4]q template="line")
`, dir, host, port, file)
		writeFile(t, conf, text)
		return command(t, path, "-n", "-f", conf, "-i", filepath.Join(dir, "pid"))
	})
	return addr, file
}

var logged = regexp.MustCompile(`(?m)^<\d+>1 \S+ \S+ weir - - .*\bmessage (\d+)$`)

// Every line that logger sends arrives, at one of two receivers. Each line is balanced by itself, though all come from one socket.
func TestSyslog(t *testing.T) {
	path := need(t, "logger")
	var servers, files []string
	for range 2 {
		addr, file := rsyslogServer(t)
		servers, files = append(servers, addr), append(files, file)
	}
	w := weir(t, datagrams("udp = { per_packet = true }", servers...))
	host, port := split(t, w.at())
	in, lines, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = lines.Close() }()
	cmd := command(t, path, "--rfc5424", "--udp", "--server", host, "--port", port, "--tag", "weir")
	cmd.Stdin = in
	logger := launch(t, cmd, os.Kill)
	_ = in.Close() // logger has its own

	const all, batch = 3000, 100 // nobody loses a batch because it comes too fast
	for sent := 0; sent < all; sent += batch {
		var b bytes.Buffer
		for i := range batch {
			fmt.Fprintf(&b, "message %d\n", sent+i)
		}
		if _, err := io.Copy(lines, &b); err != nil {
			t.Fatal(err)
		}
		eventually(t, fmt.Sprintf("%d lines arrive", sent+batch), func() bool {
			come := 0
			for _, file := range files {
				come += bytes.Count(contents(t, file), []byte("\n"))
			}
			return come >= sent+batch
		})
	}
	_ = lines.Close()
	logger.succeeds()
	came := [2][]int{messages(t, files[0]), messages(t, files[1])}
	union := slices.Concat(came[0], came[1])
	slices.Sort(union)
	for i, n := range union {
		if i != n {
			t.Fatalf("line %d instead of %d", n, i)
		}
	}
	if len(union) != all {
		t.Fatalf("%d lines, want %d", len(union), all)
	}
	if a, b := len(came[0]), len(came[1]); a < all/3 || b < all/3 {
		t.Errorf("%d lines came to one and %d to the other", a, b)
	}
	l := w.lossless()
	t.Logf("%d lines, of which %d came to one and %d to the other; %+v", len(union), len(came[0]), len(came[1]), l.Datagrams)
}

// messages are the numbers of the lines in a receiver's file.
func messages(t *testing.T, file string) (numbers []int) {
	t.Helper()
	for _, m := range logged.FindAllSubmatch(contents(t, file), -1) {
		n, err := strconv.Atoi(string(m[1]))
		if err != nil {
			t.Fatal(err)
		}
		numbers = append(numbers, n)
	}
	return numbers
}

// contents are those of a file, which may not be there yet.
func contents(t *testing.T, file string) []byte {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return text
}
