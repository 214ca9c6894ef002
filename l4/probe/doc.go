// Package probe asks endpoints whether they are well, and when: the I/O of active health checks. What a result means for an endpoint
// is decided elsewhere.
//
//	Options --New--> Check     one file each: tcp.go, udp.go, http.go, grpc.go
//	                   │
//	Runner ──Run───────┘       lb/health's Schedule, and at most so many checks at once
//	   └────Report──> whoever added the Target, who says when the next is due
//
//	         Add                 due, and a place is free
//	Target ──────> waiting ──────────────────────────────> checking
//	                 ^  │ Hurry: due now                     │  │
//	                 │  └─ Remove ──> gone <── Remove: cut ──┘  │
//	                 └───────────────── Report ─────────────────┘
//
// A check connects anew each time and leaves nothing behind. What it reads of an endpoint is bounded: by its timeout, and by 64 KiB.
// Its errors are texts for operators, such as "connection refused" or "status 503"; they don't repeat the address.
//
// It runs in ordinary goroutines and blocks there. Nothing here may be called on a loop: at the least it takes a lock.
//
// Owner of its state: a Check is immutable and may be shared by all endpoints that are asked alike. The Runner's state is behind its
// lock; a Target's fields belong to whoever made it until it is added, and are only read from then on.
//
// Layer: l4. Of weir it imports lb/health, for its Schedule.
package probe
