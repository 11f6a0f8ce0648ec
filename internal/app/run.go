package app

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"go.uber.org/zap"
)

// Time limits of a shutdown.
const (
	drainBeforeStop = time.Second      // for requests in flight, before the scripts are stopped
	drainTimeout    = 5 * time.Second  // for all replies
	stopTimeout     = 45 * time.Second // for all scripts; each has its own, shorter limits
)

// Run answers requests until ctx is done, then it returns nil, or until the
// supervisor or a listener fails. Shutdown must follow.
func (a *App) Run(ctx context.Context) error {
	failed := make(chan error, len(a.listeners))
	for _, l := range a.listeners {
		a.log.Info("listening", zap.Stringer("address", l.Addr()), zap.Bool("tls", a.server.TLS()))
		go func() { failed <- a.server.Serve(l) }()
	}
	a.systemd.ready(fmt.Sprintf("serving %d scripts", a.scripts))
	select {
	case <-ctx.Done():
		return nil
	case err := <-a.supervisor.Fatal():
		return err
	case err := <-failed:
		return fmt.Errorf("serve: %w", err)
	}
}

// Reload reads the script directory and the web config file again. On an error,
// which is in the log and in systemd's status, the present scripts and the
// present config stay. It may be called from any goroutine while Run runs.
func (a *App) Reload() error {
	a.systemd.reloading()
	status := "reloaded"
	err := errors.Join(a.supervisor.Reload(), a.server.ReloadWebConfig())
	if err != nil {
		a.log.Error("reload failed", zap.Error(err))
		status = "reload failed: " + err.Error()
	} else {
		a.log.Info("reloaded")
	}
	a.systemd.ready(status)
	return err
}

// Shutdown ends requests and scripts, and closes what New opened. When ctx ends
// it kills the scripts' processes instead of waiting for them. The error names
// the residue of scripts, if any.
func (a *App) Shutdown(ctx context.Context) error {
	a.systemd.stopping()
	defer a.close()
	defer context.AfterFunc(ctx, a.supervisor.Kill)()
	drain, cancel := context.WithTimeout(ctx, drainTimeout)
	defer cancel()

	// 1. Accept no connection any more. Most requests in flight end at once.
	drained := make(chan error, 1)
	go func() { drained <- a.server.Shutdown(drain) }()
	select {
	case err := <-drained:
		drained <- err
	case <-time.After(drainBeforeStop):
	case <-drain.Done():
	}
	// 2. Stop the scripts: each actor answers its waiters, ends its child and
	//    reports the residue. Then the actors end.
	stop, cancelStop := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancelStop()
	residue := a.supervisor.Shutdown(stop)
	if err := <-drained; err != nil {
		a.log.Warn("requests aborted at shutdown", zap.Error(err))
	}
	if len(residue) > 0 {
		return fmt.Errorf("scripts left residue: %s", strings.Join(residue, "; "))
	}
	a.log.Info("stopped")
	return nil
}
