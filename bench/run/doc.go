// Command measure compares weir with HAProxy and NGINX, at their defaults and
// at their best, by the machine time that a fixed amount of work costs; see
// bench/measure for the method and bench/README.md for how to read the result.
//
//	measure -load bin/load -weir bin/weir [-contenders weir,haproxy,...]
//	        [-workloads rtt1,rtt64,rtt1000,bulk,conn,idle] [-rounds 5] [-quick]
//	        [-out FILE]
//
// scripts/measure builds what it needs and runs it. The table goes to standard
// output, progress to standard error. It exits with 1 when it couldn't measure,
// and when a contender lost data.
package main
