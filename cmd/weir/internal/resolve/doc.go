// Package resolve discovers the endpoints of clusters: by DNS, or from a file that is watched.
//
//	source of a cluster, a goroutine:    look ──> keep ──> log ──> wait ──┐
//	                                      ^                               │  TTL, failures; other settings
//	                                      └───────────────────────────────┘
//	one goroutine for all:               endpoints are others ──> Found
//
// A file's endpoints are in the order of the file, which the policy first goes by; those of DNS, which has no order, by priority and address.
//
// It fails static: no answer, an answer that is none, no such name, a file that is gone or has errors, leave a cluster the endpoints that
// it has. A cluster's last endpoint goes only when a file says so.
//
// Of DNS, A and AAAA records are asked for at the same time, and each family is as its own last good answer says. "No such address" is a good answer
// only while the other family has one. In the mode srv the same goes for every target. Queries go by UDP with EDNS0 (RFC 6891), by TCP when truncated (RFC
// 7766), to each server in turn; servers, search domains and patience are those of resolv.conf(5), which is read again when it changes. With servers of the
// configuration, names are absolute. A name of the search list about which there is no answer ends the search: the next one could be
// somebody else's.
//
// The next lookup comes after the least TTL of the answer within [Refresh, MaxRefresh], or after a failure within Refresh, doubled with each
// up to 30 s. A file is looked at every second, and read once it has changed and then stopped changing.
//
// What comes from the network is bounded in size, number and time: 4,096 endpoints a cluster, 256 targets and 256 addresses of each family for
// each, 16 CNAMEs, a minute a lookup, 128 sockets in all.
//
// Owner of its state: what is known, the Resolver, under its mutex, which is not held while Found or the log is called; what only matters from one look
// to the next, the goroutine of the source. Nothing here runs on a loop. Layer: cmd/weir; it imports config alone.
package resolve
