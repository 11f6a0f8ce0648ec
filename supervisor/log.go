package supervisor

import (
	"time"

	"go.uber.org/zap"

	"stap-exporter/internal/scrape"
)

// problemEvery is how often the log names a line that was left out of a
// script's metrics, and that they come near SystemTap's limit.
const problemEvery = time.Minute

// scriptLog writes one script's events to the log. Its method is called in the
// script actor's goroutine.
type scriptLog struct {
	log              *zap.Logger
	script           string
	problem, warning time.Time // when it was last logged
}

func newScriptLog(log *zap.Logger, name string) *scriptLog { return &scriptLog{log: log, script: name} }

func (l *scriptLog) listen(e scrape.Event) {
	switch e := e.(type) {
	case scrape.StateChanged:
		l.stateChanged(e)
	case scrape.ChildEnded:
		l.childEnded(e)
	case scrape.ReadEnded:
		l.readEnded(e)
	case scrape.ScriptReplaced:
		l.log.Info("script replaced by a new version of its file", zap.String("script", l.script))
	case scrape.ScriptRefused:
		l.log.Warn("script refused", zap.String("script", l.script), zap.String("error", e.Reason))
	case scrape.VersionRefused:
		l.log.Warn(
			"new version of a script refused, the old one runs on",
			zap.String("script", l.script),
			zap.String("reason", e.Reason),
		)
	case scrape.CrashLoopChanged:
		if e.Looping {
			l.log.Warn(
				"script is in a crash loop",
				zap.String("script", l.script),
				zap.Int("quick_ends", e.Failures),
				zap.Duration("retry_every", e.Backoff),
				zap.String("reason", e.Reason),
			)
			return
		}
		l.log.Info(
			"script is in a crash loop no more",
			zap.String("script", l.script),
			zap.Int("quick_ends", e.Failures),
			zap.String("cause", e.Cause),
		)
	case scrape.ActorFailed:
		l.log.Error(
			"script actor failed",
			zap.String("script", e.Script),
			zap.String("error", e.Reason),
			zap.String("stack", e.Stack),
		)
	}
}

func (l *scriptLog) readEnded(e scrape.ReadEnded) {
	if e.Page == nil {
		return
	}
	if e.Page.First != nil && time.Since(l.problem) > problemEvery {
		l.problem = time.Now()
		l.log.Warn(
			"lines of a script's metrics left out",
			zap.String("script", l.script),
			zap.Int("lines", e.Page.Problems()),
			zap.Stringer("first", e.Page.First),
		)
	}
	if left, scarce := e.Page.Headroom(); scarce && time.Since(l.warning) > problemEvery {
		l.warning = time.Now()
		l.log.Warn(
			"a script's metrics come near SystemTap's limit, past which it ends the script",
			zap.String("script", l.script),
			zap.Int("bytes", e.Page.Size),
			zap.Int("room", left),
		)
	}
}

func (l *scriptLog) stateChanged(e scrape.StateChanged) {
	fields := []zap.Field{
		zap.String("script", e.Script),
		zap.Stringer("state", e.To),
		zap.Stringer("from", e.From),
		zap.String("cause", string(e.Cause)),
		zap.Uint64("run", e.Run),
	}
	if e.From == e.To { // a reborn actor says where it begins
		l.log.Debug("script state changed", fields...)
		return
	}
	switch e.To {
	case scrape.Starting, scrape.Running, scrape.Stopping:
		l.log.Info("script state changed", append(fields, zap.Int("os_pid", e.OSPID))...)
	case scrape.BackingOff:
		l.log.Info(
			"script state changed",
			append(fields, zap.Duration("retry_in", e.RetryAt.Sub(e.Time).Round(time.Millisecond)))...)
	case scrape.Idle, scrape.Stopped:
		l.log.Debug("script state changed", fields...)
	}
}

func (l *scriptLog) childEnded(e scrape.ChildEnded) {
	fields := []zap.Field{
		zap.String("script", e.Script),
		zap.Uint64("run", e.End.Run),
		zap.Duration("lasted", e.End.Duration),
		zap.String("reason", e.End.Reason),
	}
	switch {
	case len(e.Residue) > 0:
		l.log.Error("child ended and left something", append(fields, zap.Strings("left", e.Residue))...)
	case e.End.Cause == scrape.EndStopped:
		l.log.Info("child ended", fields...)
	default:
		l.log.Warn("child ended by itself", fields...)
	}
}
