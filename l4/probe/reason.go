package probe

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// ErrHere says that a check failed for want of something on this machine, such as descriptors or ports: it says nothing about the
// endpoint. errors.Is finds it in what Run returned.
var ErrHere = errors.New("could not check")

// phase is what a check waits for.
type phase uint8

const (
	connecting phase = iota
	handshaking
	answering
)

var phaseNames = [...]string{connecting: "a connection", handshaking: "the TLS handshake", answering: "an answer"}

// failure is why an endpoint isn't well, for people.
type failure string

func (f failure) Error() string { return string(f) }

// here is a failure of this machine.
type here string

func (h here) Error() string        { return "could not check: " + string(h) }
func (h here) Is(target error) bool { return target == ErrHere }

// errnoTexts are for what the kernel says; see connect(2), tcp(7) and udp(7).
var errnoTexts = []struct {
	errno unix.Errno
	text  string
}{
	{unix.ECONNREFUSED, "connection refused"},
	{unix.ECONNRESET, "connection reset"},
	{unix.ECONNABORTED, "connection reset"},
	{unix.EPIPE, "connection reset"},
	{unix.EHOSTUNREACH, "no route to host"},
	{unix.ENETUNREACH, "network unreachable"},
	{unix.ETIMEDOUT, "connection timed out"},
	{unix.ENOPROTOOPT, "protocol unreachable"},
	{unix.EMSGSIZE, "larger than a datagram may be on the way there"},
}

var hereTexts = []struct {
	errno unix.Errno
	text  string
}{
	{unix.EMFILE, "out of descriptors"},
	{unix.EACCES, "not permitted"}, // by a route of this machine: a remote refusal is EHOSTUNREACH
	{unix.EPERM, "not permitted"},  // by a packet filter of this machine
	{unix.ENFILE, "out of descriptors"},
	{unix.EADDRNOTAVAIL, "no address or port to connect from"},
	{unix.EADDRINUSE, "no address or port to connect from"},
	{unix.EAGAIN, "no address or port to connect from"},
	{unix.ENOBUFS, "out of memory"},
	{unix.ENOMEM, "out of memory"},
	{unix.EAFNOSUPPORT, "no such kind of address"},
}

// reason turns what Go said while the check was waiting into what an operator reads.
func reason(err error, waiting phase, timeout time.Duration) error {
	var f failure
	var h here
	var family *net.AddrError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &f):
		return f
	case errors.As(err, &h):
		return h
	case errors.As(err, &family): // only what connects from a Source gets that far
		return here("the source address is of another family than the endpoint's")
	case errors.Is(err, context.Canceled):
		return failure("cancelled")
	}
	var errno unix.Errno
	if errors.As(err, &errno) {
		for _, e := range hereTexts {
			if errno == e.errno {
				return here(e.text)
			}
		}
		for _, e := range errnoTexts {
			if errno == e.errno {
				return failure(e.text)
			}
		}
		return failure(errno.Error())
	}
	if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) {
		return failure(fmt.Sprintf("timeout in %v waiting for %s", timeout, phaseNames[waiting]))
	}
	if text := tlsReason(err); text != "" {
		return failure("TLS: " + text)
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) {
		if waiting == handshaking {
			return failure("TLS: closed in the handshake")
		}
		return failure("closed without an answer")
	}
	text := err.Error()
	if waiting == handshaking {
		text = "TLS: " + strings.TrimPrefix(text, "tls: ")
	}
	return failure(cut(text, 200))
}

// tlsReason returns "" for what isn't an error of TLS.
func tlsReason(err error) string {
	var (
		invalid   x509.CertificateInvalidError
		authority x509.UnknownAuthorityError
		host      x509.HostnameError
		record    tls.RecordHeaderError
		alert     tls.AlertError
		op        *net.OpError
	)
	switch {
	case errors.As(err, &invalid):
		if invalid.Reason == x509.Expired {
			if invalid.Cert != nil && time.Now().Before(invalid.Cert.NotBefore) {
				return "certificate is not valid yet"
			}
			return "certificate has expired"
		}
		return strings.TrimPrefix(invalid.Error(), "x509: ")
	case errors.As(err, &authority):
		return "certificate signed by unknown authority"
	case errors.As(err, &host):
		return "certificate is not for " + quote([]byte(host.Host))
	case errors.As(err, &record):
		return "the endpoint doesn't speak it"
	case errors.As(err, &alert):
		return "the endpoint says " + strings.TrimPrefix(alert.Error(), "tls: ")
	case errors.As(err, &op) && op.Op == "remote error": // an alert, of an unexported type
		return "the endpoint says " + strings.TrimPrefix(op.Err.Error(), "tls: ")
	}
	for e := err; e != nil; e = errors.Unwrap(e) {
		if text, ok := strings.CutPrefix(e.Error(), "tls: "); ok {
			return strings.TrimPrefix(text, "failed to verify certificate: x509: ")
		}
	}
	return ""
}

const mostQuoted = 64 // bytes of an answer in a text

// quote returns the bytes as a Go string, and cuts long ones.
func quote(b []byte) string {
	if len(b) > mostQuoted {
		return strconv.Quote(string(b[:mostQuoted])) + "..."
	}
	return strconv.Quote(string(b))
}

func cut(text string, most int) string {
	if len(text) > most {
		return text[:most] + "..."
	}
	return text
}
