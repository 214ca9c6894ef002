package control

import (
	"fmt"
	"math"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"weir/cmd/weir/internal/build"
	"weir/eventloop"
)

// tryOptions finds out whether the kernel takes the options, on a socket of no use.
func tryOptions(o build.Socket) error {
	if o.Datagrams() {
		return nil // what the kernel doesn't have is done without
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("socket: %w", err)
	}
	defer func() { _ = unix.Close(fd) }()
	return setOptions(fd, o.TCP)
}

// setOptions gives a socket that exists the options of eventloop.Listen, also those that are the kernel's defaults again.
// Connections accepted from then on inherit them.
func setOptions(fd int, o eventloop.ListenOptions) error {
	congestion := o.Congestion
	if congestion == "" {
		text, err := os.ReadFile("/proc/sys/net/ipv4/tcp_congestion_control")
		if err != nil {
			return fmt.Errorf("default congestion control: %w", err)
		}
		congestion = strings.TrimSpace(string(text))
	}
	if err := unix.SetsockoptString(fd, unix.IPPROTO_TCP, unix.TCP_CONGESTION, congestion); err != nil {
		return fmt.Errorf("congestion control %q: %w", congestion, err)
	}
	options := []struct {
		name                 string
		level, option, value int
	}{
		{"SO_KEEPALIVE", unix.SOL_SOCKET, unix.SO_KEEPALIVE, one(o.Keepalive > 0)},
		{"TCP_USER_TIMEOUT", unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(o.UserTimeout / time.Millisecond)},
		{"TCP_DEFER_ACCEPT", unix.IPPROTO_TCP, unix.TCP_DEFER_ACCEPT, one(o.DeferAccept)},
		{"TCP_FASTOPEN", unix.IPPROTO_TCP, unix.TCP_FASTOPEN, 256 * one(o.FastOpen)},
		{"TCP_KEEPIDLE", unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, seconds(o.Keepalive)},
		{"TCP_KEEPINTVL", unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, seconds(o.Keepalive / 3)},
	}
	if o.Keepalive == 0 {
		options = options[:4]
	}
	for _, s := range options {
		if err := unix.SetsockoptInt(fd, s.level, s.option, s.value); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	return nil
}

// backlog is the length to ask for; the kernel cuts it to net.core.somaxconn.
func backlog(o eventloop.ListenOptions) int {
	if o.Backlog > 0 {
		return o.Backlog
	}
	return math.MaxInt32
}

func seconds(d time.Duration) int { return max(1, int((d+time.Second-1)/time.Second)) }

func one(b bool) int {
	if b {
		return 1
	}
	return 0
}
