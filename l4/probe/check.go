package probe

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// Check asks one endpoint whether it is well. It is immutable and safe for concurrent use.
type Check interface {
	// Run returns nil when the endpoint at the address is well, else why not, as text for people. It returns by the end of the
	// check's timeout, or sooner if the context ends. errors.Is(err, ErrHere) tells what says nothing about the endpoint.
	Run(ctx context.Context, at netip.AddrPort) error
}

// Type is what a Check speaks.
type Type uint8

// The types of checks.
const (
	TCP  Type = iota // connects, and may send and expect bytes
	HTTP             // a request whose status, and perhaps body, is looked at
	GRPC             // grpc.health.v1.Health/Check
	UDP              // a datagram, and perhaps an answer
)

var typeNames = [...]string{TCP: "tcp", HTTP: "http", GRPC: "grpc", UDP: "udp"}

// String returns the type's name: "tcp", "http", "grpc" or "udp".
func (t Type) String() string {
	if int(t) < len(typeNames) {
		return typeNames[t]
	}
	return fmt.Sprintf("Type(%d)", uint8(t))
}

// ParseType returns the type with that name.
func ParseType(name string) (Type, error) {
	for t, n := range typeNames {
		if n == name {
			return Type(t), nil
		}
	}
	return 0, fmt.Errorf("type %q: it is one of tcp, http, grpc, udp", name)
}

// Options say what a Check does. Zero values mean the defaults named here; what is of other types only is not looked at.
type Options struct {
	Type    Type
	Timeout time.Duration // of a whole check; 0 = 1s

	// tcp, udp.
	Send string // raw bytes sent after connecting; "" = none, for udp an empty datagram
	// Expect is a prefix (raw bytes) that the answer has to begin with, or "~" and a regular expression (RE2) that matches anywhere
	// in it. "" = nothing is waited for: with tcp, connecting is enough; with udp, that nobody says "unreachable" within 200ms, or
	// Timeout if that is less. So silence is well, then: only an Expect tells an endpoint that doesn't answer from one that does.
	// The answer of tcp is looked at as it comes, up to 64 KiB.
	Expect string

	// http.
	Method string // "" = GET
	// Host is the Host header, and with TLS the name that is asked for and verified if TLS has no ServerName. "" = that ServerName,
	// or the address. The check connects to the address in any case. For grpc it is the :authority.
	Host       string
	Path       string        // with its query, if any; "" = "/"
	Status     []StatusRange // that are well; empty = 200-299
	ExpectBody string        // like Expect, of the body: at most 64 KiB of it are looked at; "" = any, and none is waited for

	// grpc.
	Service string // that is asked after; "" = the server as a whole

	// TLS makes the check encrypted: http becomes https, grpc HTTP/2 over TLS, tcp sends and expects inside; udp has none. nil = plain.
	// It is cloned. Without a ServerName the certificate has to name Host, or else the address.
	TLS *tls.Config

	Source netip.Addr // address to connect from; invalid = the kernel's choice
}

// StatusRange is the statuses From to To, both included.
type StatusRange struct{ From, To int }

const (
	defaultTimeout = time.Second
	mostRead       = 64 << 10 // of an answer
	mostDatagram   = 65507    // bytes that fit into one (RFC 768, IPv4)
)

// New returns the check that the options describe, or an error that names the field that is wrong: "expect_body: ..." for ExpectBody.
func New(o Options) (Check, error) {
	if o.Timeout < 0 {
		return nil, errors.New("timeout: less than 0")
	}
	if o.Timeout == 0 {
		o.Timeout = defaultTimeout
	}
	if o.TLS != nil {
		o.TLS = o.TLS.Clone()
	}
	switch o.Type {
	case TCP:
		return newTCP(o)
	case HTTP:
		return newHTTP(o)
	case GRPC:
		return newGRPC(o)
	case UDP:
		return newUDP(o)
	}
	return nil, fmt.Errorf("type %v: unknown", o.Type)
}

// within bounds a check, and returns for how long: to be told in a timeout's text.
func within(ctx context.Context, timeout time.Duration) (context.Context, context.CancelFunc, time.Duration) {
	if at, ok := ctx.Deadline(); ok {
		if left := time.Until(at); left < timeout {
			// Who called set a deadline, most likely the same and microseconds ago: people needn't read 999.98ms.
			return ctx, func() {}, left.Round(timeout / 20)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	return ctx, cancel, timeout
}
