package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	crand "crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// sites is an nginx of the test's own making, with a worker: one process alone can't read its configuration again and go on with its connections.
type sites struct {
	*program
	file string
	addr string
}

// newSites starts one with these blocks in its http {}. $AT is the address that it is known by, and the first that it has to listen on.
func newSites(t *testing.T, blocks string) *sites {
	t.Helper()
	path := need(t, "nginx")
	s := &sites{file: filepath.Join(t.TempDir(), "nginx.conf")}
	s.program, s.addr = serveAt(t, "tcp", syscall.SIGTERM, func(host, port string) *exec.Cmd {
		s.addr = host + ":" + port
		s.write(t, blocks)
		return command(t, path, "-p", filepath.Dir(s.file), "-c", s.file, "-e", "stderr")
	})
	return s
}

func (s *sites) write(t *testing.T, blocks string) {
	t.Helper()
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	as := ""
	if me.Uid == "0" {
		as = "user " + me.Username + ";" // files of a test are its user's alone
	}
	writeFile(t, s.file, as+`
daemon off;
worker_processes 1;
pid nginx.pid;
events { worker_connections 512; }
http {
	access_log off;
	log_not_found off;
	client_body_temp_path body;
	proxy_temp_path proxy;
	fastcgi_temp_path fastcgi;
	uwsgi_temp_path uwsgi;
	scgi_temp_path scgi;
	`+strings.ReplaceAll(blocks, "$AT", s.addr)+`
}
`)
}

// reload has nginx read these blocks instead. It goes on with the connections that it has.
func (s *sites) reload(blocks string) {
	s.t.Helper()
	s.write(s.t, blocks)
	s.signal(syscall.SIGHUP)
}

// authority issues certificates into files.
type authority struct {
	t    *testing.T
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t, dir: t.TempDir()}
	a.cert, a.key = a.issue("ca", &x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	return a
}

// file is where something of the authority's is, such as "ca.pem" or "ca.key".
func (a *authority) file(name string) string { return filepath.Join(a.dir, name) }

// issue makes the files NAME.pem and NAME.key. The first certificate is the authority's own.
func (a *authority) issue(name string, what *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), crand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	what.SerialNumber, what.Subject = big.NewInt(time.Now().UnixNano()), pkix.Name{CommonName: name}
	what.NotBefore, what.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, by := a.cert, a.key
	if parent == nil {
		parent, by = what, key
	}
	der, err := x509.CreateCertificate(crand.Reader, what, parent, key.Public(), by)
	if err != nil {
		a.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	writeFile(a.t, a.file(name+".pem"), string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	writeFile(a.t, a.file(name+".key"), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})))
	return cert, key
}

// inquiry is a check, and what it finds.
type inquiry struct {
	addr, keys string
	want       string // "" = it's up
}

// askAll starts a weir with a cluster for each check.
func askAll(t *testing.T, checks []inquiry) *proxy {
	t.Helper()
	var b strings.Builder
	for i, c := range checks {
		b.WriteString(alsoChecked(fmt.Sprintf("c%d", i), strings.TrimSpace(c.keys), c.addr))
	}
	return weir(t, b.String())
}

// find waits until the checks find what they are to find.
func (p *proxy) find(checks []inquiry) {
	p.t.Helper()
	for i, c := range checks {
		name := fmt.Sprintf("c%d", i)
		p.t.Logf("%s: %s", name, strings.ReplaceAll(c.keys, "\n", "; "))
		if c.want == "" {
			p.up(name, c.addr)
		} else {
			p.down(name, c.addr, c.want)
		}
	}
}

