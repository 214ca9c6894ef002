package demo_test

import (
	"fmt"
	"io"
	"net/http"
	"testing"

	"weir/cmd/weir/internal/demo"
	"weir/config"
)

func Example() {
	backends, err := demo.Start()
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = backends.Close() }()
	for _, address := range backends.Addresses() {
		answer, err := http.Get("http://" + address)
		if err != nil {
			fmt.Println(err)
			return
		}
		line, _ := io.ReadAll(answer.Body)
		_ = answer.Body.Close()
		fmt.Print(string(line))
	}
	// Output:
	// backend 1 (one)
	// backend 2 (two)
	// backend 3 (three)
}

func TestConfigIsValid(t *testing.T) {
	text, err := demo.Config(demo.Addresses{Listen: "127.0.0.1:8080", Admin: "127.0.0.1:9901"}, []string{"127.0.0.1:1", "127.0.0.1:2"})
	if err != nil {
		t.Fatal(err)
	}
	s, err := config.Parse([]config.Source{{Name: "demo", Text: text, Kind: config.TOML}})
	if err != nil {
		t.Fatal(err)
	}
	if got := s.Listener("demo"); got == nil || got.Binds[0].String() != "127.0.0.1:8080" {
		t.Errorf("listener: %+v", got)
	}
	if got := s.Cluster("backends"); got == nil || len(got.Endpoints) != 2 {
		t.Errorf("cluster: %+v", got)
	}
	if s.Admin.Listen != "127.0.0.1:9901" {
		t.Errorf("admin: %+v", s.Admin)
	}
}

func TestConfigSaysWhatIsWrong(t *testing.T) {
	for _, listen := range []string{"nonsense", `127.0.0.1:1"`, "127.0.0.1:1\n[x]"} {
		text, err := demo.Config(demo.Addresses{Listen: listen}, []string{"127.0.0.1:1"})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := config.Parse([]config.Source{{Name: "demo", Text: text, Kind: config.TOML}}); err == nil {
			t.Errorf("%q was taken", listen)
		}
	}
}
