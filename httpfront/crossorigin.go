package httpfront

import (
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"strings"

	"github.com/valyala/fasthttp"
)

const otherSite = "a page of another site sent this request"

// Headers by which a browser reports which page sent a request. Other clients
// send neither. Browsers send Sec-Fetch-Site (W3C Fetch Metadata) to https and
// to localhost only, and Origin with every POST.
var (
	headerFetchSite = []byte("Sec-Fetch-Site")
	headerOrigin    = []byte(fasthttp.HeaderOrigin)
)

// crossOrigin returns why a POST may come from a page of another site, empty
// when it does not. Such a page must not operate scripts: a browser adds the
// login that it knows to whatever a page makes it post, and it reaches servers
// that the page's author cannot.
//
// The rule for the headers is that of http.CrossOriginProtection, with
// --web.external-url as the trusted origin. It trusts the Host header, so a
// browser's Host must also be a name that nobody else can let resolve to this
// server (DNS rebinding). A request without the headers is not a browser's.
func (s *Server) crossOrigin(ctx *fasthttp.RequestCtx) string {
	header := &ctx.Request.Header
	site, from := string(header.PeekBytes(headerFetchSite)), string(header.PeekBytes(headerOrigin))
	if site == "" && from == "" {
		return ""
	}
	// the header itself: the host of an absolute request target is the client's
	// choice
	host := string(header.Host())
	if !s.ownHost(host) {
		return fmt.Sprintf(
			"a browser sent this request to %q, which may be a name of another site: "+
				"use an address or the name of this machine, or set --web.external-url",
			printable(host),
		)
	}
	switch {
	case site == "same-origin" || site == "none":
		return ""
	case s.externalOrigin(from):
		return ""
	case site == "" && originHost(from) == strings.ToLower(host):
		return ""
	}
	return otherSite
}

// ownHost reports whether a Host header is an address, localhost, the name of
// this machine or the host of --web.external-url. The port does not matter.
func (s *Server) ownHost(host string) bool {
	u, err := url.Parse("//" + host)
	if err != nil || u.Host != host {
		return false
	}
	name := strings.ToLower(strings.TrimSuffix(u.Hostname(), "."))
	if _, err := netip.ParseAddr(name); err == nil || name == "localhost" {
		return true
	}
	if machine, err := os.Hostname(); err == nil && name != "" && name == strings.ToLower(machine) {
		return true
	}
	return s.cfg.ExternalURL != nil && strings.EqualFold(name, s.cfg.ExternalURL.Hostname())
}

// externalOrigin reports whether an Origin header is that of
// --web.external-url.
func (s *Server) externalOrigin(from string) bool {
	external := s.cfg.ExternalURL
	if external == nil {
		return false
	}
	u, err := url.Parse(from)
	return err == nil && u.Scheme == external.Scheme && strings.EqualFold(addressOf(u), addressOf(external))
}

// addressOf returns the host and port of a URL, with the scheme's default port
// when it has none.
func addressOf(u *url.URL) string {
	return withPort(u.Hostname(), u.Port(), u.Scheme == "https")
}

// originHost returns the host of an Origin header, with the port if it has one,
// in lower case. It is empty for "null" and for anything that is not an origin.
func originHost(from string) string {
	u, err := url.Parse(from)
	if err != nil {
		return ""
	}
	return strings.ToLower(u.Host)
}
