package report_test

import (
	"bytes"
	"fmt"
	"strings"

	"weir/bench/measure"
	"weir/bench/report"
)

func Example() {
	r := measure.Report{
		Subject: measure.Weir, Rounds: 1,
		Contenders: []measure.Contender{{Name: measure.Direct}, {Name: measure.Weir}},
		Workloads:  []measure.Workload{{Name: "rtt64", Title: "round trips", Group: "round trips", Figure: measure.Cost, Unit: "us", Scale: 1e6}},
		Samples: []measure.Sample{
			{Workload: "rtt64", Contender: measure.Direct, Round: 1, Amount: 1000, Busy: 0.012},
			{Workload: "rtt64", Contender: measure.Weir, Round: 1, Amount: 1000, Busy: 0.024},
		},
	}
	r.Summary = measure.Summarize(r.Workloads, r.Contenders, r.Samples, r.Subject)
	var page bytes.Buffer
	if err := report.Write(&page, r); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(strings.Contains(page.String(), "weir: 12.0 us (12.0 to 12.0), 1 round"))
	// Output: true
}
