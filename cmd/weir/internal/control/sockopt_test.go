package control

import (
	"context"
	"log/slog"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"weir/config"
	"weir/eventloop"
)

// inForce is what the kernel says of a listening socket.
type inForce struct {
	keepalive, idle, interval, userTimeout, deferAccept, fastOpen int
	congestion                                                    string
}

func readOptions(t *testing.T, fd int) (o inForce) {
	t.Helper()
	for _, c := range []struct {
		to            *int
		level, option int
	}{
		{&o.keepalive, unix.SOL_SOCKET, unix.SO_KEEPALIVE},
		{&o.idle, unix.IPPROTO_TCP, unix.TCP_KEEPIDLE},
		{&o.interval, unix.IPPROTO_TCP, unix.TCP_KEEPINTVL},
		{&o.userTimeout, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT},
		{&o.deferAccept, unix.IPPROTO_TCP, unix.TCP_DEFER_ACCEPT},
		{&o.fastOpen, unix.IPPROTO_TCP, unix.TCP_FASTOPEN},
	} {
		v, err := unix.GetsockoptInt(fd, c.level, c.option)
		if err != nil {
			t.Fatal(err)
		}
		*c.to = v
	}
	name, err := unix.GetsockoptString(fd, unix.IPPROTO_TCP, unix.TCP_CONGESTION)
	if err != nil {
		t.Fatal(err)
	}
	o.congestion = name
	if o.keepalive == 0 {
		o.idle, o.interval = 0, 0 // without effect
	}
	return o
}

var someOptions = []eventloop.ListenOptions{
	{},
	{Keepalive: 75 * time.Second},
	{Keepalive: 7 * time.Second, UserTimeout: 1500 * time.Millisecond, Congestion: "reno"},
	{DeferAccept: true, FastOpen: true},
}

// Changing the options of a socket that listens has to come to what opening it with them does, from any to any.
func TestOptionsOfOpenSocket(t *testing.T) {
	open := func(o eventloop.ListenOptions) int {
		o.Addr = netip.MustParseAddrPort("127.0.0.1:0")
		fds, err := eventloop.Listen(o, 1)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { closeAll(fds) })
		return fds[0]
	}
	for i, from := range someOptions {
		for j, to := range someOptions {
			fd := open(from)
			if err := setOptions(fd, to); err != nil {
				t.Fatal(err)
			}
			if got, want := readOptions(t, fd), readOptions(t, open(to)); got != want {
				t.Errorf("from %d to %d: %+v, want %+v", i, j, got, want)
			}
		}
	}
}

// A change of a listener's socket options reaches the sockets that it has.
func TestChangeTunesSockets(t *testing.T) {
	parse := func(tcp string) *config.Snapshot {
		s, err := config.Parse([]config.Source{{Name: "test", Kind: config.TOML, Text: `
process.loops = 2
admin.listen = ""
[listeners.web]
bind = "127.0.0.1:0"
cluster = "web"
tcp = { ` + tcp + ` }
[clusters.web]
endpoints = ["127.0.0.1:1"]`}})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	c, err := New(context.Background(), Options{Snapshot: parse(`keepalive = "75s"`), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Shutdown(context.Background())
	if err := c.Apply(parse(`keepalive = "0s", user_timeout = "3s"`)); err != nil {
		t.Fatal(err)
	}
	for _, s := range c.sockets {
		if len(s.fds) != 2 {
			t.Fatalf("%d sockets, want one for each loop", len(s.fds))
		}
		for _, fd := range s.fds {
			if got := readOptions(t, fd); got.keepalive != 0 || got.userTimeout != 3000 {
				t.Errorf("options in force: %+v", got)
			}
		}
	}
}
