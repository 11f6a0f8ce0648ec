package watch

import (
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"
	"go.uber.org/zap"
)

// Config configures a Watcher. Zero durations get their defaults.
type Config struct {
	// Directory is an absolute path. It may be a symlink, or contain one, and
	// need not exist.
	Directory string
	// Match reports whether a file of this name in the directory counts. The
	// goroutine of the Watcher calls it.
	Match func(name string) bool
	// Changed is called once at the beginning, because earlier changes are not
	// detected, and each time something may have changed. The goroutine of the
	// Watcher calls it and waits for it.
	Changed func()
	// QuietPeriod is how long nothing must have happened before Changed is
	// called; default 200 ms.
	QuietPeriod time.Duration
	// MaxDelay is how long Changed is put off at most while events continue;
	// default 2 s.
	MaxDelay time.Duration
	// PollInterval is the time between two checks for changes without an event:
	// for replaced directories, or without inotify for all changes; default 5
	// s.
	PollInterval time.Duration
	Logger       *zap.Logger // default: none
}

// Watcher watches a directory until Close.
//
// It detects changes of the directory's files, and of the files that symlinks
// in it lead to, in content and in mode. It also detects when the directory, or
// a part of its path, is moved, removed, created again or replaced, for example
// by a symlink. It does not detect changes by another host on a network file
// system, nor writes through a memory mapping.
//
// When the kernel's limits for inotify are reached, the Watcher logs one
// warning and polls.
type Watcher struct {
	cfg       Config
	closeOnce sync.Once
	stop      chan struct{}
	done      chan struct{}

	// The fields below belong to the goroutine.

	notify *fsnotify.Watcher // nil: polling only
	real   string            // the directory's path without symlinks; empty: missing
	// names has the names that count beside those that Match accepts, by
	// directory.
	names map[string]map[string]bool
	// watched has the directories that have an inotify watch, or cannot have
	// one.
	watched map[string]inode
}

// New starts a Watcher.
func New(cfg Config) *Watcher {
	w := newWatcher(cfg)
	notify, err := fsnotify.NewWatcher()
	if err != nil {
		w.fallBackToPolling(err)
	} else {
		w.notify = notify
	}
	go w.run()
	return w
}

func newWatcher(cfg Config) *Watcher {
	for _, d := range []struct {
		field *time.Duration
		value time.Duration
	}{
		{&cfg.QuietPeriod, 200 * time.Millisecond},
		{&cfg.MaxDelay, 2 * time.Second},
		{&cfg.PollInterval, 5 * time.Second},
	} {
		if *d.field <= 0 {
			*d.field = d.value
		}
	}
	if cfg.Logger == nil {
		cfg.Logger = zap.NewNop()
	}
	return &Watcher{
		cfg:     cfg,
		stop:    make(chan struct{}),
		done:    make(chan struct{}),
		watched: map[string]inode{},
	}
}

// Close stops the Watcher. It waits for a call of Changed to return, so Changed
// must not call it.
func (w *Watcher) Close() {
	w.closeOnce.Do(func() { close(w.stop) })
	<-w.done
}

// fallBackToPolling stops using inotify.
func (w *Watcher) fallBackToPolling(err error) {
	w.cfg.Logger.Warn(
		"cannot watch directory, polling it instead",
		zap.String("directory", w.cfg.Directory),
		zap.Duration("interval", w.cfg.PollInterval),
		zap.String("remedy", "raise sysctl fs.inotify.max_user_instances or fs.inotify.max_user_watches and restart"),
		zap.Error(err),
	)
	if w.notify != nil {
		_ = w.notify.Close()
		w.notify = nil
	}
}

func (w *Watcher) run() {
	defer close(w.done)
	defer func() {
		if w.notify != nil {
			_ = w.notify.Close()
		}
	}()
	w.report()
	poll := time.NewTicker(w.cfg.PollInterval)
	defer poll.Stop()
	for {
		var events <-chan fsnotify.Event
		var failures <-chan error
		if w.notify != nil {
			events, failures = w.notify.Events, w.notify.Errors
		}
		select {
		case <-w.stop:
			return
		case <-poll.C:
			if w.notify == nil || w.replaced() {
				w.report()
			}
		case e := <-events:
			if w.relevant(e) && w.settle() {
				w.report()
			}
		case err := <-failures:
			w.eventsLost(err)
			w.report()
		}
	}
}

// eventsLost handles an error of inotify: the kernel dropped events, because
// its queue was full.
func (w *Watcher) eventsLost(err error) {
	w.cfg.Logger.Debug("lost file system events", zap.Error(err))
	w.forgetAll()
}

// settle waits until nothing has happened for QuietPeriod, but not longer than
// MaxDelay. It returns false when the Watcher was closed.
func (w *Watcher) settle() bool {
	quiet, deadline := time.NewTimer(w.cfg.QuietPeriod), time.NewTimer(w.cfg.MaxDelay)
	defer quiet.Stop()
	defer deadline.Stop()
	for {
		select {
		case <-w.stop:
			return false
		case <-quiet.C:
			return true
		case <-deadline.C:
			return true
		case e := <-w.notify.Events:
			if w.relevant(e) {
				quiet.Reset(w.cfg.QuietPeriod)
			}
		case err := <-w.notify.Errors:
			w.eventsLost(err)
			return true
		}
	}
}

// report calls Changed. It updates the watches first, so that no later change
// is lost.
func (w *Watcher) report() {
	if w.notify != nil {
		if err := w.updateWatches(); err != nil {
			w.fallBackToPolling(err)
		}
	}
	w.cfg.Changed()
}