// What checks ask of nginx, by host, path and method, and on another port, and what they make of statuses and bodies.
func TestHealthHTTP(t *testing.T) {
	admin := freePort(t)
	_, adminPort := split(t, admin)
	blocks := func(busy int) string {
		return fmt.Sprintf(`
	server { listen $AT; location / { return 404; } location = /ready { return 200 "ready to serve\n"; } location = /busy { return %d; } }
	server { listen $AT; server_name one.test; location = /healthz { return 200 "one\n"; } }
	server { listen $AT; server_name two.test; location = /healthz { if ($request_method = HEAD) { return 204; } return 200 "two, $arg_how\n"; } }
	server { listen %s; location / { return 404; } location = /healthz { return 200; } }
`, busy, admin)
	}
	s := newSites(t, blocks(503))
	checks := func(busy, idle string) []inquiry {
		return []inquiry{
			{s.addr, `type = "http"`, "status 404"},
			{s.addr, `type = "http"` + "\n" + `path = "/ready"`, ""},
			{s.addr, `type = "http"` + "\n" + `path = "/ready"` + "\n" + `expect_body = "ready"`, ""},
			{s.addr, `type = "http"` + "\n" + `path = "/ready"` + "\n" + `expect_body = "serve"`, `body "ready to serve\n" instead of "serve"`},
			{s.addr, `type = "http"` + "\n" + `path = "/ready"` + "\n" + `expect_body = '~^(ok|ready)\b.*serve\n$'`, ""},
			{s.addr, `type = "http"` + "\n" + `path = "/ready"` + "\n" + `expect_body = '~^(ok|steady)'`, `body "ready to serve\n" instead of "~^(ok|steady)"`},
			{s.addr, `type = "http"` + "\n" + `host = "one.test"` + "\n" + `expect_body = "one"`, ""},
			{s.addr, `type = "http"` + "\n" + `host = "two.test"` + "\n" + `expect_body = "one"`, `body "two, \n" instead of "one"`},
			{s.addr, `type = "http"` + "\n" + `host = "two.test"` + "\n" + `path = "/healthz?how=really"` + "\n" + `expect_body = "two, really"`, ""},
			{s.addr, `type = "http"` + "\n" + `host = "two.test"` + "\n" + `method = "HEAD"` + "\n" + `expect_status = 204`, ""},
			{s.addr, `type = "http"` + "\n" + `path = "/busy"`, busy},
			{s.addr, `type = "http"` + "\n" + `path = "/busy"` + "\n" + `expect_status = ["300-399", 503]`, idle},
			{s.addr, `type = "http"` + "\n" + `port = ` + adminPort, ""},
			{s.addr, `type = "http"` + "\n" + `path = "/ready"` + "\n" + `port = ` + adminPort, "status 404"},
			{s.addr, `send = 'GET /ready HTTP/1.0\r\n\r\n'` + "\n" + `expect = "HTTP/1.1 200 OK"`, ""},
		}
	}
	before, after := checks("status 503", ""), checks("", "status 200")
	w := askAll(t, before)
	w.find(before)
	s.reload(blocks(200))
	w.find(after)
	s.signal(syscall.SIGTERM)
	s.code()
	for i := range after {
		after[i].want = "connection refused"
	}
	w.find(after)
}

