package build

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"fmt"
	"os"

	"weir/config"
)

// tlsFiles is what stands in the files of a health.tls; nil = it names none.
type tlsFiles struct{ ca, cert, key []byte }

// digest tells files' contents from others. That of no files is one as well.
type digest [sha256.Size]byte

func readTLS(t *config.HealthTLS) (f tlsFiles, err error) {
	for _, file := range []struct {
		key, path string
		to        *[]byte
	}{{"ca", t.CA, &f.ca}, {"cert", t.Cert, &f.cert}, {"key", t.Key, &f.key}} {
		if file.path == "" {
			continue
		}
		if *file.to, err = os.ReadFile(file.path); err != nil {
			return f, fmt.Errorf("%s: %w", file.key, err)
		}
	}
	return f, nil
}

func (f *tlsFiles) digest() (d digest) {
	h := sha256.New()
	for _, content := range [][]byte{f.ca, f.cert, f.key} {
		_, _ = h.Write(binary.NativeEndian.AppendUint64(nil, uint64(len(content)))) // never fails (hash.Hash)
		_, _ = h.Write(content)
	}
	h.Sum(d[:0])
	return d
}

// clientTLS returns the TLS of checks.
func clientTLS(t *config.HealthTLS, f *tlsFiles) (*tls.Config, error) {
	c := &tls.Config{ServerName: t.ServerName, InsecureSkipVerify: !t.Verify, MinVersion: tls.VersionTLS12}
	if t.CA != "" {
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(f.ca) {
			return nil, fmt.Errorf("ca: %s has no certificate in PEM", t.CA)
		}
	}
	if t.Cert != "" {
		pair, err := tls.X509KeyPair(f.cert, f.key)
		if err != nil {
			return nil, fmt.Errorf("cert %s, key %s: %w", t.Cert, t.Key, err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}
