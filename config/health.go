package config

import (
	"net/netip"
	"time"
)

// OnDown is what becomes of the sessions and flows of an endpoint that goes down.
type OnDown string

// The values of OnDown. OnDownDefault is Close for UDP flows and Keep for TCP
// sessions.
const (
	OnDownDefault OnDown = ""
	Keep          OnDown = "keep"
	Close         OnDown = "close"
)

// HealthType is how endpoints are checked.
type HealthType string

// The types of checks. HealthOff checks nothing; it is that of a cluster that
// tracks another as well.
const (
	HealthOff  HealthType = ""
	HealthTCP  HealthType = "tcp"
	HealthHTTP HealthType = "http"
	HealthGRPC HealthType = "grpc" // grpc.health.v1.Health
	HealthUDP  HealthType = "udp"
)

// Health is how endpoints are checked, and what is made of those that go down:
// clusters.NAME.health. Keys of other types than Type have their defaults.
type Health struct {
	Type HealthType
	// Interval is the time between two checks of an endpoint, FastInterval that
	// while its state is changing, never longer, and Timeout how long a check may
	// take; each 10ms or more.
	Interval, FastInterval, Timeout time.Duration
	// Rise and Fall are how many checks in a row bring an endpoint up and down,
	// 1 to 100.
	Rise, Fall int
	// Port is asked instead of the endpoint's; 0 is the endpoint's.
	Port uint16
	// Address is asked instead of the endpoint's; the zero Addr is the endpoint's.
	Address netip.Addr
	// Track is the cluster whose endpoints' results are taken instead of checking;
	// "" is none. That cluster has checks of its own.
	Track string
	// Send is the bytes that a tcp or udp check sends; "" is none, with udp an
	// empty datagram.
	Send string
	// Expect is what the answer to a tcp or udp check begins with, or "~" and a
	// regular expression (package regexp) that is found in it; "" waits for none.
	Expect string
	// Method, Host and Path are those of an http check's request, and Host that
	// of grpc; "" is TLS.ServerName, or the address asked.
	Method, Host, Path string
	// ExpectStatus is the statuses of an http answer that are well; at least one.
	ExpectStatus []StatusRange
	// ExpectBody is what the body of an http answer has to be, as Expect is.
	ExpectBody string
	// Service is the one a grpc check asks for; "" is the server as a whole.
	Service string
	TLS     HealthTLS
	OnDown  OnDown
}

// StatusRange is HTTP statuses of From to To, both in.
type StatusRange struct{ From, To int }

// HealthTLS is the TLS of a check: clusters.NAME.health.tls.
type HealthTLS struct {
	// On says that the table is there, and the check speaks TLS.
	On bool
	// ServerName is asked for (SNI) and verified; "" is Health.Host, or the
	// address asked.
	ServerName string
	// CA is the file of the certificates that servers are verified by, PEM; ""
	// is the system's. Cert and Key are the files of the client's certificate,
	// both or neither.
	CA, Cert, Key string
	// Verify has the server's certificate verified.
	Verify bool
}

const (
	minCheck = 10 * time.Millisecond
	maxTimes = 100  // of rise and fall
	maxProbe = 4096 // bytes of send and expect
)

