package admin

import (
	"bytes"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// tokenFile writes a token file.
func tokenFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "token")
	rewrite(t, path, text)
	return path
}

// rewrite replaces a file as those do that rotate tokens: by renaming a new one over it.
func rewrite(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

func TestToken(t *testing.T) {
	unix := "unix:" + filepath.Join(t.TempDir(), "s")
	for _, listen := range []string{"127.0.0.1:0", unix, "0.0.0.0:0"} {
		s := serve(t, Options{Listen: listen, View: running, TokenFile: tokenFile(t, "\tsecret\n")})
		for _, path := range []string{"/", "/stats", "/metrics", "/nothing"} {
			for authorization, allowed := range map[string]bool{
				"Bearer secret": true, "bearer secret": true, "Bearer  secret": true,
				"": false, "secret": false, "Bearer": false, "Bearer ": false, "Bearer secre": false, "Bearer secrett": false, "Basic secret": false,
			} {
				got := ask(t, s, "GET", path, "Authorization", authorization)
				if refused := got.status == http.StatusUnauthorized; refused == allowed {
					t.Errorf("%s %s with %q: %d", listen, path, authorization, got.status)
				} else if refused && (got.header.Get("WWW-Authenticate") == "" || !strings.Contains(got.body, "Authorization: Bearer TOKEN")) {
					t.Errorf("%s %s: refused with %v, %q", listen, path, got.header, got.body)
				}
			}
		}
		for _, path := range []string{"/live", "/ready"} {
			if got := ask(t, s, "GET", path); got.status != 200 {
				t.Errorf("%s %s without a token: %d", listen, path, got.status)
			}
		}
	}
}

// TestTokenChanges rotates the token, and spoils the file in ways that must leave the last good token in force.
func TestTokenChanges(t *testing.T) {
	var log bytes.Buffer
	path := tokenFile(t, "one")
	s := serve(t, Options{Listen: "127.0.0.1:0", TokenFile: path, Log: slog.New(slog.NewTextHandler(&log, nil))})
	status := func(token string) int { return ask(t, s, "GET", "/stats", "Authorization", "Bearer "+token).status }
	expect := func(when, right, wrong string) {
		t.Helper()
		if a, b := status(right), status(wrong); a != 200 || b != 401 {
			t.Errorf("%s: %q gets %d, %q gets %d", when, right, a, wrong, b)
		}
	}
	expect("at first", "one", "two")
	rewrite(t, path, "two")
	expect("after a rotation", "two", "one")

	rewrite(t, path, "")
	expect("with an empty file", "two", "one")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	expect("without a file", "two", "one")
	rewrite(t, path, "three")
	expect("with a file again", "three", "two")

	// Written in place, with the same length.
	if err := os.WriteFile(path, []byte("seven"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(path, time.Time{}, time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	expect("written in place", "seven", "three")

	closeServer(t, s) // all has been logged
	if n := strings.Count(log.String(), "old token stays in force"); n != 2 {
		t.Errorf("%d warnings, want one for each spoiled state of the file:\n%s", n, log.String())
	}
}

func TestSetTokenFile(t *testing.T) {
	s := serve(t, Options{Listen: "127.0.0.1:0", TokenFile: tokenFile(t, "one")})
	if err := s.SetTokenFile(tokenFile(t, "")); err == nil {
		t.Error("an empty file was taken")
	}
	if got := ask(t, s, "GET", "/stats", "Authorization", "Bearer one"); got.status != 200 {
		t.Errorf("after a file that was not taken: %d", got.status)
	}
	if err := s.SetTokenFile(tokenFile(t, "two")); err != nil {
		t.Error(err)
	}
	if got := ask(t, s, "GET", "/stats", "Authorization", "Bearer one"); got.status != 401 {
		t.Errorf("the old file's token: %d", got.status)
	}
	if err := s.SetTokenFile(""); err != nil {
		t.Error(err)
	}
	if got := ask(t, s, "GET", "/stats"); got.status != 200 {
		t.Errorf("without a token file: %d", got.status)
	}
	open := serve(t, Options{Listen: "0.0.0.0:0", TokenFile: tokenFile(t, "one")})
	if err := open.SetTokenFile(""); err == nil {
		t.Error("an address that other machines reach may do without a token")
	}
}
