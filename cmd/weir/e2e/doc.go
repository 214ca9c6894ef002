// Package e2e drives real programs through weir: what people put behind a balancer and in front of it has to work as if it
// were not there. It holds tests and nothing else.
//
//	program of a client --> weir run -c FILE --> program of a server      all on 127.0.0.1, all started by the test
//
// The tests build weir once, with the race detector if they have it themselves, and see of it what anybody sees: its command line, its
// log, its signals and exit code, and /stats. Each ends its weir with SIGTERM and wants exit code 0.
//
//	go test ./cmd/weir/e2e                           skips tests whose programs aren't installed, and says which
//	WEIR_TEST_REAL=1 go test ./cmd/weir/e2e          fails them instead
//	go test ./cmd/weir/e2e -run TestIdleMemory -v    prints what an idle session costs
//	WEIR_SOAK=10m go test ./cmd/weir/e2e -run Chaos  breaks backends for so long, as make soak does
//
// The programs are redis-server, redis-cli and redis-benchmark; PostgreSQL's server (15 or later), psql and pgbench; git with its daemon; nginx, curl,
// sha256sum and ab; python3 with the websockets module. Over UDP they are dnsmasq, unbound, dnsperf and dig; SIPp; iperf3; logger and
// rsyslogd; chronyd; and bench/cmd/load. QUIC (quic-go) and WireGuard (wireguard-go, with a network stack of its own) have their ends in the
// test's process; a gRPC server with its health service (grpc-go) and the backends that break at random are the test's program again. TestIdleMemory needs 18,000 file descriptors.
//
// Owner of its state: each test owns its programs and its temporary directory; all end with it. Layer: the top, beside main.
package e2e
