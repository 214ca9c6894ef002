// Package peers holds the configurations of the contenders that bench/measure
// compares, as templates with addresses to fill in.
//
// Each contender appears as it comes, and the peers also at their best for the
// workloads (NAME-best); every line that isn't a default says why it is there.
// UDP has files of its own (NAME-udp) where hardly a line is shared. What a file
// here says is printed with the results, so that a reader can judge whether the
// comparison was fair.
//
// It has no state. Layer: bench, imports nothing of weir.
package peers
