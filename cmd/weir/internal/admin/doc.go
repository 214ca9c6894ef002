// Package admin is the administrative side: an HTTP server that says how weir is doing.
//
//	/         what there is, as text
//	/live     200 while the process runs                             (never needs a token)
//	/ready    200 "ready", or 503 "starting" or "draining"           (never needs a token)
//	/stats    the numbers: JSON, or with ?format=text a page for people
//	/metrics  the numbers in the Prometheus text format
//
// GET and HEAD only. An error is one line of text that says what to do.
//
// Who may ask: a Unix socket is for its owner and group (mode 0660); an address that other machines reach has to have a token
// file; with one, on whatever it listens, requests have to carry "Authorization: Bearer TOKEN" (RFC 6750). Without a token a
// TCP listener answers only requests for an IP address or localhost: a web page whose name was pointed at 127.0.0.1 must not read
// what a browser's user could (DNS rebinding).
//
// Slow or many clients cost little: headers have 5 s and 16 KiB, an answer 30 s, and there are at most 64 connections at once;
// more wait in the kernel's queue.
//
// Nothing here waits for a loop, and no loop for it: it reads counters (package stats).
//
// Owner of its state: the Server. Its goroutines end with Close. Layer: cmd/weir, over stats.
package admin
