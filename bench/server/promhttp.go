package server

import (
	"context"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"stap-exporter/bench/body"
)

// promServer is client_golang's handler, which gathers and renders its metrics
// for each request. It has as many samples as the text of the other servers.
type promServer struct{ http *http.Server }

func newPromhttp(o Options) (Server, error) {
	vec := prometheus.NewCounterVec(
		prometheus.CounterOpts{Name: "count", Help: "Read calls by thread and cpu."},
		[]string{"tid", "cpu"},
	)
	for i := range body.NewTemplate(o.Size).Samples() {
		vec.WithLabelValues(strconv.Itoa(12000+i), strconv.Itoa(i%8)).Add(float64(i * i * 977))
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(vec)
	return &promServer{
		&http.Server{
			Handler:           promhttp.HandlerFor(registry, promhttp.HandlerOpts{}),
			ReadHeaderTimeout: 5 * time.Second,
		},
	}, nil
}

// Serve implements Server.
func (p *promServer) Serve(ln net.Listener) error { return p.http.Serve(ln) }

// Close implements Server.
func (p *promServer) Close() {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	_ = p.http.Shutdown(ctx)
}

// CA implements Server.
func (p *promServer) CA() string { return "" }
