// Package demo is what `weir demo` balances over: tiny HTTP servers inside the process that say who they are, and the
// configuration that puts a listener before them.
//
// Owner of its state: the Backends; their goroutines end with Close. Layer: cmd/weir; it imports nothing else of weir.
package demo
