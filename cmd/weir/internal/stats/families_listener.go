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
	sources := func(name string, k kind, help string, write func(x *exposition, s *SourcesReport, name string)) family {
		return listener(name, k, help, func(x *exposition, l *ListenerReport) {
			if l.Sources != nil {
				write(x, l.Sources, l.Name)
			}
		})
	}
	families := []family{
		listener("weir_listener_connections", gauge, "Client connections, or flows, under way.",
			func(x *exposition, l *ListenerReport) { x.int(l.Connections.Active, l.Name) }),
		listener("weir_listener_connections_max", gauge, "The listener's max_connections, or udp.max_flows; 0 is no limit.",
			func(x *exposition, l *ListenerReport) { x.int(l.Connections.Max, l.Name) }),
		listener("weir_listener_connections_total", counter, "Client connections accepted, or flows begun.",
			func(x *exposition, l *ListenerReport) { x.uint(l.Connections.Total, l.Name) }),
		bytesOf(listener("weir_listener_bytes_total", counter, "Payload bytes of the listener's clients.",
			func(x *exposition, l *ListenerReport) { x.bytes(&l.Bytes, l.Name) })),
		byReason("weir_listener_closed_total", "Client connections, or flows, that ended, each with exactly one reason; the reference of metrics lists them.",
			func(x *exposition, l *ListenerReport) {
				for reason := range l4.NumReasons {
					x.uint(l.Closed[reason.String()], l.Name, reason.String())
				}
			}),
		listener("weir_listener_refused_total", counter, "Client connections that ended without having reached an endpoint, other than by the client's own doing; those that were not let in among them. With UDP: flows that lost their last endpoint, and datagrams for which no flow could begin.",
			func(x *exposition, l *ListenerReport) { x.uint(l.Refused, l.Name) }),
		listener("weir_listener_accept_errors_total", counter, "Connections that failed before they were accepted. TCP only.",
			func(x *exposition, l *ListenerReport) { x.uint(l.AcceptErrors, l.Name) }),
		byReason("weir_listener_accept_pauses_total",
			"Times that accepting rested, TCP only. Reason `descriptors`: the process or the machine had none left; `max_connections`: the listener or the process stood at its limit.",
			func(x *exposition, l *ListenerReport) {
				x.uint(l.AcceptPauses.Descriptors, l.Name, "descriptors")
				x.uint(l.AcceptPauses.MaxConnections, l.Name, "max_connections")
			}),
		listener("weir_listener_duration_seconds", histogram, "How long client connections, or flows, lasted, counted when they end.",
			func(x *exposition, l *ListenerReport) { x.histogram(&l.Duration, l.Name) }),
		sources("weir_listener_sources", gauge, "Client addresses that are remembered, IPv6 ones by their /64. Only while there is, or was, a rule about sources.",
			func(x *exposition, s *SourcesReport, name string) { x.int(int64(s.Remembered), name) }),
		sources("weir_listener_sources_evicted_total", counter, "Client addresses that were forgotten before their rate allowed, for want of room. Only while there is, or was, a rule about sources.",
			func(x *exposition, s *SourcesReport, name string) { x.uint(s.Evicted, name) }),
	}
	return append(families, datagramFamilies()...)
}

// datagramFamilies are those that only UDP listeners have series of.
func datagramFamilies() []family {
	listener := func(name string, k kind, help, label string, write func(x *exposition, l *ListenerReport)) family {
		f := family{name: name, kind: k, help: help, labels: []string{labelListener}, write: func(x *exposition, r *Report) {
			for i := range r.Listeners {
				if l := &r.Listeners[i]; l.Batches != nil && l.Buffers != nil {
					write(x, l)
				}
			}
		}}
		if label != "" {
			f.labels = append(f.labels, label)
		}
		return f
	}
	return []family{
		listener("weir_listener_datagrams_total", counter, "Datagrams of the listener's clients that were sent on. UDP only.", labelDirection,
			func(x *exposition, l *ListenerReport) { x.datagrams(&l.Datagrams, l.Name) }),
		listener("weir_listener_datagrams_dropped_total", counter,
			"Datagrams of either direction that were not sent on, each with exactly one reason; the reference of metrics lists them. UDP only.", labelReason,
			func(x *exposition, l *ListenerReport) {
				for reason := range l4.NumDrops {
					x.uint(l.Dropped[reason.String()], l.Name, reason.String())
				}
			}),
		listener("weir_listener_received_batch_datagrams", histogram, "How many datagrams came with one system call. UDP only.", labelDirection,
			func(x *exposition, l *ListenerReport) { x.batches(&l.Batches.Received, l.Name) }),
		listener("weir_listener_sent_batch_datagrams", histogram, "How many datagrams went through the kernel as one. UDP only.", labelDirection,
			func(x *exposition, l *ListenerReport) { x.batches(&l.Batches.Sent, l.Name) }),
		listener("weir_listener_receive_buffer_bytes", gauge, "Receive buffer that the kernel gave each of the listener's sockets; 0 is unknown. UDP only.", "",
			func(x *exposition, l *ListenerReport) { x.int(int64(l.Buffers.Receive), l.Name) }),
		listener("weir_listener_send_buffer_bytes", gauge, "Send buffer that the kernel gave each of the listener's sockets; 0 is unknown. UDP only.", "",
			func(x *exposition, l *ListenerReport) { x.int(int64(l.Buffers.Send), l.Name) }),
	}
}

// datagrams writes the two series of counters of datagrams; first are the labels before the direction.
func (x *exposition) datagrams(d *Datagrams, first ...string) {
	var labels [3]string
	n := copy(labels[:2], first)
	labels[n] = toUpstream
	x.uint(d.ToUpstream, labels[:n+1]...)
	labels[n] = toDownstream
	x.uint(d.ToDownstream, labels[:n+1]...)
}

func (x *exposition) batches(b *BatchSizes, listener string) {
	x.sizes(&b.ToUpstream, listener, toUpstream)
	x.sizes(&b.ToDownstream, listener, toDownstream)
}
