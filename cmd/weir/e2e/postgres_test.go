package e2e

import (
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// debianPostgres is where Debian has the programs that aren't in PATH.
const debianPostgres = "/usr/lib/postgresql/*/bin"

// postgresServer starts a PostgreSQL server with an empty database. It doesn't run as root; then it runs as the user postgres, or else as nobody.
func postgresServer(t *testing.T) string {
	t.Helper()
	initdb, postgres := need(t, "initdb", debianPostgres), need(t, "postgres", debianPostgres)
	need(t, "psql")
	need(t, "pgbench", debianPostgres)

	// The directories of a test are its user's alone; this one is for the server's.
	dir, err := os.MkdirTemp("", "weir-postgres")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	as := &syscall.SysProcAttr{}
	if os.Geteuid() == 0 {
		as.Credential = unprivileged(t)
		if err := os.Chown(dir, int(as.Credential.Uid), int(as.Credential.Gid)); err != nil {
			t.Fatal(err)
		}
	}
	server := func(name string, args ...string) *exec.Cmd {
		cmd := command(t, name, args...)
		attr := *as
		cmd.SysProcAttr, cmd.Dir = &attr, dir
		return cmd
	}
	data := filepath.Join(dir, "data")
	run(t, server(initdb, "-D", data, "-U", "weir", "-A", "trust", "-E", "UTF8", "--locale", "C", "--no-sync"))
	_, addr := serve(t, syscall.SIGINT, func(host, port string) *exec.Cmd {
		return server(postgres, "-D", data, "-h", host, "-p", port, "-c", "unix_socket_directories=", "-c", "fsync=off")
	})
	eventually(t, "PostgreSQL is ready", func() bool {
		return launch(t, psql(t, addr, "SELECT 1"), os.Kill).code() == 0
	})
	return addr
}

// unprivileged is who runs the server instead of root.
func unprivileged(t *testing.T) *syscall.Credential {
	t.Helper()
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
		gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
		if err1 == nil && err2 == nil {
			return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		}
	}
	missing(t, "there is no user postgres or nobody to run PostgreSQL as")
	return nil
}

// database is how PostgreSQL's clients are told where to go.
func database(t *testing.T, addr string) []string {
	t.Helper()
	host, port := split(t, addr)
	return []string{"-h", host, "-p", port, "-U", "weir"}
}

func psql(t *testing.T, addr, query string) *exec.Cmd {
	t.Helper()
	return command(t, need(t, "psql"), append(database(t, addr), "-X", "-At", "-v", "ON_ERROR_STOP=1", "-c", query, "postgres")...)
}

func TestPostgreSQL(t *testing.T) {
	server := postgresServer(t)
	w := weir(t, simple(server))
	addr := w.at()
	t.Run("queries", func(t *testing.T) { tryQueries(t, addr) })
	t.Run("copy", func(t *testing.T) { tryCopy(t, addr) })
	t.Run("pgbench", func(t *testing.T) { tryPgbench(t, addr) })
	l := w.settled("downstream_closed", "upstream_closed", "downstream_reset")
	if l.Connections.Total < 1600 {
		t.Errorf("weir counts %d sessions", l.Connections.Total)
	}
}

func tryQueries(t *testing.T, addr string) {
	t.Helper()
	if got := run(t, psql(t, addr, "SELECT sum(n) FROM generate_series(1, 1000) AS n")); got != "500500\n" {
		t.Errorf("got %q", got)
	}
	p := launch(t, psql(t, addr, "SELECT 1/0"), os.Kill)
	if p.code() == 0 || !strings.Contains(p.out.String(), "division by zero") {
		t.Errorf("exit code %d, %q", p.code(), &p.out)
	}
}

// tryCopy sends 8 MB and gets them back.
func tryCopy(t *testing.T, addr string) {
	t.Helper()
	const rows, half = 8000, 512
	var table strings.Builder
	body := random(2, rows*half)
	for i := range rows {
		fmt.Fprintf(&table, "%d\t%s\n", i, hex.EncodeToString(body[i*half:(i+1)*half]))
	}
	run(t, psql(t, addr, "CREATE TABLE notes (id int PRIMARY KEY, body text NOT NULL)"))
	in := psql(t, addr, "COPY notes FROM STDIN")
	in.Stdin = strings.NewReader(table.String())
	if got := run(t, in); got != fmt.Sprintf("COPY %d\n", rows) {
		t.Errorf("in: %q", got)
	}
	if got := run(t, psql(t, addr, "COPY (SELECT * FROM notes ORDER BY id) TO STDOUT")); got != table.String() {
		t.Errorf("out: %d bytes, which differ from the %d that went in", len(got), table.Len())
	}
}

// tryPgbench runs transactions over lasting connections, over a connection for each, and with the extended protocol.
func tryPgbench(t *testing.T, addr string) {
	t.Helper()
	path := need(t, "pgbench", debianPostgres)
	pgbench := func(args ...string) string {
		t.Helper()
		return run(t, command(t, path, append(append(args, database(t, addr)...), "postgres")...))
	}
	pgbench("-i", "-q")
	for _, how := range [][]string{{}, {"-C"}, {"-M", "prepared"}} {
		said := pgbench(append(how, "-c", "8", "-j", "2", "-t", "200")...)
		for _, want := range []string{`actually processed: 1600/1600\n`, `failed transactions: 0 \(`} {
			if !regexp.MustCompile(want).MatchString(said) {
				t.Errorf("pgbench %v: no %q in:\n%s", how, want, said)
			}
		}
	}
}
