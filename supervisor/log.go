package supervisor

import (
	"time"

	"go.uber.org/zap"

	"stap-exporter/actors"
	"stap-exporter/internal/script"
)

// eventLog writes the scripts' events to the log. Its method is called from every script actor's goroutine.
type eventLog struct{ log *zap.Logger }

func (l *eventLog) listen(e actors.Event) {
	switch e := e.(type) {
	case actors.StateChanged:
		l.stateChanged(e)
	case actors.ChildEnded:
		l.childEnded(e)
	case actors.ActorFailed:
		l.log.Error("script actor failed", zap.String("script", e.Script), zap.String("error", e.Reason), zap.String("stack", e.Stack))
	}
}

func (l *eventLog) stateChanged(e actors.StateChanged) {
	fields := []zap.Field{zap.String("script", e.Script), zap.Stringer("state", e.To), zap.Stringer("from", e.From), zap.String("cause", e.Cause), zap.Uint64("run", e.Run)}
	if e.From == e.To { // a reborn actor says where it begins
		l.log.Debug("script state changed", fields...)
		return
	}
	switch e.To {
	case script.Starting, script.Running, script.Stopping:
		l.log.Info("script state changed", append(fields, zap.Int("os_pid", e.OSPID))...)
	case script.BackingOff:
		l.log.Info("script state changed", append(fields, zap.Duration("retry_in", e.RetryAt.Sub(e.Time).Round(time.Millisecond)))...)
	case script.Idle, script.Stopped:
		l.log.Debug("script state changed", fields...)
	}
}

func (l *eventLog) childEnded(e actors.ChildEnded) {
	fields := []zap.Field{zap.String("script", e.Script), zap.Uint64("run", e.Run), zap.Duration("lasted", e.Lasted), zap.String("reason", e.Reason)}
	switch {
	case len(e.Leftovers) > 0:
		l.log.Error("child ended and left something", append(fields, zap.Strings("left", e.Leftovers))...)
	case e.Asked:
		l.log.Info("child ended", fields...)
	default:
		l.log.Warn("child ended by itself", fields...)
	}
}
