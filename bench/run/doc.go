// Command run compares weir with HAProxy, NGINX and Envoy, at their defaults and
// at their best, and with bare relays, by the machine time that a fixed amount
// of work costs; see bench/measure for the method and bench/README.md for how to
// read the result.
//
//	go run ./bench/run                                   # everything, five rounds
//	go run ./bench/run -quick                            # one round of everything, in minutes
//	go run ./bench/run -workloads rtt64,udp -contenders weir,nginx-best
//	go run ./bench/run -h
//
// It builds what it needs into bin/ of the module it is run in, unless the paths
// are given: the load generators, weir, and the relays. Peers are looked for in
// bin/peers, where scripts/bench-peers puts them, and then on the PATH; one that
// isn't there is left out, unless it was asked for by name.
//
// It leaves DIR/results.json, every sample with machine, versions and
// configurations, and DIR/report.html, drawn from it alone; both are written
// after each round, so that a run that is interrupted leaves what it has. The
// table goes to standard output, progress to standard error. It exits with 1 when
// it couldn't measure and when weir failed; that another contender failed is a
// result.
package main
