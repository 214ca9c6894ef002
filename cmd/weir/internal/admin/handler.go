package admin

import (
	"bytes"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"

	"weir/cmd/weir/internal/stats"
)

const (
	plainText = "text/plain; charset=utf-8"
	jsonText  = "application/json"
)

// page answers one path.
type page struct {
	path  string
	open  bool // needs no token
	help  string
	serve http.HandlerFunc
}

func (s *Server) pages() []page {
	return []page{
		{path: "/live", open: true, help: "200 while the process runs", serve: s.live},
		{path: "/ready", open: true, help: `200 "ready", or 503 "starting" or "draining"`, serve: s.ready},
		{path: "/stats", help: "the numbers as JSON", serve: s.stats},
		{path: "/stats?format=text", help: "the numbers as a page for people"},
		{path: "/metrics", help: "the numbers for Prometheus", serve: s.metrics},
	}
}

// handler finds the page of a request, after it has looked at who asks.
func (s *Server) handler() http.Handler {
	pages := map[string]page{}
	for _, p := range s.pages() {
		if p.serve != nil {
			pages[p.path] = p
		}
	}
	pages["/"] = page{path: "/", serve: s.index}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("Cache-Control", "no-store")
		header.Set("X-Content-Type-Options", "nosniff")
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			header.Set("Allow", "GET, HEAD")
			writeLine(w, http.StatusMethodNotAllowed, r.Method+" changes nothing here: use GET or HEAD")
			return
		}
		p, found := pages[r.URL.Path]
		if !p.open && !s.admit(w, r) {
			return
		}
		if !found {
			writeLine(w, http.StatusNotFound, "there is no such page: GET / lists what there is")
			return
		}
		p.serve(w, r)
	})
}

// admit reports whether the request may have an answer; if not it has said why.
func (s *Server) admit(w http.ResponseWriter, r *http.Request) bool {
	if !s.tokens.required() {
		if s.socket == nil && !safeHost(r.Host) {
			writeLine(w, http.StatusMisdirectedRequest, "this address answers to an IP address or localhost only: use one of them in the URL, or set token_file")
			return false
		}
		return true
	}
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		token = ""
	}
	allowed, err := s.tokens.allows(strings.TrimSpace(token))
	if err != nil {
		s.options.Log.Warn("the changed token file was not taken, the old token stays in force", "err", err)
	}
	if !allowed {
		w.Header().Set("WWW-Authenticate", `Bearer realm="weir"`)
		writeLine(w, http.StatusUnauthorized, `send the token of token_file: "Authorization: Bearer TOKEN"`)
	}
	return allowed
}

// safeHost reports whether a Host header can't be a name that somebody pointed at this machine: an IP address or localhost,
// with or without a port.
func safeHost(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if strings.EqualFold(host, "localhost") {
		return true
	}
	_, err := netip.ParseAddr(host)
	return err == nil
}

func (s *Server) index(w http.ResponseWriter, _ *http.Request) {
	var b bytes.Buffer
	b.WriteString("weir " + s.options.Version + "\n\n")
	for _, p := range s.pages() {
		b.WriteString(p.path + strings.Repeat(" ", 20-len(p.path)) + p.help + "\n")
	}
	write(w, http.StatusOK, plainText, &b)
}

func (s *Server) live(w http.ResponseWriter, _ *http.Request) { writeLine(w, http.StatusOK, "live") }

func (s *Server) ready(w http.ResponseWriter, _ *http.Request) {
	switch v := s.options.View(); {
	case v == nil:
		writeLine(w, http.StatusServiceUnavailable, "starting")
	case v.Draining:
		writeLine(w, http.StatusServiceUnavailable, "draining")
	default:
		writeLine(w, http.StatusOK, "ready")
	}
}

func (s *Server) stats(w http.ResponseWriter, r *http.Request) {
	var b bytes.Buffer
	switch r.URL.Query().Get("format") {
	case "", "json":
		e := json.NewEncoder(&b)
		e.SetIndent("", "  ")
		s.answer(w, &b, jsonText, e.Encode(s.sampler.Report()))
	case "text":
		s.answer(w, &b, plainText, stats.WriteText(&b, s.sampler.Report()))
	default:
		writeLine(w, http.StatusBadRequest, "unknown format: use format=json or format=text")
	}
}

func (s *Server) metrics(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", stats.MetricsContentType)
	if err := stats.WriteMetrics(w, s.sampler.Report()); err != nil {
		s.options.Log.Debug("metrics were cut short", "err", err) // the client has gone
	}
}

func (s *Server) answer(w http.ResponseWriter, b *bytes.Buffer, contentType string, err error) {
	if err != nil {
		s.options.Log.Error("a page could not be made", "err", err)
		writeLine(w, http.StatusInternalServerError, "the page could not be made: see the log")
		return
	}
	write(w, http.StatusOK, contentType, b)
}

// writeLine answers with one line.
func writeLine(w http.ResponseWriter, status int, line string) {
	write(w, status, plainText, bytes.NewBufferString(line+"\n"))
}

func write(w http.ResponseWriter, status int, contentType string, b *bytes.Buffer) {
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Length", strconv.Itoa(b.Len()))
	w.WriteHeader(status)
	_, _ = io.Copy(w, b)
}
