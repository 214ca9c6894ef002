package config

import (
	"math"
	"testing"
)

func TestSizes(t *testing.T) {
	for text, want := range map[string]int64{
		"0": 0, "1": 1, "65536": 65536, "10B": 10, "64KiB": 64 << 10, "1MiB": 1 << 20, "2GiB": 2 << 30, "1kB": 1000, "3MB": 3e6, "4GB": 4e9,
		"9223372036854775807": math.MaxInt64, "8589934591GiB": 8589934591 << 30,
		"": -1, "B": -1, "KiB": -1, "64K": -1, "64kib": -1, "64 KiB": -1, "-1": -1, "+1": -1, "1.5MiB": -1, "0x10": -1, "1_000": -1,
		"9223372036854775808": -1, "8589934592GiB": -1, "99999999999999999999B": -1,
	} {
		got, ok := parseSize(text)
		if ok != (want >= 0) || ok && got != want {
			t.Errorf("%q is %d, %t; want %d", text, got, ok, want)
		}
	}
	for n, want := range map[int64]string{0: "0B", 1: "1B", 1000: "1000B", 4096: "4KiB", 16 << 20: "16MiB", 3 << 30: "3GiB", 1<<20 + 1: "1048577B"} {
		got := formatSize(n)
		if got != want {
			t.Errorf("%d is written %q, want %q", n, got, want)
		}
		if back, ok := parseSize(got); !ok || back != n {
			t.Errorf("%q is read as %d, want %d", got, back, n)
		}
	}
}

func TestNearValues(t *testing.T) {
	for text, want := range map[string]string{
		"64k": "64KiB", "64K": "64KiB", "64kib": "64KiB", "64 KiB": "64KiB", "64kb": "64kB", "1m": "1MiB", "2g": "2GiB", "7b": "7B", "x": "", "k": "", "1.5MiB": "", "64q": "", "": "",
	} {
		if got := nearSize(text); got != want {
			t.Errorf("size %q: near is %q, want %q", text, got, want)
		}
	}
	for text, want := range map[string]string{
		"30": "30s", "30 s": "30s", "30sec": "30s", "5min": "5m", "1d": "24h", "2 days": "48h", "1H": "1h", "soon": "", "-5": "", "": "",
	} {
		if got := nearDuration(text); got != want {
			t.Errorf("duration %q: near is %q, want %q", text, got, want)
		}
	}
}

func TestAdminListen(t *testing.T) {
	for text, want := range map[string]string{
		"": "", "127.0.0.1:9901": "127.0.0.1:9901", "localhost:1": "127.0.0.1:1", "[::1]:0": "[::1]:0", "unix:/run/weir.sock": "unix:/run/weir.sock", "unix:@weir": "unix:@weir",
	} {
		if s := parse(t, "admin.listen = "+literal(text)); s.Admin.Listen != want {
			t.Errorf("%q became %q, want %q", text, s.Admin.Listen, want)
		}
	}
	// Others can reach these, so a token is needed; with one they are taken.
	for text, want := range map[string]string{":9901": "[::]:9901", "*:9901": "[::]:9901", "0.0.0.0:1": "0.0.0.0:1", "192.0.2.1:1": "192.0.2.1:1"} {
		alone := []Source{{Name: "f", Text: "admin.listen = " + literal(text)}}
		if _, err := Parse(alone); err == nil {
			t.Errorf("%q needs no token", text)
		}
		if s := parse(t, alone[0].Text, "admin.token_file=t"); s.Admin.Listen != want {
			t.Errorf("%q became %q, want %q", text, s.Admin.Listen, want)
		}
	}
	for _, text := range []string{"9901", "127.0.0.1", "example.com:80", "unix:", "tcp:1", "127.0.0.1:x", "unix:" + string(make([]byte, 200))} {
		if _, err := Parse([]Source{{Name: "s", Kind: Set, Text: "admin.listen=" + text}}); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}
