package peers_test

import (
	"fmt"
	"strings"
	"testing"

	"weir/bench/peers"
)

func Example() {
	text, err := peers.Render("weir.toml", peers.Values{
		Listen: "127.0.0.1:8000", Backend: "127.0.0.1:9000", Admin: "127.0.0.1:9901", Protocol: "tcp",
	})
	fmt.Println(strings.Contains(text, `bind = "127.0.0.1:8000"`), err)
	// Output: true <nil>
}

func TestRenderAll(t *testing.T) {
	v := peers.Values{
		Listen: "127.0.0.1:8000", Backend: "127.0.0.1:9000", Admin: "127.0.0.1:9901", Protocol: "tcp", Dir: "/run/x", StreamModule: "/m/stream.so",
	}
	if len(peers.Names()) != 11 {
		t.Fatalf("names: %v", peers.Names())
	}
	for _, name := range peers.Names() {
		text, err := peers.Render(name, v)
		if err != nil {
			t.Fatal(err)
		}
		for _, addr := range []string{v.Listen, v.Backend} {
			want := addr
			if host, port, _ := strings.Cut(addr, ":"); strings.HasSuffix(name, ".yaml") {
				want = "address: " + host + ", port_value: " + port
			}
			if !strings.Contains(text, want) {
				t.Errorf("%s lacks %s:\n%s", name, want, text)
			}
		}
		if strings.HasPrefix(name, "nginx") != strings.Contains(text, "load_module "+v.StreamModule+";") {
			t.Errorf("%s: load_module:\n%s", name, text)
		}
		if strings.Contains(text, "{{") {
			t.Errorf("%s: left unfilled:\n%s", name, text)
		}
	}
}

// An address that isn't one yet stays readable.
func TestRenderPlaceholders(t *testing.T) {
	text, err := peers.Render("envoy.yaml", peers.Values{Listen: "LISTEN", Backend: "BACKEND", Admin: "ADMIN"})
	if err != nil {
		t.Fatal(err)
	}
	if want := "{address: LISTEN, port_value: PORT}"; !strings.Contains(text, want) {
		t.Errorf("lacks %s:\n%s", want, text)
	}
}

// Flows end with their answer, or soon, only where a workload asks for it.
func TestRenderFlows(t *testing.T) {
	v := peers.Values{Listen: "127.0.0.1:1", Backend: "127.0.0.1:2", Admin: "127.0.0.1:3", Protocol: "udp", Dir: "/run/x"}
	for name, line := range map[string]string{
		"weir.toml": "udp = { responses = 1 }", "nginx-udp.conf": "proxy_responses 1;", "nginx-best-udp.conf": "proxy_responses 1;",
		"envoy-udp.yaml": "idle_timeout: 0.25s", "envoy-best-udp.yaml": "idle_timeout: 0.25s",
	} {
		short := v
		short.Responses, short.FlowTimeout = 1, "0.25s"
		for values, want := range map[peers.Values]bool{v: false, short: true} {
			text, err := peers.Render(name, values)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(text, line) != want {
				t.Errorf("%s, %d responses: has %q: %t\n%s", name, values.Responses, line, !want, text)
			}
		}
	}
	v.Protocol, v.Responses = "tcp", 1
	if text, err := peers.Render("weir.toml", v); err != nil || strings.Contains(text, "udp") {
		t.Errorf("%v\n%s", err, text)
	}
}

func TestRenderUnknown(t *testing.T) {
	if _, err := peers.Render("traefik.yaml", peers.Values{}); err == nil {
		t.Fatal("no error for an unknown name")
	}
}
