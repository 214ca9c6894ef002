//go:build !race

package tcp

// mailboxAllocates is how many times a Post may allocate: the node of its queue.
const mailboxAllocates = 1
