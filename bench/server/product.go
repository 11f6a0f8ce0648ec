package server

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.uber.org/zap"

	"stap-exporter/bench/body"
	"stap-exporter/httpfront"
	"stap-exporter/httpfront/webconfig"
	"stap-exporter/internal/instance"
	"stap-exporter/internal/script"
	"stap-exporter/internal/telemetry"
	"stap-exporter/supervisor"
)

const (
	readTimeout     = 10 * time.Second // the product's defaults
	startTimeout    = 5 * time.Minute
	shutdownTimeout = 20 * time.Second
)

// product is the exporter with a stand-in instead of SystemTap. Its parts are
// connected as in internal/app.
type product struct {
	front *httpfront.Server
	tree  *supervisor.Supervisor
	dir   string
	tls   bool
}

func newProduct(o Options) (Server, error) {
	dir, err := makeScripts(o)
	if err != nil {
		return nil, err
	}
	instance := instance.New(os.Geteuid(), dir, []string{"127.0.0.1:0"})
	scan := func() (script.Catalogue, error) {
		return script.Scan(dir, instance, script.ScanOptions{AllowInsecure: true})
	}
	found, err := scan()
	if err != nil {
		return nil, err
	}
	if len(found.Scripts) != o.Scripts {
		return nil, fmt.Errorf("scan found %d scripts of %d; refused: %v", len(found.Scripts), o.Scripts, found.Refused)
	}
	maxConnections := httpfront.DefaultMaxConnections()
	tree, err := supervisor.StartWith(supervisor.Config{
		Scripts:     found.Scripts,
		Refused:     found.Refused,
		Scan:        scan,
		ReadTimeout: readTimeout,
		MaxWaiting:  maxConnections / 4 * 3,
		Logger:      zap.NewNop(),
		Version:     "bench",
	}, starter{o, body.NewTemplate(o.Size)})
	if err != nil {
		return nil, err
	}
	var web *webconfig.Config
	if o.TLS {
		if web, err = makeTLS(dir); err != nil {
			return nil, err
		}
	}
	own := prometheus.NewRegistry()
	front := httpfront.New(httpfront.Config{
		MaxConnections: maxConnections,
		Scripts:        tree,
		ReadTimeout:    readTimeout,
		StartTimeout:   startTimeout,
		Version:        "bench",
		Logger:         zap.NewNop(),
		Web:            web,
		Telemetry:      promhttp.HandlerFor(prometheus.Gatherers{tree.Gatherer(), own}, promhttp.HandlerOpts{}),
		TelemetryPath:  "/metrics",
		Events:         func() any { return tree.Events() },
		Lifecycle:      tree,
	})
	own.MustRegister(telemetry.NewHTTPCollector(func() telemetry.HTTP { return telemetry.HTTP(front.Stats()) }))
	return &product{
		front: front,
		tree:  tree,
		dir:   dir,
		tls:   o.TLS,
	}, nil
}

// scriptName returns the name of script i, from 0.
func scriptName(i int) string { return fmt.Sprintf("bench%d.stp", i) }

// makeScripts writes the files of the scripts, which only need a header.
func makeScripts(o Options) (dir string, err error) {
	if dir, err = os.MkdirTemp("", "stap-exporter-bench-"); err != nil {
		return "", err
	}
	header := ""
	if !o.OnDemand {
		header = "// stap-exporter: autostart=true\n"
	}
	for i := range o.Scripts {
		text := header + "probe prometheus {}\n"
		if err := os.WriteFile(filepath.Join(dir, scriptName(i)), []byte(text), 0o600); err != nil {
			return "", err
		}
	}
	return dir, nil
}

// CA implements Server.
func (p *product) CA() string {
	if !p.tls {
		return ""
	}
	return filepath.Join(p.dir, certFile)
}

// Serve implements Server.
func (p *product) Serve(ln net.Listener) error { return p.front.Serve(ln) }

// Close implements Server.
func (p *product) Close() {
	ctx, cancel := context.WithTimeout(context.Background(), shutdownTimeout)
	defer cancel()
	_ = p.front.Shutdown(ctx)
	p.tree.Shutdown(ctx)
	_ = os.RemoveAll(p.dir)
}
