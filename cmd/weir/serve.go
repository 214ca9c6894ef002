package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"weir/cmd/weir/internal/control"
	"weir/config"
)

// service is what serve runs.
type service struct {
	load    func() (*config.Snapshot, error)
	stderr  io.Writer
	started func(*control.Control) // called once it runs; may be nil
}

// server is a service under way. What may take long, the first answers of discovery above all, goes on beside its goroutine, which attends to signals.
type server struct {
	service
	out     *logs
	log     *slog.Logger
	signals chan os.Signal
	again   bool // SIGHUP came while the configuration was being taken up
}

// serve runs the service until a signal ends it.
func serve(s service) error {
	snapshot, err := s.load()
	if err != nil {
		return err
	}
	sv := &server{service: s, out: newLogs(s.stderr, snapshot.Process), signals: make(chan os.Signal, 4)}
	sv.log = slog.New(sv.out)
	// Before anything listens, and for good: no signal must kill the process the hard way, also not one that comes when it has just drained.
	signal.Notify(sv.signals, syscall.SIGHUP, syscall.SIGTERM, syscall.SIGINT)

	c, err := sv.begin(snapshot)
	if err != nil {
		return failure{err}
	}
	if c == nil {
		return nil
	}
	v := thisVersion()
	sv.log.Info("weir runs", "version", v.Version, "loops", len(c.View().Loops), "max_connections", c.View().Shared.Max())
	if s.started != nil {
		s.started(c)
	}
	return sv.attend(c)
}

// begin starts what the snapshot says. Without an error nil means that a signal has ended it before it ran.
func (sv *server) begin(snapshot *config.Snapshot) (*control.Control, error) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var c *control.Control
	var err error
	begun := make(chan struct{})
	go func() {
		c, err = control.New(ctx, control.Options{Snapshot: snapshot, Log: sv.log, Version: thisVersion().Version})
		close(begun)
	}()
	for {
		select {
		case <-begun:
			return c, err
		case sig := <-sv.signals:
			if sig == syscall.SIGHUP {
				sv.again = true
				continue
			}
			sv.log.Info("signal", "signal", sig.String())
			cancel()
			<-begun
			if err == nil {
				return nil, end(c, sv.log, sv.signals)
			}
			if errors.Is(err, context.Canceled) {
				sv.log.Info("ended before it ran")
				return nil, nil
			}
			return nil, err
		}
	}
}

// attend does what signals say, until one of them ends it.
func (sv *server) attend(c *control.Control) error {
	var reloaded chan struct{} // closed when the reload under way is done; nil = none is
	for {
		if sv.again && reloaded == nil {
			sv.again, reloaded = false, make(chan struct{})
			go func(done chan<- struct{}) {
				sv.reload(c)
				close(done)
			}(reloaded)
		}
		select {
		case err := <-c.Failed():
			return failure{err}
		case <-reloaded:
			reloaded = nil
		case sig := <-sv.signals:
			if sig != syscall.SIGHUP {
				sv.log.Info("signal", "signal", sig.String())
				return end(c, sv.log, sv.signals)
			}
			sv.again = true
		}
	}
}

// reload takes up what load gives now. What fails is logged, one line for each error, and changes nothing.
func (sv *server) reload(c *control.Control) {
	snapshot, err := sv.load()
	if err != nil {
		c.Refuse(err)
	} else {
		err = c.Apply(snapshot)
	}
	var bad config.Errors
	switch {
	case err == nil:
		sv.out.configure(snapshot.Process)
	case errors.Is(err, control.ErrDraining):
		sv.log.Warn("configuration not taken up", "error", err)
	case control.InPart(err):
		sv.out.configure(snapshot.Process)
		sv.log.Error("configuration applied in part, trying again", "error", err)
	case errors.As(err, &bad):
		for _, e := range bad {
			sv.log.Error("configuration refused", "error", e.Error())
		}
	default:
		sv.log.Error("configuration refused", "error", err)
	}
}

// end drains; a second signal ends what is left at once.
func end(c *control.Control, log *slog.Logger, signals <-chan os.Signal) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	drained := make(chan struct{})
	go func() {
		c.Shutdown(ctx)
		close(drained)
	}()
	var err error
	for {
		select {
		case <-drained:
			if err == nil {
				log.Info("drained")
			}
			return err
		case sig := <-signals:
			if sig == syscall.SIGHUP {
				log.Warn("configuration not taken up", "error", control.ErrDraining)
				continue
			}
			err = failure{errEnded}
			cancel()
		}
	}
}
