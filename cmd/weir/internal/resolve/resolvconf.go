package resolve

import (
	"bytes"
	"errors"
	"io"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/miekg/dns"
)

// Bounds on what a resolv.conf may say. Those of servers, timeout and attempts are resolv.conf(5)'s own.
const (
	maxConfText     = 1 << 20
	maxConfServers  = 3
	maxConfSearch   = 16
	maxConfTimeout  = 30
	maxConfAttempts = 5
)

var (
	errNotRegular = errors.New("not a regular file")
	errTooLarge   = errors.New("too large")
)

// resolvConf is a resolv.conf, read again when it is another one.
type resolvConf struct {
	path string
	port uint16 // of the servers: 53, but in tests

	mu   sync.Mutex
	seen os.FileInfo // nil = there was none
	read bool
	conf *dns.ClientConfig
}

// get returns what the file says now. One that is not there, or that says nothing, means the name server of this machine
// (resolv.conf(5)); one that can't be read means what it meant before. The result is not to be changed.
func (c *resolvConf) get() *dns.ClientConfig {
	c.mu.Lock()
	defer c.mu.Unlock()
	now, err := os.Stat(c.path)
	if err != nil {
		now = nil
	}
	if c.read && sameFile(c.seen, now) {
		return c.conf
	}
	text, err := readRegular(c.path, maxConfText)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		if c.conf == nil {
			c.conf = parseResolvConf(nil)
		}
		return c.conf // and tried again the next time
	}
	c.conf = parseResolvConf(text)
	// The stamp is the one from before reading: what was written meanwhile is read the next time.
	c.seen, c.read = now, true
	return c.conf
}

// servers are those of the file, and how patient it wants one to be.
func (c *resolvConf) servers(conf *dns.ClientConfig) servers {
	s := servers{timeout: time.Duration(conf.Timeout) * time.Second, attempts: conf.Attempts}
	for _, text := range conf.Servers {
		if a, err := netip.ParseAddr(text); err == nil {
			s.addrs = append(s.addrs, netip.AddrPortFrom(a, c.port))
		}
	}
	return s
}

func parseResolvConf(text []byte) *dns.ClientConfig {
	conf, err := dns.ClientConfigFromReader(bytes.NewReader(text))
	if err != nil { // a reader of bytes has none
		conf = &dns.ClientConfig{Ndots: 1, Timeout: 5, Attempts: 2}
	}
	var servers, search []string
	for _, s := range conf.Servers {
		if _, err := netip.ParseAddr(s); err == nil && len(servers) < maxConfServers {
			servers = append(servers, s)
		}
	}
	if len(servers) == 0 {
		servers = []string{"127.0.0.1", "::1"}
	}
	for _, s := range conf.Search {
		// "." is the name as it is, which is tried in any case.
		if _, ok := dns.IsDomainName(s); ok && s != "." && len(search) < maxConfSearch {
			search = append(search, s)
		}
	}
	conf.Servers, conf.Search = servers, search
	conf.Timeout, conf.Attempts = min(conf.Timeout, maxConfTimeout), min(conf.Attempts, maxConfAttempts)
	return conf
}

// sameFile reports whether a file has not been changed or replaced between two looks; nil is a look that found none.
func sameFile(a, b os.FileInfo) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return os.SameFile(a, b) && a.ModTime().Equal(b.ModTime()) && a.Size() == b.Size()
}

// readRegular reads a regular file of at most so many bytes. Anything else, a pipe say, might never end.
func readRegular(name string, most int64) ([]byte, error) {
	f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, &os.PathError{Op: "read", Path: name, Err: errNotRegular}
	case info.Size() > most:
		return nil, &os.PathError{Op: "read", Path: name, Err: errTooLarge}
	}
	return io.ReadAll(io.LimitReader(f, most))
}
