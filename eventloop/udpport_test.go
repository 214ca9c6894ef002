package eventloop

import (
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"
)

// A free port is nobody's: not one that others share. With so many taken, one that is ready to share would be given some of them.
func TestListenDatagramsFreePort(t *testing.T) {
	o := DatagramOptions{Addr: netip.MustParseAddrPort("127.0.0.1:0")}
	taken := map[netip.AddrPort]bool{}
	for range 2000 {
		fds, err := ListenDatagrams(o, 2)
		if err != nil {
			t.Fatal(err)
		}
		for _, fd := range fds {
			t.Cleanup(func() { _ = unix.Close(fd) })
		}
		at, err := ListeningOn(fds[0])
		if err != nil {
			t.Fatal(err)
		}
		if other, err := ListeningOn(fds[1]); err != nil || other != at {
			t.Fatalf("%v beside %v: %v", other, at, err)
		}
		if taken[at] {
			t.Fatalf("%v was given twice", at)
		}
		taken[at] = true
	}
}
