// Package crossorigin finds POST requests that a page of another site made a
// browser send. It is a pure function of the request's headers; any goroutine
// may call it.
package crossorigin

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"strings"

	"stap-exporter/httpfront/internal/display"
)

const otherSite = "a page of another site sent this request"

// A POST is the part of a POST request that says which page sent it. Browsers
// send Sec-Fetch-Site (W3C Fetch Metadata) to https and to localhost only, and
// Origin with every POST. Other clients send neither.
type POST struct {
	Host      string // the header itself: the host of an absolute request target is the client's choice
	FetchSite string // Sec-Fetch-Site
	Origin    string
}

// Refusal returns why a POST may come from a page of another site, empty when it
// does not. external is the URL under which clients reach this server, or nil.
// Such a page must not operate scripts: a browser adds the login that it knows
// to whatever a page makes it post, and it reaches servers that the page's
// author cannot.
//
// The rule for the headers is that of http.CrossOriginProtection, with
// --web.external-url as the trusted origin. It trusts the Host header, so a
// browser's Host must also be a name that nobody else can let resolve to this
// server (DNS rebinding). A request without the headers is not a browser's.
func Refusal(r POST, external *url.URL) string {
	if r.FetchSite == "" && r.Origin == "" {
		return ""
	}
	if !ownHost(r.Host, external) {
		return fmt.Sprintf(
			"a browser sent this request to %q, which may be a name of another site: "+
				"use an address or the name of this machine, or set --web.external-url",
			display.Printable(r.Host),
		)
	}
	switch {
	case r.FetchSite == "same-origin" || r.FetchSite == "none":
		return ""
	case isOrigin(r.Origin, external):
		return ""
	case r.FetchSite == "" && originHost(r.Origin) == strings.ToLower(r.Host):
		return ""
	}
	return otherSite
}

// ownHost reports whether a Host header is an address, localhost, the name of
// this machine or the host of --web.external-url. The port does not matter.
func ownHost(host string, external *url.URL) bool {
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
	return external != nil && strings.EqualFold(name, external.Hostname())
}

// isOrigin reports whether an Origin header is that of the external URL.
func isOrigin(from string, external *url.URL) bool {
	if external == nil {
		return false
	}
	u, err := url.Parse(from)
	return err == nil && u.Scheme == external.Scheme && strings.EqualFold(addressOf(u), addressOf(external))
}

// addressOf returns the host and port of a URL, with the scheme's default port
// when it has none.
func addressOf(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[bool]string{true: "443", false: "80"}[u.Scheme == "https"]
	}
	return net.JoinHostPort(u.Hostname(), port)
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
