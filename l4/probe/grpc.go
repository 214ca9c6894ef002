package probe

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// grpcCheck calls grpc.health.v1.Health/Check
// (https://github.com/grpc/grpc/blob/master/doc/health-checking.md, PROTOCOL-HTTP2.md).
type grpcCheck struct {
	dialer  dialer
	timeout time.Duration
	host    string // "" = the address
	scheme  string
	http2   *http2Client
	ask     []byte // the framed request
}

func newGRPC(o Options) (Check, error) {
	if err := checkHost(o.Host); err != nil {
		return nil, err
	}
	if len(o.Service) > 1<<10 {
		return nil, errors.New("service: longer than 1024 bytes")
	}
	c := &grpcCheck{timeout: o.Timeout, host: o.Host, scheme: "http", http2: newHTTP2(), ask: grpcFrame(grpcRequest(o.Service))}
	if o.TLS != nil {
		c.scheme = "https"
		nameServer(&o)
		o.TLS.NextProtos = []string{"h2"}
		if c.host == "" {
			c.host = o.TLS.ServerName
		}
	}
	c.dialer = newDialer(&o)
	return c, nil
}

func (c *grpcCheck) Run(ctx context.Context, at netip.AddrPort) error {
	ctx, cancel, timeout := within(ctx, c.timeout)
	defer cancel()
	l, err := c.dialer.open(ctx, at, timeout)
	if err != nil {
		return err
	}
	if c.dialer.tls != nil && l.protocol() != "h2" {
		err = failure("TLS: the endpoint doesn't speak HTTP/2")
	} else {
		err = c.http2.ask(ctx, l, c.request(ctx, at), timeout, func(a *http.Response) error {
			return c.judge(ctx, a, timeout)
		})
	}
	l.leave(err != nil)
	return err
}

func (c *grpcCheck) request(ctx context.Context, at netip.AddrPort) *http.Request {
	host := c.host
	if host == "" {
		host = hostOf(at)
	}
	r := &http.Request{
		Method:        http.MethodPost,
		URL:           &url.URL{Scheme: c.scheme, Host: host, Path: "/grpc.health.v1.Health/Check"},
		Host:          host,
		Header:        http.Header{"User-Agent": {"weir"}, "Content-Type": {"application/grpc"}, "Te": {"trailers"}},
		Body:          io.NopCloser(bytes.NewReader(c.ask)),
		ContentLength: int64(len(c.ask)),
	}
	return r.WithContext(ctx)
}

func (c *grpcCheck) judge(ctx context.Context, answer *http.Response, timeout time.Duration) error {
	if answer.StatusCode != http.StatusOK {
		return failure(fmt.Sprintf("status %d", answer.StatusCode))
	}
	if kind := answer.Header.Get("Content-Type"); !strings.HasPrefix(kind, "application/grpc") {
		return failure("the answer is not gRPC, but of type " + quote([]byte(kind)))
	}
	body, err := io.ReadAll(io.LimitReader(answer.Body, mostRead+1))
	if err != nil {
		return ended(ctx, http2Reason(err), answering, timeout)
	}
	if len(body) > mostRead {
		return failure(fmt.Sprintf("grpc: answer larger than %d KiB", mostRead>>10))
	}
	status := answer.Trailer.Get("Grpc-Status")
	if status == "" {
		status = answer.Header.Get("Grpc-Status") // when there is nothing but headers
	}
	return grpcVerdict(status, body)
}

// grpcCodes are the names of the statuses
// (https://github.com/grpc/grpc/blob/master/doc/statuscodes.md).
var grpcCodes = [...]string{
	"ok", "cancelled", "unknown", "invalid argument", "deadline exceeded", "not found", "already exists", "permission denied",
	"resource exhausted", "failed precondition", "aborted", "out of range", "unimplemented", "internal", "unavailable", "data loss",
	"unauthenticated",
}

// grpcVerdict returns nil if the answer says SERVING.
func grpcVerdict(status string, body []byte) error {
	if status == "" {
		return failure("grpc: no status in the answer")
	}
	code, err := strconv.ParseUint(status, 10, 32)
	switch {
	case err != nil:
		return failure("grpc status " + quote([]byte(status)))
	case code != 0 && code < uint64(len(grpcCodes)):
		return failure(fmt.Sprintf("grpc status %d (%s)", code, grpcCodes[code]))
	case code != 0:
		return failure(fmt.Sprintf("grpc status %d", code))
	}
	message, err := grpcUnframe(body)
	if err != nil {
		return err
	}
	serving, err := grpcServing(message)
	if err != nil {
		return err
	}
	switch serving { // HealthCheckResponse.ServingStatus
	case 1:
		return nil
	case 0:
		return failure("grpc: unknown whether serving")
	case 2:
		return failure("grpc: not serving")
	case 3:
		return failure("grpc: service unknown")
	}
	return failure(fmt.Sprintf("grpc: serving status %d", serving))
}

// grpcRequest is the HealthCheckRequest.
func grpcRequest(service string) []byte {
	if service == "" {
		return nil
	}
	return protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), service)
}

// grpcFrame puts the message behind its flag (0 = not compressed) and length.
func grpcFrame(message []byte) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message))), message...)
}

// grpcUnframe returns the one message in the body.
func grpcUnframe(body []byte) ([]byte, error) {
	if len(body) == 0 {
		return nil, failure("grpc: no message in the answer")
	}
	if len(body) < 5 {
		return nil, failure("grpc: the answer's message is cut short")
	}
	if body[0] != 0 {
		return nil, failure("grpc: the answer is compressed")
	}
	message := body[5:]
	switch n := uint64(binary.BigEndian.Uint32(body[1:])); {
	case n > uint64(len(message)):
		return nil, failure("grpc: the answer's message is cut short")
	case n < uint64(len(message)):
		return nil, failure("grpc: more than one message in the answer")
	}
	return message, nil
}

// grpcServing returns the status in a HealthCheckResponse: field 1, of which the last counts. Others are skipped.
func grpcServing(message []byte) (uint64, error) {
	const malformed = failure("grpc: the answer's message is malformed")
	var serving uint64
	for len(message) > 0 {
		number, kind, n := protowire.ConsumeTag(message)
		if n < 0 {
			return 0, malformed
		}
		message = message[n:]
		if number == 1 && kind == protowire.VarintType {
			serving, n = protowire.ConsumeVarint(message)
		} else {
			n = protowire.ConsumeFieldValue(number, kind, message)
		}
		if n < 0 {
			return 0, malformed
		}
		message = message[n:]
	}
	return serving, nil
}
