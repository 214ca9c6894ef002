// Command weir balances TCP connections over the endpoints of clusters.
//
//	weir run -c weir.toml     run a configuration; SIGHUP reads it again, SIGTERM drains and ends
//	weir check -c weir.toml   say what is wrong with a configuration
//	weir demo                 run a built-in example with three backends of its own
//	weir version              say which build this is
//
// Exit codes: 0 after a drain or a clean check, 1 for what fails at run time (and for a second signal, which ends the
// sessions that are left), 2 for a wrong command line or configuration.
//
// Layer: the top. main owns the process: signals, exit codes, the logger. What runs is owned by internal/control.
package main
