// Package measure compares weir with its peers, and each with no proxy at all,
// by what a fixed amount of work costs the whole machine.
//
// Machines are small, shared and noisy, so no figure stands alone:
//
//   - The cost of a contender is the machine's busy time (/proc/stat: all but
//     idle, iowait and steal) over the work, less that of the same load run
//     directly against the backend in the same round. That counts the kernel's
//     work wherever it is done; on loopback the sender's context runs the
//     receiver's TCP, and a process's own CPU time, given beside it, misses it.
//   - Contenders take turns (A B C, C B A, ...), each cell with a fresh contender
//     and a fresh backend, each process in a session of its own, because the
//     kernel's autogroups share the processor between sessions.
//   - Direct is measured twice in every round. What differs by less than direct
//     differs from itself is no difference.
//   - A cell is thrown away and repeated when the hypervisor stole more than 1 %
//     of the time, or when processes that aren't ours took more than 2 % of it.
//   - All use the same congestion control, cubic: see [Isolate].
//   - A contender that loses or alters a byte fails; it has no speed.
//   - Latency comes from an open loop at half of what the slowest contender can
//     do, measured before the rounds; nothing is subtracted from a percentile.
//
// [Runner] does the rounds and yields a [Report]; [Summarize] makes medians and
// paired ratios of its samples; [WriteTable] prints them. Samples are kept whole
// in the JSON that [WriteJSON] writes, with machine, kernel, versions and
// configurations: the table can be drawn from it again.
//
// State: a Runner belongs to the goroutine that calls Run, and so do the
// processes it starts; it ends those and no others. Layer: bench, imports
// nothing of weir. Linux only.
package measure
