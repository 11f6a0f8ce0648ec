package supervisor

import (
	"fmt"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel"
	otelprometheus "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/metric"
	sdk "go.opentelemetry.io/otel/sdk/metric"
)

// protoactorMetrics makes protoactor-go's own OpenTelemetry metrics part of the
// registry. They cost over a microsecond a message, and some never report, so
// they are there on request only.
func protoactorMetrics(registry *prometheus.Registry) (metric.MeterProvider, error) {
	exporter, err := otelprometheus.New(
		otelprometheus.WithRegisterer(registry),
		otelprometheus.WithoutScopeInfo(),
		otelprometheus.WithoutTargetInfo(),
	)
	if err != nil {
		return nil, fmt.Errorf("make exporter of protoactor's metrics: %w", err)
	}
	// Its histogram is in seconds, the default bounds are in milliseconds.
	seconds := sdk.NewView(sdk.Instrument{Name: "protoactor_actor_message_receive_duration_seconds"}, sdk.Stream{
		Aggregation: sdk.AggregationExplicitBucketHistogram{
			Boundaries: []float64{1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1},
		},
	})
	provider := sdk.NewMeterProvider(sdk.WithReader(exporter), sdk.WithView(seconds))
	otel.SetMeterProvider(provider) // protoactor asks for the global one
	return provider, nil
}

// countDeadLetters counts messages to actors that are gone.
func (a *actorMetrics) countDeadLetters(system *actor.ActorSystem) {
	system.EventStream.Subscribe(func(e any) {
		if _, ok := e.(*actor.DeadLetterEvent); ok {
			a.deadLetters.Inc()
		}
	})
}
