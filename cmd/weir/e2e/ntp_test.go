package e2e

import (
	"fmt"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"syscall"
	"testing"
)

// chrony is a chronyd with a directory of its own, which leaves the clock alone.
func chrony(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	cmd := command(t, need(t, "chronyd"), append([]string{"-x", "-U", "-d", "-u", me.Username}, args...)...)
	cmd.Args = append(cmd.Args, "cmdport 0", "bindcmdaddress /", "pidfile "+filepath.Join(cmd.Dir, "pid"))
	return cmd
}

// A client learns from a server how far its clock is off, which is not at all: it is the same clock.
func TestNTP(t *testing.T) {
	_, addr := serveUDP(t, syscall.SIGTERM, func(host, port string) *exec.Cmd {
		return chrony(t, "local stratum 5", "allow 127.0.0.0/8", "bindaddress "+host, "port "+port)
	})
	w := weir(t, datagrams("", addr))
	host, port := split(t, w.at())
	said := run(t, chrony(t, "-Q", "-t", "30", fmt.Sprintf("server %s port %s iburst maxsamples 1", host, port), "port 0"))
	found := regexp.MustCompile(`System clock wrong by (\S+) seconds`).FindStringSubmatch(said)
	if found == nil {
		t.Fatalf("chronyd has learnt nothing:\n%s", said)
	}
	if off := number(t, found[1]); off < -0.1 || off > 0.1 {
		t.Errorf("the clock is off by %g s from itself", off)
	}
	l := w.lossless()
	t.Logf("off by %s s; %+v", found[1], l.Datagrams)
	if l.Datagrams.ToUpstream == 0 || l.Datagrams.ToDownstream != l.Datagrams.ToUpstream {
		t.Errorf("%+v: want an answer for every question", l.Datagrams)
	}
}
