package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"sync"
	"syscall"
	"testing"
	"time"

	"weir/cmd/weir/internal/echotest"
)

// With 64 descriptors weir has places for some fifteen sessions. Of 500 clients at once all are served in the end, and
// weir neither dies nor spins on what it can't accept.
func TestFewDescriptors(t *testing.T) {
	const clients = 500
	text := fmt.Sprintf(proxied, "1s", echotest.Serve(t, ""))
	p := launch(t, "sh", "-c", `ulimit -n 64 && exec "$@"`, "sh", binary, "run", "--config-toml", text)
	web := p.at("web")
	admin := "http://" + p.says(`msg="admin listening" address=(\S+)`)[1]

	// First as many as there are places for, and more, that stay: the rest has to wait without work for weir.
	hold := make(chan struct{})
	release := sync.OnceFunc(func() { close(hold) })
	t.Cleanup(release)
	errs := make(chan error, clients)
	var connected sync.WaitGroup
	connected.Add(clients)
	for range clients {
		go func() {
			c, err := net.DialTimeout("tcp", web, patience)
			connected.Done()
			if err != nil {
				errs <- err
				return
			}
			defer func() { _ = c.Close() }()
			<-hold
			if err = echo(c); errors.Is(err, syscall.ECONNRESET) { // it had rested for a second, which is too long where there are so few descriptors
				err = again(web)
			}
			errs <- err
		}()
	}
	connected.Wait()
	p.eventually("accepting pauses", func() bool { return workIn(t, admin).pauses > 0 })
	from := time.Now()
	before := workIn(t, admin)
	p.says(`level=WARN msg="accepting paused: .*" listener=web`)
	after := workIn(t, admin)
	// Each of two loops pauses for 50 ms, and turns a few times for that. A spin would be thousands.
	possible := 2 * uint64(time.Since(from)/(50*time.Millisecond)+1)
	if n := after.pauses - before.pauses; n > possible {
		t.Errorf("%d pauses, %d are possible", n, possible)
	}
	if n := after.turns - before.turns; n > 20*possible+200 {
		t.Errorf("%d turns of the loops for %d pauses", n, possible)
	}
	release()
	for range clients {
		if err := <-errs; err != nil {
			t.Fatal(err)
		}
	}
	p.terminate()
}

// again makes another session.
func again(web string) error {
	c, err := net.DialTimeout("tcp", web, patience)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	return echo(c)
}

// work is what /stats says of pauses and of turns of the loops.
type work struct{ pauses, turns uint64 }

func workIn(t *testing.T, admin string) (w work) {
	t.Helper()
	_, body := get(t, admin+"/stats")
	var report struct {
		Loops []struct {
			AcceptPauses uint64 `json:"accept_pauses"`
			Batches      uint64 `json:"batches"`
		} `json:"loops"`
	}
	if err := json.Unmarshal([]byte(body), &report); err != nil {
		t.Fatal(err)
	}
	for _, l := range report.Loops {
		w.pauses += l.AcceptPauses
		w.turns += l.Batches
	}
	return w
}
