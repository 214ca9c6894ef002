package control_test

import (
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"weir/lb/health"
)

// A reload reads the files of health.tls again, also where the configuration is the same: certificates are renewed so. What can't be read changes nothing.
func TestTLSFilesAreReadAgain(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(server.Close)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	write := func(text []byte) {
		t.Helper()
		if err := os.WriteFile(ca, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// The server's certificate is its own authority.
	own := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	write([]byte(someCertificate))
	at := server.Listener.Addr().String()
	text := fmt.Sprintf("[clusters.out]\nendpoints = [%q]\n[clusters.out.health]\ntype = 'http'\ninterval = '20ms'\nfast_interval = '10ms'\ntls = { ca = %q, server_name = 'example.com' }", at, ca)
	r := start(t, parse(t, "%s", text))
	r.eventually("another authority's certificate is refused", func() bool { return r.state("out", at) == health.Down })
	write(nil)
	if err := r.Apply(parse(t, "%s", text)); err == nil || err.Error() != fmt.Sprintf(`cluster "out": health: tls: ca: %s has no certificate in PEM`, ca) {
		t.Errorf("an empty file: %v", err)
	}
	write(own)
	r.apply(parse(t, "%s", text))
	r.eventually("its own is taken", func() bool { return r.state("out", at) == health.Up })
	if want := `level=INFO msg="configuration applied" tls_files_changed=[out]`; !r.logged(want) {
		t.Errorf("the log lacks %s:\n%s", want, r.log)
	}
	r.apply(parse(t, "%s", text))
	if want := `level=INFO msg="configuration read again, nothing changed"`; !r.logged(want) {
		t.Errorf("the log lacks %s:\n%s", want, r.log)
	}
}

// someCertificate is an authority that has signed nothing.
const someCertificate = `-----BEGIN CERTIFICATE-----
MIIBeDCCAR2gAwIBAgIUELI4niBAvGBZdstEl0JzW8LRnmcwCgYIKoZIzj0EAwIw
EDEOMAwGA1UEAwwFb3RoZXIwIBcNMjYxMTI1MDIwNTMxWhgPMjEyNjExMDEwMjA1
MzFaMBAxDjAMBgNVBAMMBW90aGVyMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE
BcsrpEwA3GdHELM1AA3lkHAFAogWFsOCWx6JbqRlmZl3He1nPF3lBkZI27iNQQlZ
bpIppdzCi/gKApnuMFxTvqNTMFEwHQYDVR0OBBYEFE8PB0CA+I105YroAyArsoL7
Lt51MB8GA1UdIwQYMBaAFE8PB0CA+I105YroAyArsoL7Lt51MA8GA1UdEwEB/wQF
MAMBAf8wCgYIKoZIzj0EAwIDSQAwRgIhAPhb7dB5xWgB+A2VBt9brS3A9WGLHY99
/TvRGNXHcPk1AiEA7eQnZpMZCHoXMQLDRpepWVbWtllp0nrErUctFiCaM8s=
-----END CERTIFICATE-----
`
