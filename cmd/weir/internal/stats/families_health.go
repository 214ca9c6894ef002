package stats

import (
	"time"

	"weir/l4"
)

// pressureFamilies are those of what the process may run short of, and of what all health checks together do.
func pressureFamilies() []family {
	entered := processFamily("weir_overload_entered_total", counter, "Times that a stage was entered from one below.",
		func(x *exposition, p *Process) {
			x.uint(p.Overload.Entered.Shorten, l4.StageShorten.String())
			x.uint(p.Overload.Entered.Shed, l4.StageShed.String())
			x.uint(p.Overload.Entered.Refuse, l4.StageRefuse.String())
		})
	entered.labels = []string{labelStage}
	return []family{
		processFamily("weir_overload_stage", gauge,
			"How short the process runs of descriptors or memory. 0: not at all; 1, `shorten`: idle timeouts are shorter; 2, `shed`: what has rested longest is ended; 3, `refuse`: nothing new is taken.",
			func(x *exposition, p *Process) { x.uint(uint64(p.Overload.stage)) }),
		entered,
		processFamily("weir_overload_descriptors_ratio", gauge, "Share of the descriptors that is taken; 0 is no limit.",
			func(x *exposition, p *Process) { x.float(p.Overload.Descriptors) }),
		processFamily("weir_overload_memory_ratio", gauge, "Share of the nearest limit on memory that is used; 0 is no limit.",
			func(x *exposition, p *Process) { x.float(p.Overload.Memory) }),
		processFamily("weir_overload_memory_bytes", gauge, "Memory that counts towards the nearest limit; 0 is no limit.",
			func(x *exposition, p *Process) { x.uint(p.Overload.MemoryUsed) }),
		processFamily("weir_overload_memory_limit_bytes", gauge, "The nearest limit on memory, the control group's or GOMEMLIMIT; 0 is none.",
			func(x *exposition, p *Process) { x.uint(p.Overload.MemoryLimit) }),
		processFamily("weir_check_targets", gauge, "Endpoints that are checked, once for each cluster.",
			func(x *exposition, p *Process) { x.int(int64(p.Checks.Targets)) }),
		processFamily("weir_checks_running", gauge, "Health checks under way.",
			func(x *exposition, p *Process) { x.int(int64(p.Checks.Running)) }),
		processFamily("weir_checks_total", counter, "Health checks that have ended.",
			func(x *exposition, p *Process) { x.uint(p.Checks.Done) }),
		processFamily("weir_checks_late_total", counter, "Health checks that began more than a second after they were due, for want of a place or of processor time.",
			func(x *exposition, p *Process) { x.uint(p.Checks.Late) }),
	}
}

// clusterHealthFamilies are those of what becomes of clusters whose endpoints fail.
func clusterHealthFamilies() []family {
	return []family{
		clusterFamily("weir_cluster_endpoints_in_use", gauge, "Endpoints of the cluster that new connections and flows go to.",
			func(x *exposition, c *ClusterReport) { x.int(int64(c.InUse), c.Name) }),
		clusterFamily("weir_cluster_endpoints_down", gauge, "Endpoints of the cluster that are down by their checks. Only of clusters with checks.",
			func(x *exposition, c *ClusterReport) {
				if c.checked() {
					x.int(int64(c.number((*EndpointReport).Down)), c.Name)
				}
			}),
		clusterFamily("weir_cluster_endpoints_ejected", gauge, "Endpoints of the cluster that are ejected now, because they failed real traffic.",
			func(x *exposition, c *ClusterReport) { x.int(int64(c.number((*EndpointReport).Ejected)), c.Name) }),
		clusterFamily("weir_cluster_panic", gauge, "1 while too few endpoints of the cluster are healthy, so that unhealthy ones are used as well.",
			func(x *exposition, c *ClusterReport) { x.bool(c.Panic, c.Name) }),
	}
}

