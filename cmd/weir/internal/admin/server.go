package admin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"weir/cmd/weir/internal/stats"
)

// Options configure a Server. Zero values mean the defaults named here.
type Options struct {
	Listen    string             // an IP address and port, "unix:" and a file, or "" = off
	TokenFile string             // file with the token that requests carry; "" = none, which only loopback and Unix sockets may
	View      func() *stats.View // what runs now; nil, or a nil View = starting
	Version   string             // of weir
	Log       *slog.Logger       // nil = none

	MaxConnections int           // at once; 0 = 64
	HeaderTimeout  time.Duration // for a request's headers; 0 = 5s
}

const (
	answerTimeout  = 30 * time.Second // from the end of a request's headers to the end of the answer
	idleTimeout    = time.Minute      // between two requests of a connection; more than Prometheus leaves between scrapes by default
	maxHeaderBytes = 16 << 10
)

// Server is the administrative side on one address. All its methods are safe for concurrent use.
type Server struct {
	// Immutable.
	options  Options
	listener net.Listener // nil = off
	socket   *socketFile  // nil = not a Unix socket
	http     *http.Server
	sampler  *stats.Sampler
	done     chan struct{} // closed when http has returned

	tokens tokenStore
}

// Serve listens and answers in the background until Close. To move to another address, Serve there first and Close the old
// Server then. It is an error if the address is malformed, in use or reachable from other machines without a token file, or
// if the token file can't be read or holds no token.
func Serve(o Options) (*Server, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.View == nil {
		o.View = func() *stats.View { return nil }
	}
	if o.MaxConnections <= 0 {
		o.MaxConnections = 64
	}
	if o.HeaderTimeout <= 0 {
		o.HeaderTimeout = 5 * time.Second
	}
	s := &Server{options: o, done: make(chan struct{})}
	if o.Listen == "" {
		close(s.done)
		return s, nil
	}
	if err := s.start(); err != nil {
		return nil, fmt.Errorf("admin %s: %w", o.Listen, err)
	}
	return s, nil
}

func (s *Server) start() error {
	at, err := parseListen(s.options.Listen)
	if err != nil {
		return err
	}
	if err := s.SetTokenFile(s.options.TokenFile); err != nil {
		return err
	}
	ln, socket, err := at.listen()
	if err != nil {
		return err
	}
	s.listener, s.socket = ln, socket
	s.sampler = stats.NewSampler(stats.Options{View: s.options.View, Version: s.options.Version})
	s.http = &http.Server{
		Handler:           s.handler(),
		ReadHeaderTimeout: s.options.HeaderTimeout,
		ReadTimeout:       s.options.HeaderTimeout + answerTimeout,
		WriteTimeout:      answerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(s.options.Log.Handler(), slog.LevelDebug),
	}
	s.sampler.Start()
	go s.serve()
	return nil
}

func (s *Server) serve() {
	defer close(s.done)
	err := s.http.Serve(newBounded(s.listener, s.options.MaxConnections))
	if !errors.Is(err, http.ErrServerClosed) {
		s.options.Log.Error("the administrative side has stopped", "listen", s.options.Listen, "err", err)
	}
}

// Addr returns where the server listens: "127.0.0.1:9901" with the port that it got, "unix:/run/weir.sock", or "" when it is off.
func (s *Server) Addr() string {
	switch {
	case s.listener == nil:
		return ""
	case s.socket != nil:
		return "unix:" + s.socket.path
	}
	return s.listener.Addr().String()
}

// SetTokenFile makes requests carry the token of another file from now on, or none for "". It is an error, and changes nothing,
// if the file can't be read or holds no token, or if the address must have one.
func (s *Server) SetTokenFile(path string) error {
	if path == "" && s.options.Listen != "" {
		at, err := parseListen(s.options.Listen)
		if err != nil {
			return err
		}
		if !at.local() {
			return errors.New("other machines can reach this address: set token_file, or listen on a loopback address or a Unix socket")
		}
	}
	return s.tokens.use(path)
}

// Close stops listening, removes a Unix socket's file and lets requests under way finish until ctx ends; then it cuts them and
// returns ctx's error. It may be called again.
func (s *Server) Close(ctx context.Context) error {
	if s.listener == nil {
		return nil
	}
	if s.socket != nil {
		s.socket.remove()
	}
	err := s.http.Shutdown(ctx)
	if err != nil {
		_ = s.http.Close()
	}
	<-s.done
	s.sampler.Close()
	if err != nil {
		return fmt.Errorf("admin %s: close: %w", s.options.Listen, err)
	}
	return nil
}
