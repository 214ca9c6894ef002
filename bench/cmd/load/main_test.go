package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"testing"

	"weir/bench/load"
)

// A loop in a raw wait keeps its processor: there must be some to spare for the
// proxy and the test.
func TestMain(m *testing.M) {
	runtime.GOMAXPROCS(8)
	os.Exit(m.Run())
}

func Example() {
	code := run([]string{"juggle"}, strings.NewReader(""), io.Discard, os.Stdout)
	fmt.Println(code)
	// Output:
	// usage: load backend|rtt|bulk|conn|idle|open|mix|udprtt|udpflood|udpbulk|dns|udpidle|udpopen [flags]
	// 2
}

// startBackend runs the backend subcommand for the length of a test.
func startBackend(t *testing.T) load.Services {
	t.Helper()
	in, hold := io.Pipe()
	out, w := io.Pipe()
	ended := make(chan int, 1)
	go func() { ended <- run([]string{"backend"}, in, w, io.Discard) }()
	var s load.Services
	if err := json.NewDecoder(out).Decode(&s); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		hold.Close()
		if code := <-ended; code != 0 {
			t.Errorf("the backend's exit code is %d", code)
		}
	})
	return s
}

func echo(s load.Services) string   { return s.Echo }
func bulkAt(s load.Services) string { return s.Bulk }
func once(s load.Services) string   { return s.Once }

// subcommands are small runs of each generator.
var subcommands = []struct {
	args    string
	service func(load.Services) string
	units   int64
}{
	{"rtt -conns 2 -n 100", echo, 100},
	{"bulk -conns 2 -bytes 600000", bulkAt, 600_000},
	{"bulk -conns 2 -bytes 600000 -up", bulkAt, 600_000},
	{"bulk -conns 2 -bytes 600000 -both", bulkAt, 1_200_000},
	{"conn -conns 2 -n 20", once, 20},
	{"idle -conns 5", echo, 5},
	{"open -conns 2 -rate 1000 -duration 50ms", echo, 50},
	{"open -conns 2 -rate 1000 -n 40", echo, 40},
	{"mix -conns 2 -bulk-conns 2 -rate 3000 -bytes 3000000", mixAt, 3_000_000},
}

// runLoad runs a generator and returns its exit code and last line.
func runLoad(t *testing.T, args, addr string) (int, load.Result, string) {
	t.Helper()
	var out, errs bytes.Buffer
	code := run(append(strings.Fields(args), "-addr", addr), strings.NewReader(""), &out, &errs)
	text := strings.TrimPrefix(out.String(), "ready\n")
	var r load.Result
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		t.Fatalf("%s: printed %q: %v; %s", args, text, err, &errs)
	}
	return code, r, text
}

func TestHonestPaths(t *testing.T) {
	at := startBackend(t)
	for _, c := range subcommands {
		for _, path := range []struct {
			name string
			addr string
		}{
			{"direct", c.service(at)},
			{"proxy", proxy(t, c.service(at), honest, honest)},
		} {
			t.Run(c.args+" "+path.name, func(t *testing.T) {
				code, r, text := runLoad(t, c.args, path.addr)
				if code != 0 || r.Error != "" || r.Units != c.units {
					t.Fatalf("exit code %d, want 0; %s, want %d units", code, text, c.units)
				}
				if r.Work != strings.Fields(c.args)[0] {
					t.Errorf("work %q", r.Work)
				}
			})
		}
	}
}

func TestSpoiledPathsFail(t *testing.T) {
	at := startBackend(t)
	const late = 30 // past the first message of the slow path, within the work
	for _, spoil := range []struct {
		name string
		down spoiler
		args string
		want string
	}{
		{"altered answer", flip(late), "", "data lost or altered"},
		{"doubled byte", double(late), "", "data lost or altered"},
		{"cut answer", cut(late), "", ""}, // an end or a reset, as it falls
		{"lost byte", lose(late), "-stall 300ms", ""},
		{"altered first answer", flip(3), "", ""},
		{"cut first answer", cut(3), "", ""},
	} {
		for _, c := range subcommands {
			if !strings.Contains(spoil.name, "first") && (strings.HasPrefix(c.args, "idle") || strings.HasSuffix(c.args, "-up")) {
				continue // gets no more than its first answer and a receipt
			}
			t.Run(c.args+" "+spoil.name, func(t *testing.T) {
				code, r, text := runLoad(t, c.args+" "+spoil.args, proxy(t, c.service(at), honest, spoil.down))
				if code != 1 || r.Error == "" || !strings.Contains(r.Error, spoil.want) {
					t.Fatalf("exit code %d, want 1; %s, want %q", code, text, spoil.want)
				}
			})
		}
	}
}

