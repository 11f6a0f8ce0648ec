package app

import (
	"io"

	zaplogfmt "github.com/jsternberg/zap-logfmt"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"stap-exporter/internal/script"
)

// NewLogger returns a logger that writes to w, as the flags --log.format and
// --log.level say.
func NewLogger(opts Options, w io.Writer) *zap.Logger {
	cfg := zap.NewProductionEncoderConfig()
	cfg.TimeKey, cfg.EncodeTime = "ts", zapcore.RFC3339NanoTimeEncoder
	cfg.EncodeDuration = zapcore.StringDurationEncoder
	encoder := zaplogfmt.NewEncoder(cfg)
	if opts.logFormat == "json" {
		encoder = zapcore.NewJSONEncoder(cfg)
	}
	return zap.New(zapcore.NewCore(encoder, zapcore.Lock(zapcore.AddSync(w)), opts.logLevel))
}

func logScripts(log *zap.Logger, version, dir string, found script.Catalogue) {
	for _, r := range found.Refused {
		log.Warn("script refused", zap.String("script", r.Name), zap.Error(r.Err))
	}
	insecure := map[string]bool{}
	for _, each := range found.Scripts {
		if each.Refused != nil {
			log.Warn("script refused", zap.String("script", each.Name), zap.Error(each.Refused))
		}
		if each.Insecure != nil && !insecure[each.Insecure.Error()] {
			insecure[each.Insecure.Error()] = true // an error of the directory is the same for all
			log.Warn("insecure script allowed", zap.String("script", each.Name), zap.Error(each.Insecure))
		}
	}
	if len(found.Scripts) == 0 {
		log.Warn("no scripts in the directory, files *.stp are scripts", zap.String("directory", dir))
	}
	log.Info(
		"serving scripts",
		zap.String("version", version),
		zap.String("directory", dir),
		zap.Int("scripts", len(found.Scripts)),
	)
}
