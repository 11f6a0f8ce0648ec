// Package httpfront is the HTTP side of the exporter: it takes connections,
// finds what a path means, asks Scripts for metrics and turns the outcome into
// a reply.
//
// It knows neither processes nor actors. What it needs of them is the interface
// Scripts, which it declares and package supervisor satisfies.
//
// The files:
//   - server.go: Config, Server, its limits, Serve and Shutdown
//   - admission.go, conn.go: how many connections are let in, and what is known
//     of each: whether its client has left, and how it is closed
//   - listen.go: listening sockets, and an Accept that outlives a shortage of
//     descriptors
//   - routes.go: which path and method is answered by what, and which paths are
//     no path at all
//   - scrape.go: one script's metrics, from the request's headers to the 200
//   - outcome.go: every answer that is not a 200, in words, status code and
//     Retry-After
//   - pages.go: the list of scripts and the page that refreshes itself
//   - health.go, sd.go, api.go: whether it is up and ready, targets for
//     Prometheus, the JSON status API
//   - lifecycle.go: what an operator may do by POST
//   - webconfig.go: the web config file; admit.go applies it to requests,
//     auth.go checks logins, tls.go holds certificates
//   - metrics.go: the server's own metrics
//   - accept.go: what a client's Accept header prefers
//
// To add a path: a method of Server with the signature of
// fasthttp.RequestHandler, in a file of its own, and one line in newRoutes.
//
// Handlers run in fasthttp's goroutine of the connection and keep neither the
// RequestCtx nor a slice of it after they return. A panic in a handler becomes
// a 500 and one line in the log.
// The bytes of a script.Answer go out as they are and are shared by many
// replies: nothing here writes to them. A 200 costs no allocation here (a test
// holds that).
package httpfront
