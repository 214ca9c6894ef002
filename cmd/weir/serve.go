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

// serve runs the service until a signal ends it.
func serve(s service) error {
	snapshot, err := s.load()
	if err != nil {
		return err
	}
	// Before anything listens: a signal in between must not kill the process the hard way.
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGHUP, syscall.SIGTERM, syscall.SIGINT)
	defer signal.Stop(signals)

	out := newLogs(s.stderr, snapshot.Process)
	log := slog.New(out)
	c, err := control.New(control.Options{Snapshot: snapshot, Log: log, Version: thisVersion().Version})
	if err != nil {
		return failure{err}
	}
	v := thisVersion()
	log.Info("weir runs", "version", v.Version, "loops", len(c.View().Loops), "max_connections", c.View().Shared.Max())
	if s.started != nil {
		s.started(c)
	}
	for {
		select {
		case err := <-c.Failed():
			return failure{err}
		case sig := <-signals:
			if sig != syscall.SIGHUP {
				log.Info("signal", "signal", sig.String())
				return end(c, log, signals)
			}
			reload(c, s.load, out, log)
		}
	}
}

// reload takes up what load gives now. What fails is logged, one line for each error, and changes nothing.
func reload(c *control.Control, load func() (*config.Snapshot, error), out *logs, log *slog.Logger) {
	snapshot, err := load()
	if err != nil {
		c.Refuse(err)
	} else if err = c.Apply(snapshot); err == nil {
		out.configure(snapshot.Process)
		return
	}
	var bad config.Errors
	if !errors.As(err, &bad) {
		log.Error("configuration refused", "error", err)
		return
	}
	for _, e := range bad {
		log.Error("configuration refused", "error", e.Error())
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
			if sig != syscall.SIGHUP {
				err = failure{errEnded}
				cancel()
			}
		}
	}
}
