package httpfront

import (
	"bytes"
	"sync"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/valyala/fasthttp"

	"stap-exporter/httpfront/accept"
	"stap-exporter/internal/scrape"
)

const (
	// pageInterval is the time from when a page is made until it is made again.
	pageInterval = 500 * time.Millisecond
	// maxPages bounds how many pages are kept. There is one for each kind and
	// script, and for /sd one for each address that clients use.
	maxPages = 1024
	// pageExpiry is when a page that is no longer requested may be dropped.
	pageExpiry = 2 * pageInterval
)

// A page is a reply without anything of its request. Its bytes are not written
// to after it is made, and many replies share them.
type page struct {
	code        int
	contentType string
	html        bool // has pageSecurity
	body        []byte

	compress sync.Once
	gzip     []byte
}

// A sharedPage is a page of the server's own, which all clients share. It is
// made for a request at most once in each pageInterval, and for all requests
// that came before.
type sharedPage struct {
	slot  chan struct{} // held by the request that waits for pageInterval, or makes the page
	begun time.Time     // when page was made last; slot must be held
	page  *page         // nil before the first time, and after a panic

	requested time.Time // the last time; Server.pagesMu must be held
}

// pageFor returns a page that shows a state not older than the request: it
// waits until the page may be made again, and makes it unless another request
// does. It returns an error when the client is gone or the server shuts down;
// then nothing is made.
func (s *Server) pageFor(p *sharedPage, client scrape.Client, build func() *page) (*page, error) {
	arrived := time.Now()
	if err := s.takeSlot(p, client); err != nil {
		return nil, err
	}
	defer func() { <-p.slot }()
	if p.page != nil && p.begun.After(arrived) {
		return p.page, nil
	}
	if wait := time.Until(p.begun.Add(pageInterval)); wait > 0 {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-s.stopping:
			return nil, scrape.ErrShuttingDown
		}
	}
	if isGone(client) {
		return nil, scrape.ErrClientGone
	}
	p.begun, p.page = time.Now(), nil
	p.page = build()
	return p.page, nil
}

// takeSlot waits until the request may make the page, or until its client is
// gone.
func (s *Server) takeSlot(p *sharedPage, client scrape.Client) error {
	select {
	case p.slot <- struct{}{}:
		return nil
	default:
	}
	check := time.NewTicker(time.Second)
	defer check.Stop()
	for {
		select {
		case p.slot <- struct{}{}:
			return nil
		case <-s.stopping:
			return scrape.ErrShuttingDown
		case <-check.C:
			if isGone(client) {
				return scrape.ErrClientGone
			}
		}
	}
}

// share sends the page called key, which build makes. build runs without the
// request. What it makes depends on nothing but key.
func (s *Server) share(ctx *fasthttp.RequestCtx, key string, build func() *page) {
	if page, ok := s.shared(ctx, key, build); ok {
		writePage(ctx, page)
	}
}

// shared returns the page called key. When it returns false the request is
// answered.
func (s *Server) shared(ctx *fasthttp.RequestCtx, key string, build func() *page) (*page, bool) {
	p := s.sharedPage(key)
	if p == nil {
		if !s.acquirePermit(ctx) {
			return nil, false
		}
		return build(), true
	}
	page, err := s.pageFor(p, clientOf(ctx), build)
	if err != nil {
		s.explain(ctx, scrape.Answer{Err: err})
	}
	return page, err == nil
}

// sharedPage returns the page called key, a new one when there is none, and nil
// when there are too many. It drops pages that are no longer requested.
func (s *Server) sharedPage(key string) *sharedPage {
	s.pagesMu.Lock()
	defer s.pagesMu.Unlock()
	now := time.Now()
	p := s.pages[key]
	if p == nil {
		if len(s.pages) >= maxPages {
			for old, page := range s.pages {
				if now.Sub(page.requested) > pageExpiry {
					delete(s.pages, old)
				}
			}
			if len(s.pages) >= maxPages {
				return nil
			}
		}
		p = &sharedPage{slot: make(chan struct{}, 1)}
		s.pages[key] = p
	}
	p.requested = now
	return p
}

// writePage sends a page. It neither copies nor keeps its bytes.
func writePage(ctx *fasthttp.RequestCtx, p *page) {
	if p.html {
		ctx.Response.Header.Set(fasthttp.HeaderContentSecurityPolicy, pageSecurity)
	}
	ctx.SetStatusCode(p.code)
	ctx.SetContentType(p.contentType)
	ctx.Response.SetBodyRaw(p.body)
}

// writeGzipPage sends a page compressed when the client allows it.
func writeGzipPage(ctx *fasthttp.RequestCtx, p *page) {
	writePage(ctx, p)
	ctx.Response.Header.Set(fasthttp.HeaderVary, fasthttp.HeaderAcceptEncoding)
	if accept.AllowsGzip(ctx.Request.Header.Peek(fasthttp.HeaderAcceptEncoding)) {
		ctx.Response.Header.SetContentEncoding("gzip")
		ctx.Response.SetBodyRaw(p.gzipped())
	}
}

// gzipped returns the body compressed, once for all replies.
func (p *page) gzipped() []byte {
	p.compress.Do(func() {
		var out bytes.Buffer
		w, _ := gzip.NewWriterLevel(&out, gzip.BestSpeed) // no error: the level is valid
		_, _ = w.Write(p.body)                            // no error: a Buffer has none
		_ = w.Close()
		p.gzip = out.Bytes()
	})
	return p.gzip
}
