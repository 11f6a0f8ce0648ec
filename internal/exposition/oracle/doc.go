// Package oracle tests package exposition against the parsers that Prometheus
// itself uses. It is a module of its own, so that the exporter does not depend
// on Prometheus. It has tests only: run go test ./... in this directory.
package oracle
