package app

import (
	"errors"
	"strings"

	"go.uber.org/zap"

	"stap-exporter/internal/scrape"
	"stap-exporter/internal/script"
)

func isScriptName(name string) bool {
	return strings.HasSuffix(name, script.Ext) && !strings.HasPrefix(name, ".")
}

// followDirectory returns the function that the watcher calls when the script
// directory may have changed. It logs the cause of an unreadable directory
// once.
func (a *App) followDirectory() func() {
	failure := ""
	return func() {
		err := a.supervisor.Reload()
		switch {
		case errors.Is(err, scrape.ErrShuttingDown):
		case err == nil && failure != "":
			a.log.Info("script directory is readable again", zap.String("directory", a.dirs.named))
			failure = ""
		case err != nil && err.Error() != failure:
			a.log.Warn("cannot read script directory, keeping the current scripts", zap.Error(err))
			failure = err.Error()
		}
	}
}
