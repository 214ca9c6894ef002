package probe

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"time"
)

// httpCheck asks for one page, and follows nothing that the answer leads to.
type httpCheck struct {
	dialer  dialer
	timeout time.Duration
	method  string
	host    string   // "" = the address
	page    *url.URL // path and query
	status  []StatusRange
	expect  *expectation // of the body; nil = any
	http2   *http2Client // for endpoints that choose it, by TLS
}

func newHTTP(o Options) (Check, error) {
	c := &httpCheck{timeout: o.Timeout, method: cmp.Or(o.Method, http.MethodGet), host: o.Host, status: slices.Clone(o.Status)}
	if _, err := http.NewRequest(c.method, "/", nil); err != nil {
		return nil, fmt.Errorf("method %q: not one of HTTP", o.Method)
	}
	var err error
	if c.page, err = url.ParseRequestURI(cmp.Or(o.Path, "/")); err != nil || c.page.Scheme != "" {
		return nil, fmt.Errorf("path %q: not one that begins with /", o.Path)
	}
	if err := checkHost(o.Host); err != nil {
		return nil, err
	}
	if len(c.status) == 0 {
		c.status = []StatusRange{{200, 299}}
	}
	for _, s := range c.status {
		if s.From < 100 || s.To > 999 || s.From > s.To {
			return nil, fmt.Errorf("status %d-%d: not a range of statuses", s.From, s.To)
		}
	}
	if c.expect, err = parseExpect(o.ExpectBody); err != nil {
		return nil, fmt.Errorf("expect_body: %w", err)
	}
	if c.expect != nil && c.method == http.MethodHead {
		return nil, errors.New("expect_body: HEAD has none")
	}
	if o.TLS != nil {
		nameServer(&o)
		if len(o.TLS.NextProtos) == 0 {
			o.TLS.NextProtos = []string{"h2", "http/1.1"}
		}
		c.http2 = newHTTP2()
		if c.host == "" {
			c.host = o.TLS.ServerName
		}
	}
	c.dialer = newDialer(&o)
	return c, nil
}

func checkHost(host string) error {
	if u, err := url.Parse("http://" + host + "/"); err != nil || u.Host != host || u.Path != "/" {
		return fmt.Errorf("host %q: not a host, or host:port", host)
	}
	return nil
}

// nameServer has TLS ask for the host, unless its config names another.
func nameServer(o *Options) {
	if o.TLS.ServerName == "" && o.Host != "" {
		o.TLS.ServerName = (&url.URL{Host: o.Host}).Hostname()
	}
}

func (c *httpCheck) Run(ctx context.Context, at netip.AddrPort) error {
	ctx, cancel, timeout := within(ctx, c.timeout)
	defer cancel()
	l, err := c.dialer.open(ctx, at, timeout)
	if err != nil {
		return err
	}
	if c.http2 != nil && l.protocol() == "h2" {
		err = c.http2.ask(ctx, l, c.request(ctx, at, "https"), timeout, func(a *http.Response) error {
			return c.judge(ctx, a, timeout)
		})
	} else {
		err = c.ask(ctx, l, at, timeout)
	}
	l.leave(err != nil)
	return err
}

func (c *httpCheck) request(ctx context.Context, at netip.AddrPort, scheme string) *http.Request {
	host := c.host
	if host == "" {
		host = hostOf(at)
	}
	page := *c.page
	page.Scheme, page.Host = scheme, host
	r := &http.Request{
		Method: c.method,
		URL:    &page,
		Host:   host,
		Header: http.Header{"User-Agent": {"weir"}, "Accept": {"*/*"}},
		Close:  true,
	}
	return r.WithContext(ctx)
}

func hostOf(at netip.AddrPort) string {
	return netip.AddrPortFrom(at.Addr().Unmap().WithZone(""), at.Port()).String()
}

// ask speaks HTTP/1.1. There is nothing to keep, to follow or to try again, so that the two halves of net/http are enough: its Transport
// would take two goroutines for each check.
func (c *httpCheck) ask(ctx context.Context, l *link, at netip.AddrPort, timeout time.Duration) error {
	request := c.request(ctx, at, "http")
	if err := request.Write(l); err != nil {
		return ended(ctx, err, answering, timeout)
	}
	in := &allowance{from: l, left: mostRead}
	buffered := bufio.NewReader(in)
	for {
		answer, err := http.ReadResponse(buffered, request)
		switch {
		case err != nil && in.left == 0:
			return failure(fmt.Sprintf("headers larger than %d KiB", mostRead>>10))
		case err != nil && in.err != nil:
			return ended(ctx, in.err, answering, timeout)
		case err != nil:
			return failure("the answer is not HTTP")
		}
		if answer.StatusCode >= 200 || answer.StatusCode == http.StatusSwitchingProtocols {
			in.left = 16 * mostRead // chunks of few bytes are larger than what is in them
			err := c.judge(ctx, answer, timeout)
			in.left = 0 // Close would read what is left of a body
			_ = answer.Body.Close()
			return err
		}
		_ = answer.Body.Close() // an interim answer has none
	}
}

// judge looks at the status and, if it has to, at the body.
func (c *httpCheck) judge(ctx context.Context, answer *http.Response, timeout time.Duration) error {
	if !slices.ContainsFunc(c.status, func(s StatusRange) bool { return s.From <= answer.StatusCode && answer.StatusCode <= s.To }) {
		return failure(fmt.Sprintf("status %d", answer.StatusCode))
	}
	if c.expect == nil {
		return nil
	}
	got, v, err := c.expect.await(answer.Body)
	switch {
	case v == met:
		return nil
	case v == failed:
		return failure(fmt.Sprintf("body %s instead of %v", quote(got), c.expect))
	case errors.Is(err, io.ErrUnexpectedEOF) && ctx.Err() == nil:
		return failure("closed within the body, after " + quote(got))
	}
	return ended(ctx, err, answering, timeout)
}

// allowance reads no more than it may, and remembers how reading ended: what net/http makes of that differs.
type allowance struct {
	from io.Reader
	left int
	err  error
}

func (a *allowance) Read(p []byte) (int, error) {
	if a.left == 0 {
		return 0, io.ErrUnexpectedEOF
	}
	n, err := a.from.Read(p[:min(len(p), a.left)])
	a.left -= n
	if err != nil {
		a.err = err
	}
	return n, err
}
