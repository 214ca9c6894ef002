// Command load runs one load generator, or the backend, of bench/load as a
// process of its own, single-threaded.
//
//	load backend [-host 127.0.0.1]
//	load rtt  -addr A [-conns 64] [-size 64] [-n 100000]
//	load bulk -addr A [-conns 4] [-bytes 1073741824] [-up | -both]
//	load conn -addr A [-conns 64] [-n 10000] [-sources 8]
//	load idle -addr A [-conns 1000]
//	load open -addr A [-rate 1000] [-duration 2s | -n N] [-conns 64] [-size 64]
//	load mix  -addr A [-bytes 1073741824] [-bulk-conns 2] [-conns 16] [-rate 2000] [-size 64]
//
//	load udprtt   -addr A [-conns 64] [-reuse 0] [-size 64] [-n 100000]
//	load udpflood -addr A [-flows 8] [-window 32] [-size 64] [-n 100000] [-reorder 0]
//	load udpbulk  -addr A [-flows 1] [-size 1200] [-segments 40] [-window 2] [-bytes 1073741824] [-reorder 0]
//	load dns      -addr A [-conns 64] [-reuse 1] [-n 100000]
//	load udpopen  -addr A [-rate 1000] [-duration 2s | -n N] [-conns 64] [-size 64] [-reorder 0]
//	load udpidle  -addr A [-conns 1000]
//
// The last six speak UDP; they have -timeout 1s (after which a datagram is lost)
// and all but udpidle -loss 0 (the share that may be), and print what was lost
// and overtaken in "lost" and "reordered". open, udpopen and mix print
// "latency_us" and its "curve"; mix prints the bytes of bulk as "units", and the
// "messages" beside.
//
// backend prints one line of JSON with the addresses of its services and serves
// until its standard input ends. A generator prints one line of JSON, a
// load.Result, and exits with 0; when data was lost or altered, or nothing came
// for -stall, the line has an error and the exit code is 1. A wrong command
// line is 2.
//
// With -gate a generator prints "ready" when its connections stand, starts when
// it reads a line, prints the result and keeps its connections until standard
// input ends: what is measured lies between the line and the result. idle and
// udpidle always do so, without a line: they hold what they opened until the input
// ends, and then look whether it still works.
//
// The collector is off: nothing is allocated while the work is done.
package main
