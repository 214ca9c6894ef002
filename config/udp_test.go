package config

import (
	"testing"
	"time"
)

// How long a UDP listener waits depends on what is said, in whatever order and source.
func TestIdleTimeoutOfProtocols(t *testing.T) {
	for _, c := range []struct {
		sets []string
		want time.Duration
	}{
		{nil, time.Hour},
		{[]string{"listeners.web.protocol=tcp"}, time.Hour},
		{[]string{"listeners.web.protocol=udp"}, time.Minute},
		{[]string{"listeners.web.protocol=udp", "listeners.web.idle_timeout=0s"}, 0},
		{[]string{"listeners.web.idle_timeout=1h", "listeners.web.protocol=udp"}, time.Hour},
		{[]string{"listeners.web.protocol=udp", "listeners.web.protocol="}, time.Hour},
	} {
		if got := parse(t, valid, c.sets...).Listeners[0].IdleTimeout; got != c.want {
			t.Errorf("%q: got %v, want %v", c.sets, got, c.want)
		}
	}
}

// What a source that could not be read may have said makes nothing wrong of the others.
func TestProtocolOfAnUnreadSource(t *testing.T) {
	_, err := Parse([]Source{
		{Name: "a.toml", Text: "[listeners.quic]\nbind = \":443\"\nudp = { max_flows = 5 }\n[[listeners.quic.routes]]\nsni = [\"a.example.com\"]\ncluster = \"c\"\n"},
		{Name: "b.toml", Text: "[listeners.quic]\nprotocol = udp\nudp.quic = true\n"},
	})
	if all, ok := err.(Errors); !ok || len(all) != 1 || all[0].Source != "b.toml" {
		t.Errorf("got\n%v, want the error of b.toml alone", err)
	}
}

func TestUDPLimits(t *testing.T) {
	for _, c := range []struct {
		set  string
		want UDP
	}{
		{"responses=65535", UDP{Responses: 65535, MaxFlows: 65536}},
		{"max_flows=1", UDP{MaxFlows: 1}},
		{"max_flows=2147483647", UDP{MaxFlows: 1<<31 - 1}},
		{"receive_buffer=4096", UDP{MaxFlows: 65536, ReceiveBuffer: 4096}},
		{"send_buffer=256MiB", UDP{MaxFlows: 65536, SendBuffer: 256 << 20}},
	} {
		if got := parse(t, valid, "listeners.web.protocol=udp", "listeners.web.udp."+c.set).Listeners[0].UDP; got != c.want {
			t.Errorf("%s: got %+v, want %+v", c.set, got, c.want)
		}
	}
}
