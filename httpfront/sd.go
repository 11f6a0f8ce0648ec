package httpfront

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"stap-exporter/internal/cpulimit"
	"stap-exporter/internal/script"
)

// maxDefaultTimeout limits the scrape timeout of a target whose script has a
// scrape interval and no timeout.
const maxDefaultTimeout = time.Minute

// targetGroup is an element of Prometheus's HTTP service discovery, see
// https://prometheus.io/docs/prometheus/latest/http_sd/.
type targetGroup struct {
	Targets []string          `json:"targets"`
	Labels  map[string]string `json:"labels"`
}

// origin is the address at which a client reaches this server.
type origin struct {
	address string // host:port, always with a port
	scheme  string // empty: the client's own configuration decides
	prefix  string // of every path, without a slash at the end
}

// ParseExternalURL parses the address at which clients reach the server. It may
// have a path; a slash at the end does not matter.
func ParseExternalURL(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	if err != nil || !isExternal(u) {
		return nil, errors.New("must be an address like https://host.example/stap")
	}
	u.Path = strings.TrimRight(u.Path, "/")
	return u, nil
}

// isExternal reports whether u is a scheme, a host and a path, nothing else.
func isExternal(u *url.URL) bool {
	return (u.Scheme == "http" || u.Scheme == "https") && u.Hostname() != "" && validPort(u.Port()) &&
		u.User == nil && u.RawQuery == "" && !u.ForceQuery && u.Fragment == ""
}

func validPort(s string) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return s == "" || err == nil && n > 0
}

// discovery sends the scripts as targets for Prometheus's http_sd_configs: one
// for each script that may run, or with ?mode=all the one target /all.
func (s *Server) discovery(ctx *fasthttp.RequestCtx) {
	here, err := s.origin(ctx)
	if err != nil {
		plainError(ctx, fasthttp.StatusBadRequest, err.Error()+"\n")
		return
	}
	switch mode := ctx.QueryArgs().Peek("mode"); {
	case bytes.Equal(mode, []byte("all")):
		writeJSON(ctx, fasthttp.StatusOK, []targetGroup{here.target(allPath)})
	case len(mode) > 0:
		plainError(ctx, fasthttp.StatusBadRequest, "mode must be all, or absent\n")
	default:
		s.share(ctx, fmt.Sprintf("targets %q", here), func() *page {
			defer cpulimit.Acquire()()
			groups := []targetGroup{} // [] when empty, not null
			for _, st := range s.cfg.Scripts.Statuses() {
				if st.Script.Refused == nil {
					groups = append(groups, s.scriptTarget(here, &st.Script))
				}
			}
			return jsonPage(fasthttp.StatusOK, groups)
		})
	}
}

func (s *Server) scriptTarget(here origin, sc *script.Script) targetGroup {
	g := here.target("/" + sc.Name)
	g.Labels["script"] = sc.Name
	g.Labels["runtime"] = s.runtimeOf(sc)
	g.Labels["autostart"] = strconv.FormatBool(sc.Autostart)
	interval, timeout := sc.Directives.ScrapeInterval, sc.Directives.ScrapeTimeout
	if interval > 0 && timeout == 0 {
		// Prometheus drops a target whose timeout is longer than the interval,
		// and the job's own timeout may be
		timeout = min(interval, maxDefaultTimeout)
	}
	if interval > 0 {
		g.Labels["__scrape_interval__"] = prometheusDuration(interval)
	}
	if timeout > 0 {
		g.Labels["__scrape_timeout__"] = prometheusDuration(timeout)
	}
	return g
}

// target returns the target at path, which is not percent-encoded: Prometheus
// encodes __metrics_path__ itself.
func (o origin) target(path string) targetGroup {
	labels := map[string]string{"__metrics_path__": o.prefix + path}
	if o.scheme != "" {
		labels["__scheme__"] = o.scheme
	}
	return targetGroup{Targets: []string{o.address}, Labels: labels}
}

func prometheusDuration(d time.Duration) string {
	return strconv.FormatInt(d.Milliseconds(), 10) + "ms"
}

// runtimeOf returns the runtime of a script: "kernel", "bpf", or "own" for an
// executable that chooses for itself, "auto" when it is not known.
func (s *Server) runtimeOf(sc *script.Script) string {
	switch {
	case sc.Executable:
		return "own"
	case sc.Runtime != "" && sc.Runtime != "auto":
		return sc.Runtime
	case s.cfg.Runtime != nil:
		return s.cfg.Runtime()
	}
	return "auto"
}

// origin returns the address at which this client reaches the server: that of
// --web.external-url, otherwise that of the Host header. X-Forwarded-… headers
// do not count, because any client can send them.
func (s *Server) origin(ctx *fasthttp.RequestCtx) (origin, error) {
	if u := s.cfg.ExternalURL; u != nil {
		return origin{
			address: withPort(u.Hostname(), u.Port(), u.Scheme == "https"),
			scheme:  u.Scheme,
			prefix:  u.Path,
		}, nil
	}
	var o origin
	if ctx.IsTLS() {
		o.scheme = "https"
	}
	host := string(ctx.Host())
	if host == "" { // HTTP/1.0
		if addr, ok := ctx.LocalAddr().(*net.TCPAddr); ok {
			host = addr.String()
		}
	}
	u, err := url.Parse("//" + host)
	if err != nil || u.Host != host || u.Hostname() == "" || !validPort(u.Port()) || strings.ContainsAny(host, "/ ") {
		return o, fmt.Errorf("cannot derive the targets' address from Host header %q: set --web.external-url", host)
	}
	o.address = withPort(u.Hostname(), u.Port(), ctx.IsTLS())
	return o, nil
}

// withPort joins host and port, with the scheme's default port when port is
// empty. An IPv6 literal gets brackets.
func withPort(host, port string, secure bool) string {
	switch {
	case port != "":
	case secure:
		port = "443"
	default:
		port = "80"
	}
	return net.JoinHostPort(host, port)
}