// Partial reads and writes are put together, whatever their sizes.
func TestCrumbs(t *testing.T) {
	at := startBackend(t)
	for _, c := range append(subcommands[:len(subcommands):len(subcommands)], []struct {
		args    string
		service func(load.Services) string
		units   int64
	}{
		{"rtt -conns 3 -size 16384 -n 30", echo, 30},
		{"open -conns 2 -size 16384 -rate 1000 -n 30", echo, 30},
		{"mix -conns 2 -size 5000 -rate 200 -bytes 1000000", mixAt, 1_000_000},
	}...) {
		for _, piece := range []int{61, 1021} {
			t.Run(fmt.Sprintf("%s by %d", c.args, piece), func(t *testing.T) {
				if code, r, text := runLoad(t, c.args, crumbs(t, c.service(at), piece)); code != 0 || r.Units != c.units {
					t.Fatalf("exit code %d, want 0; %s, want %d units", code, text, c.units)
				}
			})
		}
	}
}

// Neither kind of connection of mix hides what happens to the other.
func TestSpoiledMixFails(t *testing.T) {
	services := startBackend(t)
	small := func(off int64, b []byte) bool { return off > 8 && len(b) > 0 && len(b) <= 640 }
	for _, c := range []struct {
		name string
		down spoiler
		want string
	}{
		{"altered bulk", flip(900_000), "data lost or altered"},
		{"altered message", func(off int64, b []byte) ([]byte, error) {
			if small(off, b) {
				b[0] ^= 1
			}
			return b, nil
		}, "data lost or altered"},
		{"lost message", func(off int64, b []byte) ([]byte, error) {
			if small(off, b) {
				return nil, nil
			}
			return b, nil
		}, ""}, // stalled, as a rule; a small piece of bulk may be hit too
		{"bulk stands still", func(off int64, b []byte) ([]byte, error) {
			if off > 900_000 {
				return nil, nil
			}
			return b, nil
		}, "stalled"},
	} {
		t.Run(c.name, func(t *testing.T) {
			args := "mix -conns 2 -bulk-conns 1 -rate 3000 -bytes 60000000 -stall 300ms"
			code, r, text := runLoad(t, args, proxy(t, services.Mix, honest, c.down))
			if code != 1 || r.Error == "" || !strings.Contains(r.Error, c.want) {
				t.Fatalf("exit code %d, want 1; %s, want %q", code, text, c.want)
			}
		})
	}
}

// What is altered on its way to the backend shows in the receipt.
func TestSpoiledUploadFails(t *testing.T) {
	at := startBackend(t)
	for _, c := range []struct {
		name string
		up   spoiler
		args string
		want string
	}{
		{"altered", flip(250_000), "", "receipt is 0xffffffffffffffff"},
		{"doubled", double(250_000), "", "receipt is 0xffffffffffffffff"},
		{"lost", lose(250_000), " -stall 300ms", "stalled"}, // the last byte never comes
	} {
		for _, way := range []string{"-up", "-both"} {
			t.Run(c.name+way, func(t *testing.T) {
				code, r, text := runLoad(t, "bulk -conns 1 -bytes 600000 "+way+c.args, proxy(t, at.Bulk, c.up, honest))
				if code != 1 || !strings.Contains(r.Error, c.want) {
					t.Fatalf("exit code %d, want 1; %s, want %q", code, text, c.want)
				}
			})
		}
	}
}

func TestNobodyListens(t *testing.T) {
	for _, c := range subcommands {
		t.Run(c.args, func(t *testing.T) {
			// Port 1 is below what an unprivileged port can be chosen from.
			if code, r, text := runLoad(t, c.args, "127.0.0.1:1"); code != 1 || r.Error == "" {
				t.Fatalf("exit code %d, want 1; %s", code, text)
			}
		})
	}
}

func TestCommandLine(t *testing.T) {
	for _, args := range []string{"", "juggle", "rtt -size many", "rtt more", "backend -host"} {
		if code := run(strings.Fields(args), strings.NewReader(""), io.Discard, io.Discard); code != 2 {
			t.Errorf("load %s: exit code %d, want 2", args, code)
		}
	}
}

// With -gate nothing happens before the line, and the result comes before the
// end of the input.
func TestGate(t *testing.T) {
	at := startBackend(t)
	for _, c := range append(subcommands[:len(subcommands):len(subcommands)], overUDP...) {
		if strings.HasPrefix(c.args, "idle") {
			continue // waits for no line
		}
		t.Run(c.args, func(t *testing.T) {
			in, word := io.Pipe()
			said, out := io.Pipe()
			ended := make(chan int, 1)
			go func() {
				ended <- run(append(strings.Fields(c.args), "-gate", "-addr", c.service(at)), in, out, io.Discard)
				out.Close()
			}()
			lines := bufio.NewScanner(said)
			if !lines.Scan() || lines.Text() != "ready" {
				t.Fatalf("first line %q, want ready", lines.Text())
			}
			fmt.Fprintln(word)
			var r load.Result
			if !lines.Scan() || json.Unmarshal(lines.Bytes(), &r) != nil || r.Units != c.units {
				t.Fatalf("second line %q", lines.Text())
			}
			word.Close()
			if lines.Scan() {
				t.Errorf("third line %q", lines.Text())
			}
			if code := <-ended; code != 0 {
				t.Errorf("exit code %d", code)
			}
		})
	}
}