// Certificates have to be for the name and of the authority that the configuration says; checks present their own.
func TestHealthTLS(t *testing.T) {
	a, stranger := newAuthority(t), newAuthority(t)
	a.issue("web", &x509.Certificate{DNSNames: []string{"web.test"}})
	a.issue("weir", &x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	strict := freePort(t)
	s := newSites(t, fmt.Sprintf(`
	ssl_certificate %q;
	ssl_certificate_key %q;
	server { listen $AT ssl; location = /healthz { return 200 "for $ssl_server_name\n"; } }
	server { listen %s ssl; ssl_client_certificate %q; ssl_verify_client on; location = /healthz { return 200 "known"; } }
`, a.file("web.pem"), a.file("web.key"), strict, a.file("ca.pem")))
	tls := func(how string, args ...any) string {
		return "type = \"http\"\ntls = { " + fmt.Sprintf(how, args...) + " }"
	}
	checks := []inquiry{
		{s.addr, tls(`server_name = "web.test", ca = %q`, a.file("ca.pem")) + "\n" + `expect_body = "for web.test"`, ""},
		{s.addr, tls(`ca = %q`, a.file("ca.pem")) + "\n" + `host = "web.test"`, ""},
		{s.addr, tls(`server_name = "other.test", ca = %q`, a.file("ca.pem")), `TLS: certificate is not for "other.test"`},
		{s.addr, tls(`ca = %q`, a.file("ca.pem")), `TLS: certificate is not for "127.0.0.1"`},
		{s.addr, tls(`server_name = "web.test", ca = %q`, stranger.file("ca.pem")), "TLS: certificate signed by unknown authority"},
		{s.addr, tls(`server_name = "web.test"`), "TLS: certificate signed by unknown authority"},
		{s.addr, tls(`server_name = "other.test", verify = false`), ""},
		{s.addr, `type = "http"`, "status 400"}, // nginx says that this is a port for TLS
		{s.addr, fmt.Sprintf("send = 'GET /healthz HTTP/1.0\\r\\n\\r\\n'\nexpect = \"HTTP/1.1 200\"\ntls = { server_name = \"web.test\", ca = %q }", a.file("ca.pem")), ""},
		{strict, tls(`server_name = "web.test", ca = %q`, a.file("ca.pem")), "status 400"},
		{strict, tls(`server_name = "web.test", ca = %q, cert = %q, key = %q`, a.file("ca.pem"), a.file("weir.pem"), a.file("weir.key")) + "\n" + `expect_body = "known"`, ""},
	}
	askAll(t, checks).find(checks)
}

// The end of a download from an endpoint that went down is an error with on_down = "close"; else the file comes whole, as nginx goes on with it.
func TestOnDown(t *testing.T) {
	need(t, "curl")
	root := t.TempDir()
	sparse(t, filepath.Join(root, "file"), 16<<20)
	blocks := func(status int) string {
		return fmt.Sprintf(`
	server { listen $AT; root %[1]q; location /slow/ { alias %[2]q; limit_rate 6m; } location /slower/ { alias %[2]q; limit_rate 500k; } location = /healthz { return %[3]d; } }
`, root, root+"/", status)
	}
	s := newSites(t, blocks(200))
	w := weir(t, checked("type = \"http\"\non_down = \"close\"", s.addr)+`
[listeners.kept]
bind = "127.0.0.1:0"
cluster = "kept"
`+alsoChecked("kept", `type = "http"`, s.addr))
	closed, kept := filepath.Join(t.TempDir(), "closed"), filepath.Join(t.TempDir(), "kept")
	w.up("out", s.addr)
	w.up("kept", s.addr)
	loses := launch(t, curl(t, "-o", closed, "http://"+w.at()+"/slower/file"), os.Kill)
	keeps := launch(t, curl(t, "-o", kept, "http://"+w.says(`msg=listening listener=kept address=(\S+)`)+"/slow/file"), os.Kill)
	eventually(t, "some of both has come", func() bool { return sizeOf(closed) > 0 && sizeOf(kept) > 0 })

	s.reload(blocks(503))
	w.down("out", s.addr, "status 503")
	exits(t, loses, curlRecvFailed, curlPartialFile)
	if n := sizeOf(closed); n >= 16<<20 {
		t.Errorf("all %d bytes have come", n)
	}
	if code := launch(t, curl(t, "http://"+w.at()+"/healthz"), os.Kill).code(); code == 0 {
		t.Error("a new connection is served, with the only endpoint down")
	}
	w.down("kept", s.addr, "status 503")
	keeps.succeeds()
	if got, want := hashOf(t, kept), hashOf(t, filepath.Join(root, "file")); got != want {
		t.Errorf("hash %s, want %s", got, want)
	}

	s.reload(blocks(200))
	w.up("out", s.addr)
	eventually(t, "a new connection is served", func() bool { // at first by nginx's old worker, perhaps, which says 503
		return launch(t, curl(t, "http://"+w.at()+"/healthz"), os.Kill).code() == 0
	})
	if l := w.settled("downstream_closed", "upstream_closed", "endpoint_down", "no_endpoint"); l.Closed["endpoint_down"] != 1 || l.Closed["no_endpoint"] != 1 {
		t.Errorf("weir counts %v", l.Closed)
	}
}
