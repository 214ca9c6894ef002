package stats

import "weir/l4"

func listenerFamilies() []family {
	listener := func(name string, k kind, help string, write func(x *exposition, l *ListenerReport)) family {
		return family{name: name, kind: k, help: help, labels: []string{labelListener}, write: func(x *exposition, r *Report) {
			for i := range r.Listeners {
				write(x, &r.Listeners[i])
			}
		}}
	}
	byReason := func(name, help string, write func(x *exposition, l *ListenerReport)) family {
		f := listener(name, counter, help, write)
		f.labels = append(f.labels, labelReason)
		return f
	}
	return []family{
		listener("weir_listener_connections", gauge, "Client connections under way.",
			func(x *exposition, l *ListenerReport) { x.int(l.Connections.Active, l.Name) }),
		listener("weir_listener_connections_max", gauge, "The listener's max_connections; 0 is no limit.",
			func(x *exposition, l *ListenerReport) { x.int(l.Connections.Max, l.Name) }),
		listener("weir_listener_connections_total", counter, "Client connections accepted.",
			func(x *exposition, l *ListenerReport) { x.uint(l.Connections.Total, l.Name) }),
		bytesOf(listener("weir_listener_bytes_total", counter, "Payload bytes of the listener's clients.",
			func(x *exposition, l *ListenerReport) { x.bytes(&l.Bytes, l.Name) })),
		byReason("weir_listener_closed_total", "Client connections that ended, each with exactly one reason; the reference of metrics lists them.",
			func(x *exposition, l *ListenerReport) {
				for reason := range l4.NumReasons {
					x.uint(l.Closed[reason.String()], l.Name, reason.String())
				}
			}),
		listener("weir_listener_refused_total", counter, "Client connections that ended without having reached an endpoint, through no doing of the client.",
			func(x *exposition, l *ListenerReport) { x.uint(l.Refused, l.Name) }),
		listener("weir_listener_accept_errors_total", counter, "Connections that failed before they were accepted.",
			func(x *exposition, l *ListenerReport) { x.uint(l.AcceptErrors, l.Name) }),
		byReason("weir_listener_accept_pauses_total",
			"Times that accepting rested. Reason `descriptors`: the process or the machine had none left; `max_connections`: the listener or the process stood at its limit.",
			func(x *exposition, l *ListenerReport) {
				x.uint(l.AcceptPauses.Descriptors, l.Name, "descriptors")
				x.uint(l.AcceptPauses.MaxConnections, l.Name, "max_connections")
			}),
		listener("weir_listener_duration_seconds", histogram, "How long client connections lasted, counted when they end.",
			func(x *exposition, l *ListenerReport) { x.histogram(&l.Duration, l.Name) }),
	}
}
