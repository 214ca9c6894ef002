package config

import (
	"log/slog"
	"time"
)

// Process is what concerns the process as a whole: [process].
type Process struct {
	// Loops is the number of reactor loops; 0 is one for each CPU the process
	// may use.
	Loops int
	// Pin fixes each loop's thread to its CPU.
	Pin bool
	// MaxConnections bounds the sessions and flows of the process; 0 is derived
	// from RLIMIT_NOFILE.
	MaxConnections int64
	// DrainTimeout is how long sessions may finish after SIGTERM or a drain;
	// 0 closes them at once.
	DrainTimeout time.Duration
	LogLevel     slog.Level
	// LogFormat is "text" or "json".
	LogFormat string
}

// Admin is the administrative side: [admin].
type Admin struct {
	// Listen is a literal address and port ("127.0.0.1:9901", "[::]:9901"), a
	// Unix socket ("unix:/run/weir.sock"), or "" for none.
	Listen string
	// TokenFile holds the token that requests have to carry; "" asks for none.
	TokenFile string
	// ReadOnly refuses every request that would change something.
	ReadOnly bool
}

// maxPath is Linux's PATH_MAX without the zero at the end.
const maxPath = 4095

func processTable() table[Process] {
	return table[Process]{entries: []entry[Process]{
		key(integer[int](0, 1024), func(p *Process) *int { return &p.Loops }, doc{
			name: "loops", def: int64(0), example: "4",
			help: "Reactor loops; 0 is one for each CPU this process may use (affinity and cgroup quota counted). A change needs a restart."}),
		key(boolean(), func(p *Process) *bool { return &p.Pin }, doc{
			name: "pin", def: false, example: "true",
			help: "Pin each loop's thread to its CPU. A change needs a restart."}),
		key(integer[int64](0, maxCount), func(p *Process) *int64 { return &p.MaxConnections }, doc{
			name: "max_connections", def: int64(0), example: "100000",
			help: "Most connections and UDP flows at once; 0 is derived from RLIMIT_NOFILE: two descriptors a connection, one a flow."}),
		key(duration(0, 0), func(p *Process) *time.Duration { return &p.DrainTimeout }, doc{
			name: "drain_timeout", def: "30s", example: `"5m"`,
			help: `How long sessions may finish after SIGTERM or a drain; "0s" closes them at once.`}),
		key(level(), func(p *Process) *slog.Level { return &p.LogLevel }, doc{
			name: "log_level", def: "info", zeroIsDefault: true, example: `"debug"`,
			help: "The least severe messages that are logged."}),
		key(oneOf("text", "json"), func(p *Process) *string { return &p.LogFormat }, doc{
			name: "log_format", def: "text", zeroIsDefault: true, example: `"json"`,
			help: "How messages are written to standard error."}),
	}}
}

func adminTable() table[Admin] {
	return table[Admin]{
		entries: []entry[Admin]{
			key(adminAddress(), func(a *Admin) *string { return &a.Listen }, doc{
				name: "listen", def: "127.0.0.1:9901", example: `"unix:/run/weir.sock"`,
				help: `Where the administrative side listens: an IP address and port, "unix:" and a file, or "" for off.`}),
			key(plain(maxPath, nil), func(a *Admin) *string { return &a.TokenFile }, doc{
				name: "token_file", def: "", example: `"/etc/weir/token"`,
				help: "File with the token that requests have to carry; required when listen is neither a loopback address nor a Unix socket."}),
			key(boolean(), func(a *Admin) *bool { return &a.ReadOnly }, doc{
				name: "read_only", def: false, example: "true",
				help: "Refuse every request that would change something."}),
		},
		check: func(r *reader, at *keyPath, n *node, a *Admin) {
			bound, ok := parseAddress(a.Listen)
			if ok && !bound.Addr().IsLoopback() && a.TokenFile == "" {
				listen, token := n.child("listen"), n.child("token_file")
				if token != nil && token.scalar != "" {
					return // ill-typed, and said so
				}
				r.missing(at.key("listen"), listen, "%s can be reached from other machines, which needs token_file", a.Listen)
			}
		},
	}
}
