package telemetry

import (
	"time"

	"go.uber.org/zap"

	"stap-exporter/internal/scrape"
)

// pageWarnEvery is how often the log warns of the pages of one script: that
// lines are dropped, and that its metrics are close to SystemTap's limit.
const pageWarnEvery = time.Minute

// scriptLog writes the events of one script to the log. It is used in the
// goroutine of the script's actor.
type scriptLog struct {
	log *zap.Logger
	// when the log last warned of it
	droppedAt, headroomAt time.Time
}

func newScriptLog(log *zap.Logger, name string) *scriptLog {
	return &scriptLog{log: log.With(zap.String("script", name))}
}

func (l *scriptLog) record(e scrape.Event) {
	switch e := e.(type) {
	case scrape.StateChanged:
		l.stateChanged(e)
	case scrape.ChildEnded:
		l.childEnded(e)
	case scrape.ReadEnded:
		l.readEnded(e)
	case scrape.ScriptReplaced:
		l.log.Info("script replaced by a new version of its file")
	case scrape.ScriptRefused:
		l.log.Warn("script refused", zap.String("error", e.Reason))
	case scrape.VersionRefused:
		l.log.Warn("new version of a script refused, the old one keeps running", zap.String("error", e.Reason))
	case scrape.CrashLoopChanged:
		l.crashLoopChanged(e)
	case scrape.ActorFailed:
		l.log.Error("script actor failed", zap.String("error", e.Reason), zap.String("stack", e.Stack))
	}
}

func (l *scriptLog) stateChanged(e scrape.StateChanged) {
	fields := []zap.Field{
		zap.Stringer("state", e.To),
		zap.Stringer("from", e.From),
		zap.String("cause", string(e.Cause)),
		zap.Uint64("run", e.Run),
	}
	level := zap.InfoLevel
	switch e.To {
	case scrape.Starting, scrape.Running, scrape.Stopping:
		fields = append(fields, zap.Int("os_pid", e.OSPID))
	case scrape.BackingOff:
		fields = append(fields, zap.Duration("retry_in", e.RetryAt.Sub(e.Time).Round(time.Millisecond)))
	case scrape.Idle, scrape.Stopped:
		level = zap.DebugLevel
	}
	if e.From == e.To { // a restarted actor begins
		level = zap.DebugLevel
	}
	l.log.Log(level, "script state changed", fields...)
}

func (l *scriptLog) childEnded(e scrape.ChildEnded) {
	fields := []zap.Field{
		zap.Uint64("run", e.End.Run),
		zap.Duration("duration", e.End.Duration),
		zap.String("reason", e.End.Reason),
	}
	switch {
	case len(e.Residue) > 0:
		l.log.Error("child ended and left residue", append(fields, zap.Strings("residue", e.Residue))...)
	case e.End.Cause == scrape.EndStopped:
		l.log.Info("child ended", fields...)
	default:
		l.log.Warn("child ended unexpectedly", fields...)
	}
}

func (l *scriptLog) readEnded(e scrape.ReadEnded) {
	if e.Page == nil {
		return
	}
	if e.Page.First != nil && time.Since(l.droppedAt) > pageWarnEvery {
		l.droppedAt = time.Now()
		l.log.Warn(
			"lines dropped from a script's metrics",
			zap.Int("lines", e.Page.Problems()),
			zap.Stringer("first", e.Page.First),
		)
	}
	if headroom, scarce := e.Page.Headroom(); scarce && time.Since(l.headroomAt) > pageWarnEvery {
		l.headroomAt = time.Now()
		l.log.Warn(
			"script's metrics are close to the length at which SystemTap ends the script",
			zap.Int("bytes", e.Page.Size),
			zap.Int("headroom_bytes", headroom),
		)
	}
}

func (l *scriptLog) crashLoopChanged(e scrape.CrashLoopChanged) {
	if e.Looping {
		l.log.Warn(
			"script entered a crash loop",
			zap.Int("consecutive_failures", e.Failures),
			zap.Duration("backoff", e.Backoff),
			zap.String("reason", e.Reason),
		)
		return
	}
	l.log.Info(
		"script left its crash loop",
		zap.Int("consecutive_failures", e.Failures),
		zap.String("cause", e.Cause),
	)
}
