package stats

// clusterFamily is a family with a series, or none, for each cluster.
func clusterFamily(name string, k kind, help string, write func(x *exposition, c *ClusterReport)) family {
	return family{name: name, kind: k, help: help, labels: []string{labelCluster}, write: func(x *exposition, r *Report) {
		for i := range r.Clusters {
			write(x, &r.Clusters[i])
		}
	}}
}

func clusterFamilies() []family {
	refused := clusterFamily("weir_cluster_refused_total", counter,
		"Connections that got no endpoint, and times that a flow got none when datagrams of it came. Reason `no_endpoint`: none was in use; `endpoints_full`: all that were stood at their max_connections; `cluster_full`: the cluster stood at its limits.max_connections; `pending_full`: limits.max_pending waited already; `pending_timeout`: one waited limits.pending_timeout in vain.",
		func(x *exposition, c *ClusterReport) {
			x.uint(c.NoEndpoint, c.Name, "no_endpoint")
			x.uint(c.Full, c.Name, "endpoints_full")
			x.uint(c.ClusterFull, c.Name, "cluster_full")
			x.uint(c.PendingFull, c.Name, "pending_full")
			x.uint(c.PendingTimeout, c.Name, "pending_timeout")
		})
	refused.labels = append(refused.labels, labelReason)
	families := []family{
		clusterFamily("weir_cluster_endpoints", gauge, "Endpoints of the cluster.",
			func(x *exposition, c *ClusterReport) { x.int(int64(len(c.Endpoints)), c.Name) }),
		clusterFamily("weir_cluster_endpoints_ready", gauge, "Endpoints of the cluster that are meant to take new connections and flows: ready, with a weight above 0, whatever their health.",
			func(x *exposition, c *ClusterReport) { x.int(int64(c.ready()), c.Name) }),
	}
	families = append(families, clusterHealthFamilies()...)
	families = append(families, refused, clusterFamily("weir_cluster_connect_seconds", histogram, "How long successful connects to endpoints took. TCP only.",
		func(x *exposition, c *ClusterReport) { x.histogram(&c.ConnectTime, c.Name) }))
	families = append(families, limitFamilies()...)
	return append(families, discoveryFamilies()...)
}

// ready counts the endpoints that are meant to take new connections.
func (c *ClusterReport) ready() (n int) {
	for i := range c.Endpoints {
		if c.Endpoints[i].Usable() {
			n++
		}
	}
	return n
}

// endpointFamily is a family with a series, or none, for each endpoint of each cluster.
func endpointFamily(name string, k kind, help string, write func(x *exposition, e *EndpointReport, cluster, address string)) family {
	return family{name: name, kind: k, help: help, labels: []string{labelCluster, labelEndpoint}, write: func(x *exposition, r *Report) {
		for i := range r.Clusters {
			c := &r.Clusters[i]
			for j := range c.Endpoints {
				write(x, &c.Endpoints[j], c.Name, c.Endpoints[j].name)
			}
		}
	}}
}

func endpointFamilies() []family {
	count := func(name, help string, of func(e *EndpointReport) uint64) family {
		return endpointFamily(name, counter, help, func(x *exposition, e *EndpointReport, cluster, address string) { x.uint(of(e), cluster, address) })
	}
	failures := endpointFamily("weir_endpoint_connect_failures_total", counter,
		"Connects that failed. Reason `refused`: the endpoint refused; `timed_out`: it didn't answer in time; `other`: any other failure. With UDP: `refused` are ICMP messages that the port is unreachable, `other` all other ICMP errors and sockets that could not be connected.",
		func(x *exposition, e *EndpointReport, cluster, address string) {
			x.uint(e.ConnectFailures.Refused, cluster, address, "refused")
			x.uint(e.ConnectFailures.TimedOut, cluster, address, "timed_out")
			x.uint(e.ConnectFailures.Other, cluster, address, "other")
		})
	failures.labels = append(failures.labels, labelReason)
	datagrams := datagramsOf(endpointFamily("weir_endpoint_datagrams_total", counter, "Datagrams that were sent on to the endpoint, or from it to clients; only while there is a UDP listener.",
		func(x *exposition, e *EndpointReport, cluster, address string) {
			x.datagrams(&e.Datagrams, cluster, address)
		}))
	all := datagrams.write
	datagrams.write = func(x *exposition, r *Report) {
		if r.anyUDP() {
			all(x, r)
		}
	}
	families := []family{
		endpointFamily("weir_endpoint_ready", gauge, "1 if the endpoint is meant to take new connections and flows: ready, with a weight above 0, whatever its health.",
			func(x *exposition, e *EndpointReport, cluster, address string) { x.bool(e.Usable(), cluster, address) }),
		endpointFamily("weir_endpoint_in_use", gauge, "1 if new connections and flows go to the endpoint: it is ready, well as far as is known, and needed; or the cluster panics.",
			func(x *exposition, e *EndpointReport, cluster, address string) { x.bool(e.InUse, cluster, address) }),
		endpointFamily("weir_endpoint_weight", gauge, "The endpoint's share of new connections and flows, relative to the others.",
			func(x *exposition, e *EndpointReport, cluster, address string) {
				x.uint(uint64(e.Weight), cluster, address)
			}),
		endpointFamily("weir_endpoint_backup", gauge, "1 if the endpoint is used only when too few others are well.",
			func(x *exposition, e *EndpointReport, cluster, address string) { x.bool(e.Backup, cluster, address) }),
		endpointFamily("weir_endpoint_priority", gauge, "The endpoint's priority: lower ones are used first. Only of those above 0.",
			func(x *exposition, e *EndpointReport, cluster, address string) {
				if e.Priority > 0 {
					x.uint(uint64(e.Priority), cluster, address)
				}
			}),
		endpointFamily("weir_endpoint_connections", gauge, "Connections to the endpoint under way, those being connected included, and flows.",
			func(x *exposition, e *EndpointReport, cluster, address string) {
				x.int(e.Connections.Active, cluster, address)
			}),
		endpointFamily("weir_endpoint_connections_max", gauge, "The endpoint's max_connections; 0 is no limit.",
			func(x *exposition, e *EndpointReport, cluster, address string) {
				x.int(e.Connections.Max, cluster, address)
			}),
		count("weir_endpoint_connections_total", "Connections established to the endpoint, and flows begun or moved there.", func(e *EndpointReport) uint64 { return e.Connections.Total }),
		bytesOf(endpointFamily("weir_endpoint_bytes_total", counter, "Payload bytes to and from the endpoint.",
			func(x *exposition, e *EndpointReport, cluster, address string) { x.bytes(&e.Bytes, cluster, address) })),
		datagrams,
		count("weir_endpoint_connect_attempts_total", "Connects begun, and flows begun or moved there.", func(e *EndpointReport) uint64 { return e.Attempts }),
		failures,
		count("weir_endpoint_resets_total", "Connections that the endpoint reset. TCP only.", func(e *EndpointReport) uint64 { return e.Resets }),
		count("weir_endpoint_early_resets_total", "Connections that the endpoint reset before its first byte. TCP only.", func(e *EndpointReport) uint64 { return e.EarlyResets }),
	}
	return append(families, endpointHealthFamilies()...)
}
