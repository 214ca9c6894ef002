//go:build race

package monitor

// many is how many endpoints a large cluster has: the race detector makes a build take ten times as long.
const many = 1000
