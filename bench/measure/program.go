package measure

import (
	"debug/buildinfo"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// kind is what is known of a contender before its program is found.
type kind struct {
	name      string
	path      string            // of the program, or its name on the PATH
	templates map[string]string // of peers, by protocol; "" for one that takes its addresses as arguments
	args      []string          // CONFIG, PROTOCOL, LISTEN, BACKEND and RESPONSES stand for what they are in a cell
	version   func(path string) string
	hint      string // how to get the program
	session   int    // descriptors of a TCP session; 0 = 2
}

// errNoProgram is why a contender that is known can't take part.
var errNoProgram = errors.New("its program isn't there")

// kinds are all contenders, in the order of the first round.
func kinds(bin Binaries) []kind {
	const peer, relay = "scripts/bench-peers installs it where it can", "bench/run builds it"
	tcp := func(file string) map[string]string { return map[string]string{"tcp": file} }
	both := func(name, ext string) map[string]string {
		return map[string]string{"tcp": name + ext, "udp": name + "-udp" + ext}
	}
	haproxy := func(name string) kind {
		return kind{name, bin.HAProxy, tcp(name + ".cfg"), []string{"-db", "-f", "CONFIG"}, firstLine("-v"), peer, 0}
	}
	nginx := func(name string) kind {
		return kind{name, bin.NGINX, both(name, ".conf"), []string{"-e", "stderr", "-c", "CONFIG"}, firstLine("-v"), peer, 0}
	}
	envoy := func(name string) kind {
		args := []string{"--concurrency", "2", "--disable-hot-restart", "--log-level", "critical", "-c", "CONFIG"}
		return kind{name, bin.Envoy, both(name, ".yaml"), args, envoyVersion, peer, 0}
	}
	flags := []string{"-listen", "LISTEN", "-backend", "BACKEND"}
	return []kind{
		{Weir, bin.Weir, map[string]string{"tcp": "weir.toml", "udp": "weir.toml"}, []string{"run", "-c", "CONFIG"}, oneLine("version"), "make host builds it", 0},
		haproxy("haproxy"), haproxy("haproxy-best"),
		nginx("nginx"), nginx("nginx-best"),
		envoy("envoy"), envoy("envoy-best"),
		{"gnet", bin.Gnet, tcp(""), flags, builtWith("github.com/panjf2000/gnet/v2"), relay, 0},
		{"go", bin.Go, tcp(""), flags, builtWith(""), relay, 6},
		{"c", bin.C, map[string]string{"tcp": "", "udp": ""}, []string{"PROTOCOL", "LISTEN", "BACKEND", "RESPONSES"}, firstLine("-v"), relay + " where there is a C compiler", 0},
	}
}

// find is the absolute path of the program.
func (k kind) find() (string, error) {
	path, err := exec.LookPath(k.path)
	if err != nil {
		return "", fmt.Errorf("%w: %w; %s", errNoProgram, err, k.hint)
	}
	return filepath.Abs(path)
}

// firstLine asks a program for its version, and takes the first line of it.
func firstLine(flag string) func(string) string {
	return func(path string) string {
		line, _, _ := strings.Cut(output(path, flag), "\n")
		return line
	}
}

// envoyVersion is what Envoy says of itself less its path: COMMIT/VERSION/....
func envoyVersion(path string) string {
	_, version, _ := strings.Cut(output(path, "--version"), "version: ")
	return "envoy " + version
}

// oneLine asks a program for its version, and makes one line of it.
func oneLine(command string) func(string) string {
	return func(path string) string { return strings.Join(strings.Fields(output(path, command)), " ") }
}

// output is what a program says of its version, or why it doesn't.
func output(path string, args ...string) string {
	out, err := exec.Command(path, args...).CombinedOutput()
	text := strings.TrimSpace(string(out))
	if err != nil && text == "" {
		return err.Error()
	}
	return text
}

// builtWith is the Go version that built a program, and that of a module in it.
func builtWith(module string) func(string) string {
	return func(path string) string {
		info, err := buildinfo.ReadFile(path)
		if err != nil {
			return err.Error()
		}
		for _, m := range info.Deps {
			if m.Path == module {
				return m.Path + " " + m.Version + ", " + info.GoVersion
			}
		}
		return info.GoVersion
	}
}

// streamModule is the path of NGINX's stream module where it is one.
func streamModule(path string) string {
	out, _ := exec.Command(path, "-V").CombinedOutput()
	m := regexp.MustCompile(`--modules-path=(\S+)`).FindSubmatch(out)
	if m == nil || !strings.Contains(string(out), "--with-stream=dynamic") {
		return ""
	}
	return filepath.Join(string(m[1]), "ngx_stream_module.so")
}
