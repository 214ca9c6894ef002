//go:build race

package access

// slower is how many times fewer rounds fit into a test under the race detector.
const slower = 20
