package admin_test

import (
	"context"
	"fmt"
	"io"
	"net/http"

	"weir/cmd/weir/internal/admin"
	"weir/cmd/weir/internal/stats"
)

func Example() {
	server, err := admin.Serve(admin.Options{
		Listen:  "127.0.0.1:0",
		Version: "0.1.0",
		View:    func() *stats.View { return &stats.View{} }, // what runs now
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer server.Close(context.Background())

	response, err := http.Get("http://" + server.Addr() + "/ready")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer response.Body.Close()
	body, _ := io.ReadAll(response.Body)
	fmt.Print(response.StatusCode, " ", string(body))
	// Output: 200 ready
}
