// Package httpfront is the HTTP front end of the exporter. It accepts
// connections, maps paths to handlers, requests metrics from Scripts and turns
// the outcome into a reply.
//
// It knows neither processes nor actors. What it needs from them is the
// interface Scripts, which package supervisor implements.
//
// The files:
//   - server.go: Config, Server, its limits
//   - serve.go: Serve, and the goroutine of each connection
//   - shutdown.go: Shutdown
//   - connlimit.go: how many connections may be open
//   - permit.go: how many requests for /all are answered at a time
//   - shared.go: the server's own pages, made twice a second for all clients
//   - conn.go: one connection: whether its client is gone, how it is closed
//   - routes.go: which handler answers which path and method
//   - admit.go: the web config applied to requests: users, rate limit, headers
//   - scrape.go: one script's metrics
//   - all.go: the metrics of all scripts on one page
//   - outcome.go: what every status code means, and the replies without metrics
//   - reply.go: headers and JSON of replies
//   - pages.go: the list of scripts, and the page that refreshes itself
//   - health.go, sd.go: health and readiness, targets for Prometheus
//   - api.go: the status API
//   - lifecycle.go: what an operator may do by POST
//   - rejected.go: how many requests were rejected
//   - telemetry.go, stats.go: /metrics and /api/v1/events, the server's
//     counters
//
// Package webconfig reads the web config file, package accept the Accept
// headers. Package listen opens sockets and accepts in spite of shortages.
// Package crossorigin finds requests that a page of another site sent. Package
// api has the JSON types.
//
// To add a path: write a method of Server with the signature of
// fasthttp.RequestHandler in a file of its own, and add one line to newRoutes.
//
// Handlers run in the goroutine of the connection. They keep neither the
// RequestCtx nor a slice of it after they return. A panic in a handler becomes
// a 500 and one log line; any other panic of that goroutine ends the
// connection.
//
// The bytes of a scrape.Answer are sent without a copy and shared by many
// replies, so nothing here writes to them. A 200 does not allocate here (a test
// verifies it).
package httpfront
