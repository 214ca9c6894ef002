package main

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestCommandLine compares what commands say, and their exit codes, with testdata/*.golden. They run in testdata.
func TestCommandLine(t *testing.T) {
	for _, c := range []struct {
		golden string
		args   []string
	}{
		{"help", []string{"--help"}},
		{"help_run", []string{"run", "--help"}},
		{"help_check", []string{"check", "--help"}},
		{"help_demo", []string{"demo", "--help"}},
		{"help_version", []string{"help", "version"}},
		{"no_command", nil},
		{"unknown_command", []string{"rum"}},
		{"unknown_flag", []string{"run", "--configuration", "x"}},
		{"argument", []string{"check", "good.toml"}},
		{"no_configuration", []string{"run"}},
		{"no_file", []string{"run", "-c", "absent.toml"}},
		{"check_good", []string{"check", "-c", "good.toml"}},
		{"check_without_file", []string{"check", "--set", "process.loops=2"}},
		{"check_bad", []string{"check", "-c", "bad.toml"}},
		{"run_bad", []string{"run", "-c", "bad.toml"}},
		{"check_bad_overrides", []string{"check", "-c", "good.toml", "--set", "process.loops=2", "--config-toml", "process.pin = 3", "--set", "process.lops=2"}},
		{"later_wins", []string{"check", "-c", "good.toml", "--set", "listeners.web.cluster=a", "--config-toml", `listeners.web.cluster = "b"`, "--set", "listeners.web.cluster=c"}},
		{"later_wins_text", []string{"check", "-c", "good.toml", "--set", "listeners.web.cluster=a", "--set", "listeners.web.cluster=c", "--config-toml", `listeners.web.cluster = "b"`}},
	} {
		t.Run(c.golden, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			cmd := exec.Command(binary, c.args...)
			cmd.Dir, cmd.Stdout, cmd.Stderr = "testdata", &stdout, &stderr
			var exit *exec.ExitError
			if err := cmd.Run(); err != nil && !errors.As(err, &exit) {
				t.Fatal(err)
			}
			got := fmt.Sprintf("$ weir %s\nexit code %d\n--- standard output\n%s--- standard error\n%s",
				strings.Join(c.args, " "), cmd.ProcessState.ExitCode(), &stdout, &stderr)
			file := filepath.Join("testdata", c.golden+".golden")
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("got:\n%s\nwant:\n%s", got, want)
			}
		})
	}
}

func TestVersion(t *testing.T) {
	out, err := exec.Command(binary, "version").Output()
	if err != nil {
		t.Fatal(err)
	}
	want := regexp.MustCompile(`^weir v9\.8\.7\ncommit   c0ffee\ndate     2026-01-02\ngo       go\S.*\nplatform linux/\S+\n$`)
	if !want.Match(out) {
		t.Errorf("got:\n%s", out)
	}
}

// A port that is taken is no fault of the configuration.
func TestPortInUse(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	p := weir(t, "run", "-c", "testdata/good.toml", "--set", "listeners.web.bind="+ln.Addr().String(), "--set", "admin.listen=")
	p.ends(1)
	p.says(`^weir: listener "web": listen on ` + regexp.QuoteMeta(ln.Addr().String()) + `: bind: address already in use$`)
}

func Test_execute(t *testing.T) {
	var stdout, stderr bytes.Buffer
	if code := execute([]string{"check", "-c", "testdata/good.toml"}, &stdout, &stderr); code != exitOK || stdout.String() != "ok: 1 listener, 1 cluster\n" {
		t.Errorf("code %d, output %q, %q", code, &stdout, &stderr)
	}
	if code := execute([]string{"check", "-c", "testdata/bad.toml"}, &stdout, &stderr); code != exitUsage {
		t.Errorf("code %d", code)
	}
}
