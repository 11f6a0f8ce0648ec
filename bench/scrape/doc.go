// Package scrape requests metrics from an exporter as many Prometheus replicas
// would, and checks every body.
package scrape
