package resolve_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"weir/cmd/weir/internal/resolve"
	"weir/config"
)

func Example() {
	dir, err := os.MkdirTemp("", "resolve")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "web.json")
	if err := os.WriteFile(file, []byte(`["10.0.0.2:8080", "10.0.0.1:8080"]`), 0o600); err != nil {
		fmt.Println(err)
		return
	}

	// Found would have the cluster use what Known says now; see Options.
	r := resolve.New(resolve.Options{})
	defer r.Close()
	r.Set(map[string]config.Discover{
		"web": {File: file}, // or {DNS: "web.internal:8080", ...}
	})
	r.First(context.Background())
	endpoints, ok := r.Known("web")
	for _, e := range endpoints {
		fmt.Println(e.Address, e.Weight, ok)
	}
	// Output:
	// 10.0.0.2:8080 1 true
	// 10.0.0.1:8080 1 true
}
