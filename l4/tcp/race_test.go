//go:build race

package tcp

// mailboxAllocates is how many times a Post may allocate: under the race detector a sync.Pool forgets some of what it has.
const mailboxAllocates = 3
