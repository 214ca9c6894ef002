package config

import (
	"fmt"
	"testing"
)

func TestOverlap(t *testing.T) {
	const no, yes = false, true
	only := func(bind string) string { return fmt.Sprintf("bind = %q\nv6_only = true\n", bind) }
	both := func(bind string) string { return fmt.Sprintf("bind = %q\n", bind) }
	udp := func(bind string) string { return fmt.Sprintf("bind = %q\nprotocol = \"udp\"\n", bind) }
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{udp("127.0.0.1:80"), both("127.0.0.1:80"), no},
		{udp(":80"), both(":80"), no},
		{udp("127.0.0.1:80"), udp("127.0.0.1:80"), yes},
		{udp("127.0.0.1:80"), udp(":80"), yes},
		{udp("127.0.0.1:9901"), both("127.0.0.1:80"), no}, // the admin side is TCP
		{both("127.0.0.1:80"), both("127.0.0.1:80"), yes},
		{both("127.0.0.1:80"), both("127.0.0.1:81"), no},
		{both("127.0.0.1:80"), both("127.0.0.2:80"), no},
		{both("127.0.0.1:80"), both("[::ffff:127.0.0.1]:80"), yes},
		{both("127.0.0.1:80"), both("0.0.0.0:80"), yes},
		{both("127.0.0.1:80"), both("[::]:80"), yes},
		{both("127.0.0.1:80"), only("[::]:80"), no},
		{both("127.0.0.1:80"), both("[::1]:80"), no},
		{both("[::1]:80"), both("[::1]:80"), yes},
		{both("[::1]:80"), both("0.0.0.0:80"), no},
		{both("[::1]:80"), both("[::]:80"), yes},
		{both("[::1]:80"), only("[::]:80"), yes},
		{both("[fe80::1%a]:80"), both("[fe80::1%b]:80"), no},
		{both("[fe80::1%a]:80"), both("[fe80::1%a]:80"), yes},
		{both("[fe80::1%a]:80"), both(":80"), yes},
		{both("0.0.0.0:80"), both("0.0.0.0:80"), yes},
		{both("0.0.0.0:80"), both("[::]:80"), yes},
		{both("0.0.0.0:80"), only("[::]:80"), no},
		{both("[::]:80"), only("[::]:80"), yes},
		{only("[::]:80"), only("[::]:80"), yes},
		{both(":0"), both(":0"), no},
		{both("127.0.0.1:0"), both("127.0.0.1:0"), no},
	} {
		for _, pair := range [][2]string{{c.a, c.b}, {c.b, c.a}} {
			_, err := Parse([]Source{{Name: "f", Text: "[listeners.a]\ncluster = \"c\"\n" + pair[0] + "[listeners.b]\ncluster = \"c\"\n" + pair[1] + "[clusters.c]\nendpoints = [\"127.0.0.1:1\"]\n"}})
			if (err != nil) != c.want {
				t.Errorf("%q and %q: overlap %t, want %t (%v)", pair[0], pair[1], err != nil, c.want, err)
			}
		}
	}
}
