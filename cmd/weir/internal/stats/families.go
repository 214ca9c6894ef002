package stats

import "strconv"

// The names of the labels. Their values come from the configuration or from this package, never from a client.
const (
	labelListener  = "listener"
	labelCluster   = "cluster"
	labelEndpoint  = "endpoint"
	labelLoop      = "loop"
	labelDirection = "direction"
	labelMethod    = "method"
	labelReason    = "reason"
	labelTo        = "to"
	labelStage     = "stage"
	labelVersion   = "version"
	labelGo        = "go"
)

// The values of the label direction.
const (
	toUpstream   = "to_upstream"
	toDownstream = "to_downstream"
)

// labelHelp says what the values of a label are.
func labelHelp() [][2]string {
	return [][2]string{
		{labelListener, "name of the listener in the configuration"},
		{labelCluster, "name of the cluster in the configuration"},
		{labelEndpoint, "address and port of the endpoint"},
		{labelLoop, "number of the loop, from 0"},
		{labelDirection, "`to_upstream`: from clients to endpoints; `to_downstream`: from endpoints to clients"},
		{labelMethod, "`copied`: through weir's memory; `spliced`: inside the kernel"},
		{labelReason, "as the family's description says"},
		{labelTo, "what the endpoint became: `up` or `down`"},
		{labelStage, "stage of overload: `shorten`, `shed` or `refuse`"},
		{labelVersion, "version of weir"},
		{labelGo, "Go release that weir was built with"},
	}
}

// section is a part of the table of families.
type section struct {
	title    string
	families []family
}

// sections is the table of all families that weir itself makes, in the order in which they are written.
func sections() []section {
	return []section{
		{"Process", processFamilies()},
		{"Loops", loopFamilies()},
		{"Listeners", listenerFamilies()},
		{"Clusters", clusterFamilies()},
		{"Endpoints", endpointFamilies()},
	}
}

// processFamily is a family without labels.
func processFamily(name string, k kind, help string, write func(x *exposition, p *Process)) family {
	return family{name: name, kind: k, help: help, write: func(x *exposition, r *Report) { write(x, &r.Process) }}
}

func processFamilies() []family {
	build := processFamily("weir_build_info", gauge, "Always 1; the labels name the version of weir and the Go release it was built with.",
		func(x *exposition, p *Process) { x.uint(1, p.Version, p.Go) })
	build.labels = []string{labelVersion, labelGo}
	return append([]family{
		build,
		processFamily("weir_uptime_seconds", gauge, "Seconds since the process started.",
			func(x *exposition, p *Process) { x.float(p.Uptime) }),
		processFamily("weir_draining", gauge, "1 while the process drains: it takes no new connections or flows and waits for the last ones to end.",
			func(x *exposition, p *Process) { x.bool(p.Draining) }),
		processFamily("weir_connections", gauge, "Client connections and flows under way.",
			func(x *exposition, p *Process) { x.int(p.Connections.Active) }),
		processFamily("weir_connections_max", gauge, "The process's limit on client connections and flows; 0 is none.",
			func(x *exposition, p *Process) { x.int(p.Connections.Max) }),
		processFamily("weir_reloads_total", counter, "Changes of the configuration that were applied.",
			func(x *exposition, p *Process) { x.uint(p.Reloads.Applied) }),
		processFamily("weir_reload_failures_total", counter, "Changes of the configuration that failed, and so changed nothing.",
			func(x *exposition, p *Process) { x.uint(p.Reloads.Failed) }),
		processFamily("weir_reload_last_ok", gauge, "1 if the last attempt to change the configuration was applied, or there was none; 0 if it failed.",
			func(x *exposition, p *Process) { x.bool(p.Reloads.LastError == "") }),
		processFamily("weir_reload_last_timestamp_seconds", gauge, "When the configuration was last changed, or an attempt failed, in seconds since 1970; 0 is never.",
			func(x *exposition, p *Process) { x.float(unixSeconds(p.Reloads.Last)) }),
		processFamily("process_open_fds", gauge, "Open file descriptors; 0 is unknown.",
			func(x *exposition, p *Process) { x.uint(p.Descriptors.Open) }),
		processFamily("process_max_fds", gauge, "Most file descriptors that may be open: the soft RLIMIT_NOFILE; 0 is unknown.",
			func(x *exposition, p *Process) { x.uint(p.Descriptors.Limit) }),
	}, pressureFamilies()...)
}

