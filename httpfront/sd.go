package httpfront

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"stap-exporter/internal/script"
)

// longestDefaultTimeout bounds the scrape timeout of a target whose script says
// only how often it is to be scraped.
const longestDefaultTimeout = time.Minute

// targetGroup is an element of Prometheus's http_sd form, see
// https://prometheus.io/docs/prometheus/latest/http_sd/.
type targetGroup struct {
	Targets []string          `json:"targets"`
	Labels  map[string]string `json:"labels"`
}

// place is where a client finds this server.
type place struct {
	address string // host:port, the port always there
	scheme  string // empty where the client's own configuration knows better
	prefix  string // of every path, without a slash at its end
}

// ParseExternalURL checks the address under which clients reach the server,
// which may have a path; a slash at its end does not matter.
func ParseExternalURL(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	if err == nil &&
		(u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || !goodPort(u.Port())) {
		err = errors.New("wrong parts")
	}
	if err != nil {
		return nil, errors.New("is to be an address like https://host.example/stap")
	}
	u.Path = strings.TrimRight(u.Path, "/")
	return u, nil
}

func goodPort(s string) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return s == "" || err == nil && n > 0
}

// discovery answers with the scripts as targets for Prometheus's
// http_sd_configs: one for each script that may run, or with ?mode=all the one
// target /all.
func (s *Server) discovery(ctx *fasthttp.RequestCtx) {
	where, err := s.place(ctx)
	if err != nil {
		plainError(ctx, fasthttp.StatusBadRequest, err.Error()+"\n")
		return
	}
	groups := []targetGroup{} // [] when empty, not null
	switch mode := ctx.QueryArgs().Peek("mode"); {
	case bytes.Equal(mode, []byte("all")):
		groups = append(groups, where.target("/all"))
	case len(mode) > 0:
		plainError(ctx, fasthttp.StatusBadRequest, "mode is to be all, or left out\n")
		return
	default:
		for _, st := range s.cfg.Scripts.Statuses() {
			if st.Script.Refused == nil {
				groups = append(groups, s.scriptTarget(where, &st.Script))
			}
		}
	}
	writeJSON(ctx, fasthttp.StatusOK, groups)
}

func (s *Server) scriptTarget(where place, sc *script.Script) targetGroup {
	g := where.target("/" + sc.Name)
	g.Labels["script"] = sc.Name
	g.Labels["runtime"] = s.runtimeOf(sc)
	g.Labels["autostart"] = strconv.FormatBool(sc.Autostart)
	interval, timeout := sc.Directives.ScrapeInterval, sc.Directives.ScrapeTimeout
	if interval > 0 && timeout == 0 {
		// the job's own may be longer than interval, and then Prometheus drops
		// the target
		timeout = min(interval, longestDefaultTimeout)
	}
	if interval > 0 {
		g.Labels["__scrape_interval__"] = prometheusDuration(interval)
	}
	if timeout > 0 {
		g.Labels["__scrape_timeout__"] = prometheusDuration(timeout)
	}
	return g
}

// target is the one at path. The path is written as it is: Prometheus encodes
// __metrics_path__ itself, and one that was encoded before would be encoded
// twice.
func (p place) target(path string) targetGroup {
	labels := map[string]string{"__metrics_path__": p.prefix + path}
	if p.scheme != "" {
		labels["__scheme__"] = p.scheme
	}
	return targetGroup{Targets: []string{p.address}, Labels: labels}
}

func prometheusDuration(d time.Duration) string {
	return strconv.FormatInt(d.Milliseconds(), 10) + "ms"
}

// runtimeOf says what a script runs with: "kernel", "bpf", or "own" for a
// program that chooses for itself. It is "auto" where that is not known.
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

// place says how the sender of this request reaches the server: as
// --web.external-url says, otherwise by the Host header. X-Forwarded-… headers
// do not count, since any client can send them.
func (s *Server) place(ctx *fasthttp.RequestCtx) (place, error) {
	if u := s.cfg.ExternalURL; u != nil {
		return place{
			address: withPort(u.Hostname(), u.Port(), u.Scheme == "https"),
			scheme:  u.Scheme,
			prefix:  u.Path,
		}, nil
	}
	var p place
	if ctx.IsTLS() {
		p.scheme = "https"
	}
	host := string(ctx.Host())
	if host == "" { // HTTP/1.0
		if addr, ok := ctx.LocalAddr().(*net.TCPAddr); ok {
			host = addr.String()
		}
	}
	u, err := url.Parse("//" + host)
	if err != nil || u.Host != host || u.Hostname() == "" || !goodPort(u.Port()) || strings.ContainsAny(host, "/ ") {
		return p, fmt.Errorf(
			"cannot tell the address of the targets from the Host header %q: give --web.external-url",
			host,
		)
	}
	p.address = withPort(u.Hostname(), u.Port(), ctx.IsTLS())
	return p, nil
}

// withPort makes host:port, with the scheme's own port where there is none; an
// IPv6 literal gets its brackets.
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

// writeJSON answers with v, indented for people.
func writeJSON(ctx *fasthttp.RequestCtx, code int, v any) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		panic(fmt.Errorf("encode %T: %w", v, err)) // a mistake in the type
	}
	ctx.SetStatusCode(code)
	ctx.SetContentType("application/json")
	ctx.SetBody(buf.Bytes())
}
