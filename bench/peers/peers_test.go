package peers_test

import (
	"fmt"
	"strings"
	"testing"

	"weir/bench/peers"
)

func Example() {
	text, err := peers.Render("weir.toml", peers.Values{
		Listen: "127.0.0.1:8000", Backend: "127.0.0.1:9000", Admin: "127.0.0.1:9901",
	})
	fmt.Println(strings.Contains(text, `bind = "127.0.0.1:8000"`), err)
	// Output: true <nil>
}

func TestRenderAll(t *testing.T) {
	v := peers.Values{Listen: "127.0.0.1:8000", Backend: "127.0.0.1:9000", Admin: "127.0.0.1:9901", Dir: "/run/x", StreamModule: "/m/stream.so"}
	if len(peers.Names()) != 5 {
		t.Fatalf("names: %v", peers.Names())
	}
	for _, name := range peers.Names() {
		text, err := peers.Render(name, v)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{v.Listen, v.Backend} {
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

func TestRenderUnknown(t *testing.T) {
	if _, err := peers.Render("envoy.yaml", peers.Values{}); err == nil {
		t.Fatal("no error for an unknown name")
	}
}