func loopFamilies() []family {
	loop := func(name string, k kind, help string, write func(x *exposition, l *LoopReport, id string)) family {
		return family{name: name, kind: k, help: help, labels: []string{labelLoop}, write: func(x *exposition, r *Report) {
			for i := range r.Loops {
				write(x, &r.Loops[i], strconv.Itoa(r.Loops[i].ID))
			}
		}}
	}
	count := func(name, help string, of func(l *LoopReport) uint64) family {
		return loop(name, counter, help, func(x *exposition, l *LoopReport, id string) { x.uint(of(l), id) })
	}
	return []family{
		loop("weir_loop_connections", gauge, "Client connections and flows under way on the loop.",
			func(x *exposition, l *LoopReport, id string) { x.int(l.Connections.Active, id) }),
		count("weir_loop_connections_total", "Client connections that the loop accepted, and flows that began on it.", func(l *LoopReport) uint64 { return l.Connections.Total }),
		bytesOf(loop("weir_loop_bytes_total", counter, "Payload bytes that the loop moved.",
			func(x *exposition, l *LoopReport, id string) { x.bytes(&l.Bytes, id) })),
		datagramsOf(loop("weir_loop_datagrams_total", counter, "Datagrams that the loop sent on.",
			func(x *exposition, l *LoopReport, id string) { x.datagrams(&l.Datagrams, id) })),
		count("weir_loop_accept_pauses_total", "Times that a listener on the loop stopped accepting for want of descriptors or places.",
			func(l *LoopReport) uint64 { return l.AcceptPauses }),
		count("weir_loop_batches_total", "Turns of the loop.", func(l *LoopReport) uint64 { return l.Batches }),
		count("weir_loop_events_total", "Events that the loop delivered.", func(l *LoopReport) uint64 { return l.Events }),
		count("weir_loop_stale_events_total", "Events that the loop dropped because their connection or flow had ended.", func(l *LoopReport) uint64 { return l.StaleEvents }),
		count("weir_loop_continued_total", "Callbacks for work that an earlier one had left over when its budget was used up.",
			func(l *LoopReport) uint64 { return l.Continued }),
		count("weir_loop_posted_total", "Functions that the loop ran for the rest of the process.", func(l *LoopReport) uint64 { return l.Posted }),
		count("weir_loop_waits_total", "Waits for events, of any kind.", func(l *LoopReport) uint64 { return l.Waits }),
		count("weir_loop_blocking_waits_total", "Waits that gave the processor back to the Go scheduler, because the loop was idle.",
			func(l *LoopReport) uint64 { return l.BlockingWaits }),
		count("weir_loop_yields_total", "Waits that the Go runtime interrupted, as for garbage collection.", func(l *LoopReport) uint64 { return l.Yields }),
		count("weir_loop_joint_writes_total", "Writes of small messages that shared a system call with others; none where io_uring is not to be had.",
			func(l *LoopReport) uint64 { return l.JointWrites }),
		loop("weir_loop_pipes", gauge, "Pipes for splicing that the loop holds, in use and idle.",
			func(x *exposition, l *LoopReport, id string) { x.int(l.Pipes, id) }),
	}
}

// bytesOf adds the labels of payload counters to a family's own.
func bytesOf(f family) family {
	f.labels = append(f.labels, labelDirection, labelMethod)
	return f
}

// datagramsOf adds the label of counters of datagrams to a family's own.
func datagramsOf(f family) family {
	f.labels = append(f.labels, labelDirection)
	return f
}

// bytes writes the four series of payload counters; first are the labels before direction and method.
func (x *exposition) bytes(b *Bytes, first ...string) {
	for _, way := range [...]struct {
		direction string
		flow      *Flow
	}{{toUpstream, &b.ToUpstream}, {toDownstream, &b.ToDownstream}} {
		var labels [4]string
		n := copy(labels[:2], first)
		labels[n], labels[n+1] = way.direction, "copied"
		x.uint(way.flow.Copied, labels[:n+2]...)
		labels[n+1] = "spliced"
		x.uint(way.flow.Spliced, labels[:n+2]...)
	}
}
