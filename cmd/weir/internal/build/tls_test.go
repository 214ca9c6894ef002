package build_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"weir/cmd/weir/internal/build"
)

// newCertificate returns a certificate that has signed itself, and its key, in PEM.
func newCertificate(t testing.TB) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}))
}

// The files of a check's TLS are read when the check is made, and again by Reload. Only other contents make another check.
func TestFilesAreReadAgain(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(at(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cert, key := newCertificate(t)
	write("ca", cert)
	write("cert", cert)
	write("key", key)
	text := fmt.Sprintf(`
[clusters.plain]
endpoints = ["10.0.0.1:80"]
health = {}
[clusters.tls]
endpoints = ["10.0.0.1:80"]
health.tls = { ca = %q, cert = %q, key = %q }
`, at("ca"), at("cert"), at("key"))
	reload := func(r *build.Running) *build.Running {
		t.Helper()
		n, err := r.Reload(parse(t, text))
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	a := first(t, text)
	if b := reload(a); b.Plans[0].Check != a.Plans[0].Check || b.Plans[1].Check != a.Plans[1].Check || len(b.Renewed) > 0 {
		t.Errorf("the same files make another check; renewed: %v", b.Renewed)
	}
	other, otherKey := newCertificate(t)
	write("ca", other)
	if b := next(t, a, text); b.Plans[1].Check != a.Plans[1].Check {
		t.Error("Next reads files again")
	}
	b := reload(a)
	if b.Plans[0].Check != a.Plans[0].Check || b.Plans[1].Check == a.Plans[1].Check || !slices.Equal(b.Renewed, []string{"tls"}) {
		t.Errorf("another ca: renewed %v", b.Renewed)
	}
	if b.Clusters[1] != a.Clusters[1] || b.Plans[1].Cluster != a.Clusters[1] {
		t.Error("another ca makes another cluster")
	}
	if c := next(t, b, text); c.Plans[1].Check != b.Plans[1].Check {
		t.Error("the check that was renewed is lost with the next change")
	}
	write("key", otherKey)
	for _, c := range []struct{ file, text, want string }{
		{"ca", "", `cluster "tls": health: tls: ca: ` + at("ca") + ` has no certificate in PEM`},
		{"ca", other, `cluster "tls": health: tls: cert ` + at("cert") + `, key ` + at("key") + `: tls: private key does not match public key`},
		{"cert", "", `cluster "tls": health: tls: cert ` + at("cert") + `, key ` + at("key") + `: tls: failed to find any PEM data in certificate input`},
	} {
		write(c.file, c.text)
		if _, err := b.Reload(parse(t, text)); err == nil || err.Error() != c.want {
			t.Errorf("%v, want %s", err, c.want)
		}
	}
	if err := os.Remove(at("key")); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Reload(parse(t, text)); err == nil || !strings.HasPrefix(err.Error(), `cluster "tls": health: tls: key: open `+at("key")) {
		t.Errorf("without the key: %v", err)
	}
	if c := next(t, b, strings.Replace(text, "10.0.0.1", "10.0.0.2", 1)); c.Plans[1].Check != b.Plans[1].Check {
		t.Error("a change of something else reads files again")
	}
}

// Endpoints keep their identity wherever they come from: from the configuration or from discovery.
func TestEndpointsOfAnySource(t *testing.T) {
	const own = "[clusters.c]\nendpoints = ['10.0.0.1:80', '10.0.0.2:80']"
	a := first(t, own)
	discovered := parse(t, "[clusters.c]\ndiscover = { file = '/nowhere' }")
	discovered.Clusters[0].Endpoints = slices.Clone(a.Snapshot.Clusters[0].Endpoints[1:])
	b, err := a.Next(discovered)
	if err != nil {
		t.Fatal(err)
	}
	if b.Clusters[0].Endpoints[0] != a.Clusters[0].Endpoints[1] {
		t.Error("what is discovered is another endpoint of the same address")
	}
	if leaving := a.Leaving(b); len(leaving) != 1 || leaving[0] != a.Clusters[0].Endpoints[0] {
		t.Errorf("%d endpoints leave", len(leaving))
	}
	c := next(t, b, own)
	if c.Clusters[0].Endpoints[1] != a.Clusters[0].Endpoints[1] {
		t.Error("an endpoint of the configuration is another than was discovered")
	}
}

// Each cluster has its own plan, wherever its name comes in the order.
func TestPlansOfManyClusters(t *testing.T) {
	var text strings.Builder
	for i := range 300 {
		fmt.Fprintf(&text, "[clusters.c%d]\nendpoints = ['10.0.0.1:80']\nhealth = {}\n", i)
	}
	a := first(t, text.String())
	b := next(t, a, strings.Replace(text.String(), "[clusters.c7]", "[clusters.extra]\nendpoints = ['10.0.0.1:80']\n[clusters.c7]\npolicy = 'first'", 1))
	for i := range a.Plans {
		p := &a.Plans[i]
		if p.Cluster != a.Clusters[i] {
			t.Fatalf("plan %d isn't of %s", i, a.Clusters[i].Name)
		}
		if same := b.Cluster(p.Cluster.Name) == p.Cluster; same != (p.Cluster.Name != "c7") {
			t.Errorf("cluster %s is the same: %v", p.Cluster.Name, same)
		}
	}
	for i := range b.Plans {
		p := &b.Plans[i]
		if p.Cluster != b.Clusters[i] || (p.Check == nil) != (p.Cluster.Name == "extra") {
			t.Errorf("plan %d of %s", i, p.Cluster.Name)
		}
	}
}
