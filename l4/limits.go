package l4

import "time"

// Limits are a cluster's circuit breaker. All of it counts for the whole process. The zero value is no limit, and nobody waits.
type Limits struct {
	MaxConnections int64         // to all endpoints together, being connected or established; 0 = no limit
	MaxPending     int64         // connections that may wait for a place; 0 = none
	PendingTimeout time.Duration // how long each may wait
	MaxRetries     int64         // connect attempts under way that aren't the first of their connection; 0 = no limit
	RetryBudget    float64       // the same as a share of Places.Active, see retriesAtLeast; 0 = no limit
}

// retriesAtLeast is how many retries a budget always has room for, Envoy's default min_retry_concurrency: a share of few connections is none.
const retriesAtLeast = 3

// retries returns the most retries at once with so many connections; 0 = no limit.
func (l *Limits) retries(active int64) int64 {
	most := l.MaxRetries
	if l.RetryBudget > 0 {
		budget := max(retriesAtLeast, int64(l.RetryBudget*float64(active)))
		if most == 0 || budget < most {
			return budget
		}
	}
	return most
}