func healthTable() table[Health] {
	return table[Health]{entries: []entry[Health]{
		key(oneOf(HealthTCP, HealthHTTP, HealthGRPC, HealthUDP), func(h *Health) *HealthType { return &h.Type }, doc{
			name: "type", def: string(HealthTCP), zeroIsDefault: true, example: `"http"`,
			help: "tcp connects, and sends and expects what is said; http sends a request; grpc asks grpc.health.v1; udp sends a datagram."}),
		key(duration(minCheck, maxDuration), func(h *Health) *time.Duration { return &h.Interval }, doc{
			name: "interval", def: "2s", zeroIsDefault: true, example: `"5s"`,
			help: "Time between two checks of an endpoint, with some jitter, at least 10ms."}),
		key(duration(minCheck, maxDuration), func(h *Health) *time.Duration { return &h.FastInterval }, doc{
			name: "fast_interval", def: "500ms", zeroIsDefault: true, example: `"100ms"`,
			help: "The same while an endpoint's state is changing, at least 10ms and at most interval, which is the default where it is shorter."}),
		key(duration(minCheck, maxDuration), func(h *Health) *time.Duration { return &h.Timeout }, doc{
			name: "timeout", def: "1s", zeroIsDefault: true, example: `"300ms"`,
			help: "How long a check may take as a whole, at least 10ms."}),
		key(integer[int](0, maxTimes), func(h *Health) *int { return &h.Rise }, doc{
			name: "rise", def: int64(2), zeroIsDefault: true, example: "3",
			help: "Checks in a row that bring an endpoint up, 1 to 100."}),
		key(integer[int](0, maxTimes), func(h *Health) *int { return &h.Fall }, doc{
			name: "fall", def: int64(3), zeroIsDefault: true, example: "2",
			help: "Checks in a row that take an endpoint down, 1 to 100."}),
		key(integer[uint16](0, 65535), func(h *Health) *uint16 { return &h.Port }, doc{
			name: "port", def: int64(0), example: "8081",
			help: "Port that is checked; 0 is the endpoint's."}),
		key(hostAddress(), func(h *Health) *netip.Addr { return &h.Address }, doc{
			name: "address", def: "", example: `"10.0.0.9"`,
			help: `IP address of the host that is checked, for all endpoints; "" is the endpoint's own.`}),
		key(plain(maxName, nil), func(h *Health) *string { return &h.Track }, doc{
			name: "track", def: "", example: `"inside"`,
			help: "Cluster whose endpoints' results are taken instead of checking; nothing but on_down goes with it."}),
		key(escaped(), func(h *Health) *string { return &h.Send }, doc{
			name: "send", def: "", example: `"PING\r\n"`,
			help: `tcp, udp: what is sent, with the escapes \r, \n, \t, \0, \\ and \xHH also in '...'; "" is nothing, with udp an empty datagram.`}),
		key(expected(), func(h *Health) *string { return &h.Expect }, doc{
			name: "expect", def: "", example: `"+PONG"`,
			help: `tcp, udp: what the answer begins with, with the escapes of send, or "~" and a regular expression (Go's, of UTF-8 text) that is found in it; "" waits for none.`}),
		key(method(), func(h *Health) *string { return &h.Method }, doc{
			name: "method", def: "GET", zeroIsDefault: true, example: `"HEAD"`,
			help: "http: the request's method."}),
		key(requestHost(), func(h *Health) *string { return &h.Host }, doc{
			name: "host", def: "", example: `"web.internal"`,
			help: `http, grpc: the request's Host (:authority); "" is tls.server_name, or the address that is checked.`}),
		key(requestPath(), func(h *Health) *string { return &h.Path }, doc{
			name: "path", def: "/healthz", zeroIsDefault: true, example: `"/ready?full=1"`,
			help: "http: the request's path, with its query."}),
		key(statuses(), func(h *Health) *[]StatusRange { return &h.ExpectStatus }, doc{
			name: "expect_status", def: "200-299", zeroIsDefault: true, example: `["200-299", 404]`,
			help: "http: the statuses that are well, one or a list of them."}),
		key(expected(), func(h *Health) *string { return &h.ExpectBody }, doc{
			name: "expect_body", def: "", example: `"~^(ok|ready)"`,
			help: `http: what the body begins with, or "~" and a regular expression, as in expect; "" takes any.`}),
		key(plain(maxServerName, nil), func(h *Health) *string { return &h.Service }, doc{
			name: "service", def: "", example: `"shop.Cart"`,
			help: `grpc: the service that is asked for; "" is the server as a whole.`}),
		key(healthTLSTable().optional(), func(h *Health) *HealthTLS { return &h.TLS }, doc{
			name: "tls", example: `{ server_name = "web.internal" }`,
			help: "tcp, http, grpc: checks speak TLS. The table is enough, with or without keys."}),
		key(oneOf(Keep, Close), func(h *Health) *OnDown { return &h.OnDown }, doc{
			name: "on_down", def: "", example: `"keep"`,
			help: `What becomes of the TCP sessions and UDP flows of an endpoint that goes down: keep leaves them where they are; close closes the sessions, and moves a flow to another endpoint with its next datagram. "" is keep for TCP and close for UDP, where an endpoint that refuses a flow (ICMP port unreachable) is down for it as well. Ejections by outlier leave sessions and flows alone.`}),
	}}
}

func healthTLSTable() table[HealthTLS] {
	return table[HealthTLS]{
		on: func(t *HealthTLS) *bool { return &t.On },
		entries: []entry[HealthTLS]{
			key(verifiedName(), func(t *HealthTLS) *string { return &t.ServerName }, doc{
				name: "server_name", def: "", example: `"web.internal"`,
				help: `Name that is asked for (SNI) and that the certificate has to be for; "" is host, or the address that is checked.`}),
			key(plain(maxPath, nil), func(t *HealthTLS) *string { return &t.CA }, doc{
				name: "ca", def: "", example: `"ca.pem"`,
				help: `File of the certificates by which the endpoint's is verified, PEM; "" is those of the system.`}),
			key(plain(maxPath, nil), func(t *HealthTLS) *string { return &t.Cert }, doc{
				name: "cert", def: "", example: `"client.pem"`,
				help: "File of the certificate to present, PEM; needs key."}),
			key(plain(maxPath, nil), func(t *HealthTLS) *string { return &t.Key }, doc{
				name: "key", def: "", example: `"client.key"`,
				help: "File of its private key, PEM; needs cert."}),
			key(boolean(), func(t *HealthTLS) *bool { return &t.Verify }, doc{
				name: "verify", def: true, example: "false",
				help: "Verify the endpoint's certificate."}),
		},
		check: checkHealthTLS,
	}
}
