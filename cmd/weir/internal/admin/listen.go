package admin

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// address is a parsed Options.Listen: one of the two is set.
type address struct {
	tcp  netip.AddrPort
	path string // of a Unix socket
}

func parseListen(listen string) (address, error) {
	if path, ok := strings.CutPrefix(listen, "unix:"); ok {
		if path == "" || path[0] == '@' || strings.ContainsRune(path, 0) {
			return address{}, errors.New(`want "unix:" and the path of a file: "unix:/run/weir.sock"`)
		}
		return address{path: path}, nil
	}
	tcp, err := netip.ParseAddrPort(listen)
	if err != nil {
		return address{}, errors.New(`want an IP address and port ("127.0.0.1:9901", "[::1]:9901"), or "unix:" and a file`)
	}
	return address{tcp: tcp}, nil
}

// local reports whether only this machine can connect.
func (a address) local() bool { return a.path != "" || a.tcp.Addr().Unmap().IsLoopback() }

// listen opens the socket; the second result is set for a Unix socket.
func (a address) listen() (net.Listener, *socketFile, error) {
	if a.path != "" {
		return listenUnix(a.path)
	}
	ln, err := net.Listen("tcp", a.tcp.String())
	return ln, nil, err
}

// socketMode lets the owner and the group in.
const socketMode fs.FileMode = 0o660

// socketFile is the file of a Unix socket that this process listens on.
type socketFile struct {
	path string
	info fs.FileInfo
	once sync.Once
}

// listenUnix listens on a Unix socket and takes the place of one that nobody answers on any more. The file never has a wider
// mode than socketMode: since Linux takes a socket's file mode from the socket itself, it is set before bind.
func listenUnix(path string) (net.Listener, *socketFile, error) {
	if err := removeStale(path); err != nil {
		return nil, nil, err
	}
	config := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var err error
		if e := c.Control(func(fd uintptr) { err = unix.Fchmod(int(fd), uint32(socketMode)) }); e != nil {
			return e
		}
		return err
	}}
	ln, err := config.Listen(context.Background(), "unix", path)
	if err != nil {
		return nil, nil, err
	}
	ln.(*net.UnixListener).SetUnlinkOnClose(false) // the path may be another's by then
	err = os.Chmod(path, socketMode)               // the umask may have narrowed it
	info, statErr := os.Lstat(path)
	if err := errors.Join(err, statErr); err != nil {
		_ = ln.Close()
		_ = os.Remove(path)
		return nil, nil, err
	}
	return ln, &socketFile{path: path, info: info}, nil
}

// remove removes the file, once, unless another process has put its own there. It is called while the socket is still open: that
// holds the inode, whose number nobody else can have until then.
func (f *socketFile) remove() {
	f.once.Do(func() {
		if info, err := os.Lstat(f.path); err == nil && os.SameFile(info, f.info) {
			_ = os.Remove(f.path)
		}
	})
}

// removeStale removes a socket that a process left behind; it is an error if there is a file of another kind, or if somebody answers.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode().Type() != fs.ModeSocket:
		return fmt.Errorf("%s exists and is no socket: remove it or choose another path", path)
	}
	conn, err := net.DialTimeout("unix", path, time.Second)
	switch {
	case err == nil:
		_ = conn.Close()
		return fmt.Errorf("another process answers on %s: stop it or choose another path", path)
	case errors.Is(err, unix.ECONNREFUSED):
		return os.Remove(path)
	}
	return fmt.Errorf("%s exists, and whether it is in use can't be told: %w", path, err)
}
