package control

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"weir/config"
)

func TestCut(t *testing.T) {
	for _, c := range []struct {
		b    buffer
		want bool
	}{
		{buffer{asked: 8 << 20, given: 4 << 20}, true},
		{buffer{asked: 8 << 20, given: 8 << 20}, false},
		{buffer{asked: 4096, given: 4608}, false}, // the kernel has a least
		{buffer{asked: 0, given: 208 << 10}, false},
		{buffer{asked: 8 << 20, given: 0}, false}, // unknown
	} {
		if got := c.b.cut(); got != c.want {
			t.Errorf("%+v: %v, want %v", c.b, got, c.want)
		}
	}
}

// A cut is said when it begins and when it changes, and not by every change of something else.
func TestCutIsSaidOnce(t *testing.T) {
	var log bytes.Buffer
	c := &Control{log: slog.New(slog.NewTextHandler(&log, nil))}
	asked := buffer{asked: 8 << 20, given: 4 << 20}
	for _, step := range []struct {
		b, was buffer
		says   string // "" = nothing
	}{
		{asked, buffer{}, "level=WARN msg=\"the kernel gives less than udp.receive_buffer asks for: raise net.core.rmem_max\" listener=dns asked=8388608 given=4194304\n"},
		{asked, asked, ""},
		{buffer{asked: 16 << 20, given: 4 << 20}, asked, "asked=16777216 given=4194304\n"},
		{buffer{asked: 4 << 20, given: 4 << 20}, asked, ""},
		{buffer{given: 4 << 20}, asked, ""},
	} {
		log.Reset()
		c.sayCut("dns", "receive_buffer", "net.core.rmem_max", step.b, step.was)
		if got := log.String(); step.says == "" && got != "" || !strings.HasSuffix(got, step.says) {
			t.Errorf("%+v after %+v: %q, want %q", step.b, step.was, got, step.says)
		}
	}
}

// A UDP listener's buffers are what is asked for, and follow a change on the sockets that there are.
func TestBuffers(t *testing.T) {
	parse := func(udp string) *config.Snapshot {
		s, err := config.Parse([]config.Source{{Name: "test", Kind: config.TOML, Text: fmt.Sprintf(`
process.loops = 2
admin.listen = ""
[listeners.dns]
protocol = "udp"
bind = ["127.0.0.1:0", "127.0.0.2:0"]
cluster = "c"
udp = { %s }
[listeners.web]
bind = "127.0.0.1:0"
cluster = "c"
[clusters.c]
endpoints = ["127.0.0.1:1"]`, udp)}})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	var log bytes.Buffer
	c, err := New(context.Background(), Options{Snapshot: parse(`receive_buffer = "64KiB", send_buffer = "96KiB"`), Log: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Shutdown(context.Background())
	before := c.sockets
	for _, step := range []struct {
		udp           string
		receive, send int // 0 = as much as there is
	}{
		{`receive_buffer = "64KiB", send_buffer = "96KiB"`, 64 << 10, 96 << 10},
		{`receive_buffer = "128KiB", send_buffer = "32KiB"`, 128 << 10, 32 << 10},
		{``, 0, 0},
	} {
		if err := c.Apply(parse(step.udp)); err != nil {
			t.Fatal(err)
		}
		dns, web := c.View().Listeners[0], c.View().Listeners[1]
		if web.ReceiveBuffer != 0 || web.SendBuffer != 0 {
			t.Errorf("the TCP listener: %+v", web)
		}
		switch {
		case step.receive == 0 && (dns.ReceiveBuffer <= 128<<10 || dns.SendBuffer <= 128<<10):
			t.Errorf("unset: %d and %d bytes", dns.ReceiveBuffer, dns.SendBuffer)
		case step.receive != 0 && (dns.ReceiveBuffer != step.receive || dns.SendBuffer != step.send):
			t.Errorf("%s: %d and %d bytes", step.udp, dns.ReceiveBuffer, dns.SendBuffer)
		}
		for key, s := range c.sockets {
			if before[key].fds[0] != s.fds[0] {
				t.Errorf("%v: another socket", key)
			}
		}
	}
	if strings.Contains(log.String(), "WARN") {
		t.Errorf("log:\n%s", &log)
	}
}
