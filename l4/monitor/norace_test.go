//go:build !race

package monitor

// many is how many endpoints a large cluster has.
const many = 10_000