// limitFamilies are those of clusters' circuit breakers.
func limitFamilies() []family {
	limit := func(name, help string, of func(l *LimitsReport) int64) family {
		return clusterFamily(name, gauge, help, func(x *exposition, c *ClusterReport) { x.int(of(&c.Limits), c.Name) })
	}
	count := func(name, help string, of func(c *ClusterReport) uint64) family {
		return clusterFamily(name, counter, help, func(x *exposition, c *ClusterReport) { x.uint(of(c), c.Name) })
	}
	return []family{
		limit("weir_cluster_connections", "Connections to the cluster under way, those being connected included, and flows.",
			func(l *LimitsReport) int64 { return l.Connections }),
		limit("weir_cluster_connections_max", "The cluster's limits.max_connections; 0 is no limit.", func(l *LimitsReport) int64 { return l.MaxConnections }),
		limit("weir_cluster_pending", "Connections that wait for a place of the cluster. TCP only.", func(l *LimitsReport) int64 { return l.Pending }),
		limit("weir_cluster_pending_max", "The cluster's limits.max_pending; 0 lets none wait.", func(l *LimitsReport) int64 { return l.MaxPending }),
		limit("weir_cluster_retrying", "Connect attempts under way after the first one of a connection. TCP only.", func(l *LimitsReport) int64 { return l.Retrying }),
		limit("weir_cluster_retries_max", "The cluster's limits.max_retries; 0 is no limit.", func(l *LimitsReport) int64 { return l.MaxRetries }),
		clusterFamily("weir_cluster_retry_budget_ratio", gauge, "The cluster's limits.retry_budget, a share of its connections; 0 is no limit.",
			func(x *exposition, c *ClusterReport) { x.float(c.Limits.RetryBudget, c.Name) }),
		count("weir_cluster_retries_total", "Connect attempts after the first one of a connection. TCP only.", func(c *ClusterReport) uint64 { return c.Retries }),
		count("weir_cluster_retries_refused_total", "Connections that ended because limits.max_retries or retry_budget left no other attempt. TCP only.",
			func(c *ClusterReport) uint64 { return c.RetriesRefused }),
		count("weir_cluster_waited_total", "Connections that had to wait for a place of the cluster. TCP only.", func(c *ClusterReport) uint64 { return c.Waited }),
		clusterFamily("weir_cluster_wait_seconds", histogram, "How long connections waited that got a place of the cluster. TCP only, and only of clusters where one has.",
			func(x *exposition, c *ClusterReport) {
				if c.WaitTime != nil {
					x.histogram(c.WaitTime, c.Name)
				}
			}),
	}
}

// discoveryFamilies are those of clusters whose endpoints are discovered.
func discoveryFamilies() []family {
	discovery := func(name string, k kind, help string, write func(x *exposition, d *DiscoveryReport, cluster string)) family {
		return clusterFamily(name, k, help, func(x *exposition, c *ClusterReport) {
			if c.Discovery != nil {
				write(x, c.Discovery, c.Name)
			}
		})
	}
	return []family{
		discovery("weir_cluster_discovery_ok", gauge, "1 if the last look for the cluster's endpoints was well, 0 if it failed, in whole or in part. Only where they are discovered.",
			func(x *exposition, d *DiscoveryReport, cluster string) { x.bool(d.LastError == "", cluster) }),
		discovery("weir_cluster_discovery_endpoints", gauge, "Endpoints of the last good answer.",
			func(x *exposition, d *DiscoveryReport, cluster string) { x.int(int64(d.Endpoints), cluster) }),
		discovery("weir_cluster_discovery_answered_timestamp_seconds", gauge, "When there was the last good answer, in seconds since 1970; 0 is never.",
			func(x *exposition, d *DiscoveryReport, cluster string) { x.float(unixSeconds(d.Answered), cluster) }),
		discovery("weir_cluster_discovery_next_timestamp_seconds", gauge, "When the next look is due, in seconds since 1970; 0 is unknown.",
			func(x *exposition, d *DiscoveryReport, cluster string) { x.float(unixSeconds(d.Next), cluster) }),
		discovery("weir_cluster_discovery_ttl_seconds", gauge, "How long the last answer was said to be good for.",
			func(x *exposition, d *DiscoveryReport, cluster string) { x.float(d.TTL, cluster) }),
		discovery("weir_cluster_discovery_queries_total", counter, "Looks for the cluster's endpoints.",
			func(x *exposition, d *DiscoveryReport, cluster string) { x.uint(d.Queries, cluster) }),
		discovery("weir_cluster_discovery_failures_total", counter, "Looks that failed, in whole or in part.",
			func(x *exposition, d *DiscoveryReport, cluster string) { x.uint(d.Failures, cluster) }),
	}
}

