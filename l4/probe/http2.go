package probe

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// http2Client speaks HTTP/2 on connections that are there already, one request on each. It keeps none of them.
type http2Client struct {
	transport *http.Transport
}

type connKey struct{} // of a context that carries its connection to the transport

func newHTTP2() *http2Client {
	c := &http2Client{&http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return ctx.Value(connKey{}).(net.Conn), nil
		},
		DisableCompression:     true,
		MaxResponseHeaderBytes: mostRead,
		Protocols:              new(http.Protocols),
		HTTP2:                  &http.HTTP2Config{MaxReceiveBufferPerConnection: 2 * mostRead, MaxReceiveBufferPerStream: 2 * mostRead},
	}}
	c.transport.Protocols.SetUnencryptedHTTP2(true) // TLS, if any, is beneath: the transport needn't know
	return c
}

// ask sends the request and has the answer judged. It ends the use of the link.
func (c *http2Client) ask(ctx context.Context, l *link, r *http.Request, timeout time.Duration, judge func(*http.Response) error) error {
	in := &overheard{Conn: l.Conn}
	conn, err := c.transport.NewClientConn(context.WithValue(ctx, connKey{}, net.Conn(in)), "http", l.RemoteAddr().String())
	if err != nil {
		return ended(ctx, in.reason(err), answering, timeout)
	}
	defer conn.Close()
	answer, err := conn.RoundTrip(r)
	if err != nil {
		return ended(ctx, in.reason(err), answering, timeout)
	}
	defer answer.Body.Close()
	return judge(answer)
}

// overheard remembers how an endpoint began, and how reading ended: the transport may forget both when that came before the request.
type overheard struct {
	net.Conn

	mu    sync.Mutex
	begin []byte // of what was read
	err   error  // that reading ended with
}

const frameHeader = 9 // bytes (RFC 9113, section 4.1)

func (o *overheard) Read(p []byte) (int, error) {
	n, err := o.Conn.Read(p)
	o.mu.Lock()
	defer o.mu.Unlock()
	o.begin = append(o.begin, p[:min(n, frameHeader-len(o.begin))]...)
	if err != nil && o.err == nil {
		o.err = err
	}
	return n, err
}

// reason names what made the transport fail.
func (o *overheard) reason(err error) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.begin) == frameHeader && o.begin[3] != 4 { // it has to begin with SETTINGS (RFC 9113, section 3.4)
		return failure("the answer is not HTTP/2")
	}
	if o.err != nil {
		return o.err
	}
	return http2Reason(err)
}

// http2Texts are for errors of net/http that have no type to be seen from here.
var http2Texts = []struct{ part, text string }{
	{"GOAWAY", "HTTP/2: the endpoint says GOAWAY"},
	{"received from peer", "HTTP/2: the endpoint reset the stream"},
	{"header list", "headers larger than 64 KiB"},
	{"COMPRESSION_ERROR", "headers malformed or larger than 64 KiB"},
	{"connection error", "the answer is not HTTP/2"},
	{"stream error", "the answer is not HTTP/2"},
	{"frame too large", "the answer is not HTTP/2"},
	{"malformed", "the answer is not HTTP/2"},
}

// http2Reason names what isn't an error of the connection beneath.
func http2Reason(err error) error {
	var n net.Error
	if errors.As(err, &n) {
		return err
	}
	for _, t := range http2Texts {
		if strings.Contains(err.Error(), t.part) {
			return failure(t.text)
		}
	}
	return err
}
