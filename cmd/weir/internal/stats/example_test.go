package stats_test

import (
	"fmt"
	"os"

	"weir/cmd/weir/internal/stats"
	"weir/l4"
)

func Example() {
	web := l4.NewListener("web", 1) // a proxy's loop would count into it
	web.Loops[0].Sessions.Add(3)

	sampler := stats.NewSampler(stats.Options{
		Version: "0.1.0",
		View: func() *stats.View {
			return &stats.View{Listeners: []stats.Listener{{Name: "web", Protocol: "tcp", State: web}}}
		},
	})
	sampler.Start()
	defer sampler.Close()

	report := sampler.Report()
	fmt.Println(report.Listeners[0].Name, report.Listeners[0].Connections.Total)
	if err := stats.WriteMetrics(discard{}, report); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	// Output: web 3
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }
