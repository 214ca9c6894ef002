package measure

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

const (
	ipv4       = "/proc/sys/net/ipv4/"
	congestion = "cubic"
	isolated   = "BENCH_ISOLATED" // set in the environment of the isolated copy
)

// Congestion returns the congestion control new connections get here.
func Congestion() (string, error) {
	text, err := os.ReadFile(ipv4 + "tcp_congestion_control")
	return strings.TrimSpace(string(text)), err
}

// Isolated reports whether this is the copy that Isolate runs: it has no network.
func Isolated() bool { return os.Getenv(isolated) != "" }

// Isolate makes sure that connections use cubic, without changing the machine
// for others: bbr paces, and pacing distorts loopback. Where another congestion
// control is the default it runs this program again, with the same arguments, in
// a network namespace of its own that has nothing but a loopback device, and
// reports done with that copy's exit code; then the caller is to exit with it.
// It needs CAP_NET_ADMIN and CAP_SYS_ADMIN for that.
func Isolate() (done bool, code int, err error) {
	if Isolated() {
		return false, 0, enterIsolated()
	}
	now, err := Congestion()
	if err != nil {
		return false, 0, fmt.Errorf("congestion control: %w", err)
	}
	if now == congestion {
		return false, 0, nil
	}
	restore, err := allow(congestion)
	if err != nil {
		return false, 0, fmt.Errorf("congestion control is %s, which paces and distorts loopback, and %s can't be had: %w; run `sysctl net.ipv4.tcp_congestion_control=%s`", now, congestion, err, congestion)
	}
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Args[0] = os.Args[0]
	cmd.Env = append(os.Environ(), isolated+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET, Pdeathsig: unix.SIGTERM}
	// A namespace may choose only what the machine allows all users; the copy
	// has chosen when it writes to this pipe, and then the list goes back.
	r, w, err := os.Pipe()
	if err == nil {
		cmd.ExtraFiles = []*os.File{w}
		err = cmd.Start()
		w.Close()
		_, _ = r.Read(make([]byte, 1))
		r.Close()
	}
	if err = errors.Join(err, restore()); err != nil {
		return false, 0, fmt.Errorf("a network namespace with %s: %w; or run `sysctl net.ipv4.tcp_congestion_control=%s`", congestion, err, congestion)
	}
	err = cmd.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return true, max(exit.ExitCode(), 1), nil
	}
	return err == nil, 0, err
}

// allow adds a congestion control to those that unprivileged users, and so
// network namespaces, may choose; restore puts the list back.
func allow(name string) (restore func() error, err error) {
	const file = ipv4 + "tcp_allowed_congestion_control"
	before, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	if slices.Contains(strings.Fields(string(before)), name) {
		return func() error { return nil }, nil
	}
	if err := os.WriteFile(file, []byte(strings.TrimSpace(string(before))+" "+name), 0o644); err != nil {
		return nil, err
	}
	return func() error { return os.WriteFile(file, before, 0o644) }, nil
}

// enterIsolated prepares the new namespace: cubic, and loopback up.
func enterIsolated() error {
	ready := os.NewFile(3, "ready")
	defer ready.Close()
	if err := os.WriteFile(ipv4+"tcp_congestion_control", []byte(congestion), 0o644); err != nil {
		return fmt.Errorf("choose %s: %w", congestion, err)
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("loopback: %w", err)
	}
	defer unix.Close(fd)
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		return fmt.Errorf("loopback: %w", err)
	}
	lo.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, lo); err != nil {
		return fmt.Errorf("loopback up: %w", err)
	}
	return nil
}
