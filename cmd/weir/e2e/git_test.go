package e2e

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// history is a stream for git fast-import: so many commits, each with another file of random bytes.
func history(commits, size int) []byte {
	var b bytes.Buffer
	blobs := random(3, commits*size)
	for i := range commits {
		message := fmt.Sprintf("commit %d", i)
		fmt.Fprintf(&b, "commit refs/heads/main\ncommitter Weir <weir@example.org> %d +0000\ndata %d\n%s\n",
			1_700_000_000+i, len(message), message)
		fmt.Fprintf(&b, "M 100644 inline dir%d/file%d\ndata %d\n", i%7, i, size)
		b.Write(blobs[i*size : (i+1)*size])
		b.WriteByte('\n')
	}
	return b.Bytes()
}

func TestGit(t *testing.T) {
	path := need(t, "git")
	git := func(args ...string) *exec.Cmd {
		t.Helper()
		return command(t, path, append([]string{"-c", "user.name=Weir", "-c", "user.email=weir@example.org"}, args...)...)
	}
	daemon := filepath.Join(strings.TrimSpace(run(t, git("--exec-path"))), "git-daemon")
	if _, err := os.Stat(daemon); err != nil {
		missing(t, "git has no daemon: %v", err)
	}

	base := t.TempDir()
	origin, clone := filepath.Join(base, "repo.git"), filepath.Join(t.TempDir(), "clone")
	run(t, git("init", "-q", "--bare", origin))
	run(t, git("-C", origin, "symbolic-ref", "HEAD", "refs/heads/main"))
	const commits = 300
	fill := git("-C", origin, "fast-import", "--quiet")
	fill.Stdin = bytes.NewReader(history(commits, 70_000))
	run(t, fill)

	_, addr := serve(t, syscall.SIGTERM, func(host, port string) *exec.Cmd {
		return command(t, daemon, "--listen="+host, "--port="+port, "--base-path="+base, "--export-all", "--enable=receive-pack", "--verbose")
	})
	w := weir(t, simple(addr))
	url := "git://" + w.at() + "/repo.git"
	head := func(repo string) string {
		t.Helper()
		return run(t, git("-C", repo, "rev-parse", "HEAD"))
	}

	run(t, git("clone", "-q", url, clone))
	run(t, git("-C", clone, "fsck", "--full", "--no-progress"))
	if got, want := head(clone), head(origin); got != want {
		t.Errorf("the clone is at %q, its origin at %q", got, want)
	}
	if got := run(t, git("-C", clone, "rev-list", "--count", "HEAD")); got != fmt.Sprintln(commits) {
		t.Errorf("the clone has %q commits", got)
	}

	if err := os.WriteFile(filepath.Join(clone, "pushed"), random(4, 8<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, git("-C", clone, "add", "pushed"))
	run(t, git("-C", clone, "commit", "-q", "-m", "pushed"))
	run(t, git("-C", clone, "push", "-q", "origin", "HEAD"))
	run(t, git("-C", origin, "fsck", "--full", "--no-progress"))
	if got, want := head(origin), head(clone); got != want {
		t.Errorf("after the push the origin is at %q, the clone at %q", got, want)
	}

	l := w.settled("downstream_closed", "upstream_closed")
	if l.Bytes.ToDownstream.total() < commits*70_000 || l.Bytes.ToUpstream.total() < 8<<20 {
		t.Errorf("weir counts %+v", l.Bytes)
	}
}
