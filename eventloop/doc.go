// Package eventloop is weir's reactor: epoll, slots with generations, a timing wheel, a mailbox, leased pipes and buffers, batches of
// datagrams, and the socket calls of the data path. It knows no protocol.
//
// A Loop runs on one goroutine. A connection's descriptors, buffers, timers and peer belong to one loop for life. Everything
// else reaches a loop through Post or Do, or reads its Stats. In steady state a loop allocates nothing and takes no lock.
//
//	wait ──> deliver the batch ──> ready list, once ──> flush ──> timers ──> mailbox ──> close what was given up ──┐
//	 ^                                                                                                             │
//	 └─────────────────────────────────────────────────────────────────────────────────────────────────────────────┘
//
// A descriptor is registered once, edge-triggered, under a Handler and a number of the caller's. Its Token carries the slot's generation,
// so that an event of an ended registration finds nobody; close(2) and reuse of the slot wait for the end of the batch. A callback has
// a budget of its own choosing; with work left it calls Again and returns, and is called once more before the loop waits.
//
// How the loop waits is in epoll_linux.go: with a raw system call that keeps the Go scheduler's P while events come, with a blocking one after
// a tick of 2 ms without any. Many writes at a time are one system call where io_uring is to be had (ring_linux.go). Datagrams come in
// batches through an Inbox (datagram_linux.go) and leave gathered through an Outbox (outbox_linux.go). Linux only, kernel 4.5 or newer.
//
// Owner of its state: the loop, but for the mailbox, the stop flag and the counters. Layer: the lowest; it imports nothing of weir.
package eventloop
