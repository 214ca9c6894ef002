package stats

import (
	"io"
	"strings"

	"weir/l4"
)

const referenceHead = `# Metrics

What ` + "`/metrics`" + ` of the administrative side answers, in the Prometheus text format 0.0.4. This page is made from the table
that the program itself works by.

Counters count from the start of the process, or of what their labels name: one that leaves the configuration takes its series
with it. All sizes are bytes, all times seconds. What is said of connections is also true of flows, which are UDP's, unless it says otherwise.
A listener's "in" and "out" are the directions ` + "`to_upstream` and `to_downstream`" + `.

| Label | Values |
|---|---|
`

const referenceCloses = `
## Why connections and flows end

The values of ` + "`reason`" + ` in ` + "`weir_listener_closed_total`" + `.

`

const referenceDrops = `
## Why datagrams are dropped

The values of ` + "`reason`" + ` in ` + "`weir_listener_datagrams_dropped_total`" + `. Each datagram that came and was not sent on has exactly one.

`

const referenceReasons = "| Reason | Meaning |\n|---|---|\n"

const referenceRuntime = `
## Process and Go runtime

Families that begin with ` + "`process_`" + ` (CPU time, memory, I/O, and pressure in the control group) and ` + "`go_`" + ` (memory, garbage collection,
scheduling) come from the library ` + "`github.com/VictoriaMetrics/metrics`" + ` under the names that Prometheus clients commonly use, without HELP and TYPE.

## Examples

| Question | Query |
|---|---|
| Which endpoints can't be reached? | ` + "`sum by (cluster, endpoint) (rate(weir_endpoint_connect_failures_total[1m])) > 0`" + ` |
| Which clusters are about to run out? | ` + "`weir_cluster_endpoints_in_use / weir_cluster_endpoints < 0.5 or weir_cluster_panic == 1`" + ` |
| Which endpoints are down, or ejected? | ` + "`weir_endpoint_check_up == 0 or weir_endpoint_ejected == 1`" + ` |
| Which endpoints come and go? | ` + "`changes(weir_endpoint_in_use[1h]) > 4`" + ` |
| Where is no place? | ` + "`sum by (cluster, reason) (rate(weir_cluster_refused_total[1m])) > 0`" + ` |
| Does the process run short of something? | ` + "`weir_overload_stage > 0`" + ` |
| Are the endpoints those of today? | ` + "`time() - weir_cluster_discovery_answered_timestamp_seconds > 600`" + ` |
| How many connections reach no endpoint, those that are not let in among them? | ` + "`sum by (listener) (rate(weir_listener_refused_total[1m]))`" + ` |
| How long do connects take? | ` + "`histogram_quantile(0.99, sum by (cluster, le) (rate(weir_cluster_connect_seconds_bucket[5m])))`" + ` |
| Which datagrams are lost, and why? | ` + "`sum by (listener, reason) (rate(weir_listener_datagrams_dropped_total[1m])) > 0`" + ` |
| How much goes through? | ` + "`sum by (listener, direction) (rate(weir_listener_bytes_total[1m]))`" + ` |
| Is the configuration in force the newest? | ` + "`weir_reload_last_ok == 1`" + ` |
`

// WriteReference writes docs/reference/metrics.md, in Markdown, from the table that WriteMetrics works by. The error is w's.
func WriteReference(w io.Writer) error {
	var b strings.Builder
	b.WriteString(referenceHead)
	for _, label := range labelHelp() {
		b.WriteString("| `" + label[0] + "` | " + label[1] + " |\n")
	}
	for _, s := range sections() {
		b.WriteString("\n## " + s.title + "\n\n| Name | Type | Labels | Meaning |\n|---|---|---|---|\n")
		for _, f := range s.families {
			b.WriteString("| `" + f.name + "` | " + string(f.kind) + " | " + labelList(f.labels) + " | " + f.help + " |\n")
		}
	}
	b.WriteString(referenceCloses + referenceReasons)
	for reason := range l4.NumReasons {
		b.WriteString("| `" + reason.String() + "` | " + closeMeaning[reason] + " |\n")
	}
	b.WriteString(referenceDrops + referenceReasons)
	for reason := range l4.NumDrops {
		b.WriteString("| `" + reason.String() + "` | " + dropMeaning[reason] + " |\n")
	}
	b.WriteString(referenceRuntime)
	_, err := io.WriteString(w, b.String())
	return err
}

func labelList(labels []string) string {
	quoted := make([]string, len(labels))
	for i, l := range labels {
		quoted[i] = "`" + l + "`"
	}
	return strings.Join(quoted, ", ")
}
