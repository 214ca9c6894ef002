package resolve

import "time"

// maxBackoff bounds the wait after failures: a name that is back should not have to wait for long.
const maxBackoff = 30 * time.Second

// jitter is the share of a wait by which it may be shorter, so that sources, and weirs that started together, don't ask together for ever.
const jitter = 0.1

// nextIn returns how long to wait for the next lookup: the answer's TTL within [refresh, most], or after failures in a row refresh, twice
// that, four times ... up to the least of most and maxBackoff. random, in [0, 1), makes it shorter by up to jitter, but not shorter than refresh.
func nextIn(ttl, refresh, most time.Duration, failures int, random float64) time.Duration {
	most = max(refresh, most)
	d := min(max(ttl, refresh), most)
	if failures > 0 {
		most = max(refresh, min(most, maxBackoff))
		d = refresh
		for range failures - 1 {
			if d >= most/2 {
				d = most
				break
			}
			d *= 2
		}
	}
	return max(refresh, d-time.Duration(float64(d)*jitter*random))
}
