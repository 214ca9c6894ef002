package measure

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
)

// Installed says where the contenders' programs are, beside the module's folder
// for built programs: what is built from this module in bin itself, the peers in
// bin/peers, where scripts/bench-peers puts them, or else on the PATH. Of two
// NGINX the newer is taken. It doesn't fail for what isn't there.
func Installed(bin string) Binaries {
	peer := func(name string) string {
		path := filepath.Join(bin, "peers", name)
		if _, err := exec.LookPath(path); err != nil {
			return name
		}
		return path
	}
	b := Binaries{
		Load: filepath.Join(bin, "load"), Weir: filepath.Join(bin, "weir"),
		Gnet: filepath.Join(bin, "relay-gnet"), Go: filepath.Join(bin, "relay-go"), C: filepath.Join(bin, "relay-c"),
		HAProxy: peer("haproxy"), NGINX: peer("nginx"), Envoy: peer("envoy"),
	}
	if b.NGINX != "nginx" && newer(nginxVersion("nginx"), nginxVersion(b.NGINX)) {
		b.NGINX = "nginx"
	}
	return b
}

// nginxVersion is three numbers; zeros where there is no NGINX.
func nginxVersion(path string) (v [3]int) {
	out, _ := exec.Command(path, "-v").CombinedOutput()
	m := regexp.MustCompile(`nginx/(\d+)\.(\d+)\.(\d+)`).FindSubmatch(out)
	for i := range v {
		if m != nil {
			v[i], _ = strconv.Atoi(string(m[i+1]))
		}
	}
	return v
}

func newer(a, b [3]int) bool {
	for i := range a {
		if a[i] != b[i] {
			return a[i] > b[i]
		}
	}
	return false
}

// BuildRelays builds the contenders of bench/relay to where [Installed] looks for
// them; root is the module's folder. Without a C compiler (cc) there is no C
// relay, which is no error.
func BuildRelays(ctx context.Context, root, bin string) error {
	bin, err := filepath.Abs(bin)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(bin, 0o755); err != nil {
		return err
	}
	to := Installed(bin)
	commands := [][]string{
		{"go", "build", "-trimpath", "-o", to.Gnet, "./bench/relay/gnet"},
		{"go", "build", "-trimpath", "-o", to.Go, "./bench/relay/goio"},
	}
	if _, err := exec.LookPath("cc"); err == nil {
		commands = append(commands, []string{"cc", "-O2", "-pthread", "-o", to.C, "bench/relay/c/relay.c", "bench/relay/c/udp.c"})
	}
	for _, args := range commands {
		cmd := exec.CommandContext(ctx, args[0], args[1:]...)
		cmd.Dir = root
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("build %s: %w\n%s", args[len(args)-1], err, out)
		}
	}
	return nil
}