// endpointHealthFamilies are those of what checks and traffic make of endpoints. Where there are no checks, or nobody was ever ejected, they have no series.
func endpointHealthFamilies() []family {
	checked := func(name string, k kind, help string, write func(x *exposition, c *CheckReport, cluster, address string)) family {
		return endpointFamily(name, k, help, func(x *exposition, e *EndpointReport, cluster, address string) {
			if e.Check != nil {
				write(x, e.Check, cluster, address)
			}
		})
	}
	// own is of what endpoints that track others have nothing of.
	own := func(name string, k kind, help string, write func(x *exposition, c *CheckReport, cluster, address string)) family {
		return checked(name, k, help, func(x *exposition, c *CheckReport, cluster, address string) {
			if c.Checks > 0 || c.At.IsZero() {
				write(x, c, cluster, address)
			}
		})
	}
	transitions := checked("weir_endpoint_transitions_total", counter, "Times that the endpoint went down by its checks, or came up again. Only of endpoints that are checked.",
		func(x *exposition, c *CheckReport, cluster, address string) {
			x.uint(c.Ups, cluster, address, "up")
			x.uint(c.Downs, cluster, address, "down")
		})
	transitions.labels = append(transitions.labels, labelTo)
	return []family{
		checked("weir_endpoint_check_up", gauge, "1 if the endpoint is up by its checks, 0 if it is down; nothing as long as they have not said.",
			func(x *exposition, c *CheckReport, cluster, address string) {
				if c.State != "unknown" {
					x.bool(c.State == "up", cluster, address)
				}
			}),
		checked("weir_endpoint_check_timestamp_seconds", gauge, "When the last check of the endpoint ended, in seconds since 1970; 0 is never. Only of endpoints that are checked.",
			func(x *exposition, c *CheckReport, cluster, address string) {
				x.float(unixSeconds(c.At), cluster, address)
			}),
		checked("weir_endpoint_check_seconds", gauge, "How long the last check of the endpoint took. Only of endpoints that are checked.",
			func(x *exposition, c *CheckReport, cluster, address string) { x.float(c.Took, cluster, address) }),
		own("weir_endpoint_checks_total", counter, "Checks of the endpoint. Only of endpoints that are checked, and don't track others.",
			func(x *exposition, c *CheckReport, cluster, address string) { x.uint(c.Checks, cluster, address) }),
		own("weir_endpoint_checks_failed_total", counter, "Checks of the endpoint that failed. Only of endpoints that are checked, and don't track others.",
			func(x *exposition, c *CheckReport, cluster, address string) { x.uint(c.Failed, cluster, address) }),
		transitions,
		endpointFamily("weir_endpoint_slow_start_ratio", gauge, "The part of its weight that the endpoint gets in its slow start. Only while that lasts.",
			func(x *exposition, e *EndpointReport, cluster, address string) {
				if e.WeightPercent > 0 {
					x.float(float64(e.WeightPercent)/100, cluster, address)
				}
			}),
		endpointFamily("weir_endpoint_failures_in_a_row", gauge, "Connections that the endpoint has failed since the last one that was well. Only of endpoints that have failed one.",
			func(x *exposition, e *EndpointReport, cluster, address string) {
				if e.FailuresInARow > 0 {
					x.int(int64(e.FailuresInARow), cluster, address)
				}
			}),
		ejections("weir_endpoint_ejected", gauge, "1 while the endpoint is ejected because it failed real traffic. Only of clusters of which an endpoint ever was.",
			func(x *exposition, e *EndpointReport, cluster, address string) { x.bool(e.Ejected(), cluster, address) }),
		ejections("weir_endpoint_ejections_total", counter, "Times that the endpoint was ejected. Only of clusters of which an endpoint ever was.",
			func(x *exposition, e *EndpointReport, cluster, address string) {
				var n uint64
				if e.Outlier != nil {
					n = e.Outlier.Ejections
				}
				x.uint(n, cluster, address)
			}),
	}
}

// ejections is a family of all endpoints of the clusters of which one was ever ejected: that the others have a 0 is so that their first ejection is seen as
// growth.
func ejections(name string, k kind, help string, write func(x *exposition, e *EndpointReport, cluster, address string)) family {
	return family{name: name, kind: k, help: help, labels: []string{labelCluster, labelEndpoint}, write: func(x *exposition, r *Report) {
		for i := range r.Clusters {
			c := &r.Clusters[i]
			if c.number(func(e *EndpointReport) bool { return e.Outlier != nil }) == 0 {
				continue
			}
			for j := range c.Endpoints {
				write(x, &c.Endpoints[j], c.Name, c.Endpoints[j].name)
			}
		}
	}}
}

// checked reports whether an endpoint is checked.
func (c *ClusterReport) checked() bool {
	for i := range c.Endpoints {
		if c.Endpoints[i].Check != nil {
			return true
		}
	}
	return false
}

// unixSeconds is a time as a metric.
func unixSeconds(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMilli()) / 1000
}
