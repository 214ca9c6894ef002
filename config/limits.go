package config

import "time"

// Outlier takes endpoints out of use by what real traffic says of them:
// clusters.NAME.outlier.
type Outlier struct {
	// On says that the table is there.
	On bool
	// ConsecutiveFailures in a row eject an endpoint; 0 does not.
	ConsecutiveFailures int
	// SuccessRateStdev ejects an endpoint whose rate of successes is so many
	// standard deviations below the cluster's mean; 0 does not.
	SuccessRateStdev float64
	// Interval is the time between two looks at the rates of success.
	Interval time.Duration
	// Ejection is how long an endpoint is out the first time. It is multiplied by
	// the times it was ejected, up to MaxEjection.
	Ejection, MaxEjection time.Duration
	// MaxEjected is the largest share of the endpoints ejected at once, 0 to 1,
	// rounded down, but one of two or more in any case.
	MaxEjected float64
}

// Limits is the most a cluster takes, counted for the whole process:
// clusters.NAME.limits.
type Limits struct {
	// MaxConnections is how many at once; 0 is no limit.
	MaxConnections int64
	// MaxPending is how many connections wait for a place at an endpoint; 0 lets
	// none wait.
	MaxPending int64
	// PendingTimeout is how long one waits at most.
	PendingTimeout time.Duration
	// MaxRetries is how many attempts after a first are under way at once; 0 is
	// no limit.
	MaxRetries int64
	// RetryBudget is MaxRetries as a share of the connections under way, 0 to 1;
	// 0 is no such limit.
	RetryBudget float64
}

// maxDuration bounds times that are multiplied or added to others.
const maxDuration = 30 * 24 * time.Hour

func outlierTable() table[Outlier] {
	return table[Outlier]{
		on: func(o *Outlier) *bool { return &o.On },
		entries: []entry[Outlier]{
			key(integer[int](0, maxCount), func(o *Outlier) *int { return &o.ConsecutiveFailures }, doc{
				name: "consecutive_failures", def: int64(5), example: "3",
				help: "Failures in a row that eject an endpoint; 0 is off."}),
			key(number(0, 100, 1.9), func(o *Outlier) *float64 { return &o.SuccessRateStdev }, doc{
				name: "success_rate_stdev", def: 1.9, example: "2.5",
				help: "An endpoint is ejected when its rate of successes is so many standard deviations below the cluster's mean; 0 is off."}),
			key(duration(10*time.Millisecond, maxDuration), func(o *Outlier) *time.Duration { return &o.Interval }, doc{
				name: "interval", def: "10s", zeroIsDefault: true, example: `"5s"`,
				help: "Time between two looks at the rates of success, at least 10ms."}),
			key(duration(10*time.Millisecond, maxDuration), func(o *Outlier) *time.Duration { return &o.Ejection }, doc{
				name: "ejection", def: "30s", zeroIsDefault: true, example: `"10s"`,
				help: "How long an endpoint is out, times how often it was ejected; health checks that pass can end it early."}),
			key(duration(10*time.Millisecond, maxDuration), func(o *Outlier) *time.Duration { return &o.MaxEjection }, doc{
				name: "max_ejection", def: "300s", zeroIsDefault: true, example: `"10m"`,
				help: "The longest an endpoint is out; at least ejection, which is the default where it is longer."}),
			key(number(0, 1, 0.1), func(o *Outlier) *float64 { return &o.MaxEjected }, doc{
				name: "max_ejected", def: 0.1, example: "0.5",
				help: "Largest share of the endpoints that is ejected at once, 0 to 1; rounded down, but one of two or more in any case."}),
		},
		check: checkOutlier,
	}
}

func limitsTable() table[Limits] {
	return table[Limits]{entries: []entry[Limits]{
		key(integer[int64](0, maxCount), func(l *Limits) *int64 { return &l.MaxConnections }, doc{
			name: "max_connections", def: int64(0), example: "10000",
			help: "Most connections to the cluster at once, or UDP flows; 0 is no limit. One that is refused is counted and logged with its reason."}),
		key(integer[int64](0, maxCount), func(l *Limits) *int64 { return &l.MaxPending }, doc{
			name: "max_pending", def: int64(0), example: "1000",
			help: "Most TCP connections that wait for a place when all endpoints, or the cluster, have their max_connections; 0 lets none wait: they are refused."}),
		key(duration(time.Millisecond, maxDuration), func(l *Limits) *time.Duration { return &l.PendingTimeout }, doc{
			name: "pending_timeout", def: "1s", zeroIsDefault: true, example: `"500ms"`,
			help: "How long a connection waits for a place, at least 1ms."}),
		key(integer[int64](0, maxCount), func(l *Limits) *int64 { return &l.MaxRetries }, doc{
			name: "max_retries", def: int64(0), example: "100",
			help: "Most retries under way at once, a retry being an attempt to connect after one that failed; 0 is no limit."}),
		key(number(0, 1, 0.2), func(l *Limits) *float64 { return &l.RetryBudget }, doc{
			name: "retry_budget", def: 0.0, example: "0.2",
			help: "The same limit as a share of the connections under way, 0 to 1; 0 is off."}),
	}}
}

func checkOutlier(r *reader, at *keyPath, n *node, o *Outlier) {
	r.checkOrder(at, n, bound{"max_ejection", &o.MaxEjection}, bound{"ejection", &o.Ejection}, false)
}
