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
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestReason(t *testing.T) {
	dial := func(errno unix.Errno) error {
		return &net.OpError{Op: "dial", Net: "tcp", Addr: &net.TCPAddr{Port: 1}, Err: os.NewSyscallError("connect", errno)}
	}
	past := &x509.Certificate{NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1, 0)}
	future := &x509.Certificate{NotBefore: time.Now().Add(time.Hour), NotAfter: time.Now().Add(2 * time.Hour)}
	tests := []struct {
		err     error
		waiting phase
		want    string
	}{
		{dial(unix.ECONNREFUSED), connecting, "connection refused"},
		{dial(unix.EHOSTUNREACH), connecting, "no route to host"},
		{dial(unix.ENETUNREACH), connecting, "network unreachable"},
		{dial(unix.ETIMEDOUT), connecting, "connection timed out"},
		{dial(unix.EPERM), connecting, "could not check: not permitted"},
		{dial(unix.ENOPROTOOPT), connecting, "protocol unreachable"},
		{dial(unix.EMFILE), connecting, "could not check: out of descriptors"},
		{dial(unix.EADDRNOTAVAIL), connecting, "could not check: no address or port to connect from"},
		{dial(unix.EXDEV), connecting, "invalid cross-device link"},
		{&net.OpError{Op: "read", Err: os.NewSyscallError("read", unix.ECONNRESET)}, answering, "connection reset"},
		{&net.OpError{Op: "write", Err: os.NewSyscallError("write", unix.EPIPE)}, answering, "connection reset"},
		{os.ErrDeadlineExceeded, connecting, "timeout in 1s waiting for a connection"},
		{context.DeadlineExceeded, handshaking, "timeout in 1s waiting for the TLS handshake"},
		{&net.OpError{Op: "read", Err: os.ErrDeadlineExceeded}, answering, "timeout in 1s waiting for an answer"},
		{context.Canceled, answering, "cancelled"},
		{io.EOF, answering, "closed without an answer"},
		{io.ErrUnexpectedEOF, answering, "closed without an answer"},
		{io.EOF, handshaking, "TLS: closed in the handshake"},
		{&tls.CertificateVerificationError{Err: x509.CertificateInvalidError{Cert: past, Reason: x509.Expired}}, handshaking, "TLS: certificate has expired"},
		{&tls.CertificateVerificationError{Err: x509.CertificateInvalidError{Cert: future, Reason: x509.Expired}}, handshaking, "TLS: certificate is not valid yet"},
		{x509.CertificateInvalidError{Cert: past, Reason: x509.NotAuthorizedToSign}, handshaking, "TLS: certificate is not authorized to sign other certificates"},
		{&tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}, handshaking, "TLS: certificate signed by unknown authority"},
		{x509.HostnameError{Certificate: past, Host: "a.example"}, handshaking, `TLS: certificate is not for "a.example"`},
		{tls.RecordHeaderError{Msg: "first record does not look like a TLS handshake"}, handshaking, "TLS: the endpoint doesn't speak it"},
		{&net.OpError{Op: "remote error", Err: tls.AlertError(42)}, answering, "TLS: the endpoint says bad certificate"},
		{errors.New("tls: server selected unsupported protocol version 301"), handshaking, "TLS: server selected unsupported protocol version 301"},
		{errors.New("something else"), handshaking, "TLS: something else"},
		{fmt.Errorf("wrapped: %w", failure("status 503")), answering, "status 503"},
		{errors.New(strings.Repeat("x", 300)), answering, strings.Repeat("x", 200) + "..."},
	}
	for _, tt := range tests {
		got := reason(tt.err, tt.waiting, time.Second)
		want(t, got.Error(), tt.want)
		if errors.Is(got, ErrHere) != strings.HasPrefix(tt.want, "could not check") {
			t.Errorf("%v: is ErrHere: %v", got, errors.Is(got, ErrHere))
		}
	}
	if err := reason(nil, answering, time.Second); err != nil {
		t.Error(err)
	}
}
