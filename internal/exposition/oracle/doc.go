// Package oracle holds the gate against the parsers that Prometheus itself
// uses. It is a module of its own, so that the product does not depend on
// Prometheus.
// It has tests only: go test ./... in this folder.
package oracle
