package server

import (
	"context"
	"net"
	"os"
	"reflect"
	"sync"
	"time"

	"github.com/valyala/fasthttp"

	"stap-exporter/httpfront"
	"stap-exporter/internal/exposition"
)

// fast is a fasthttp server with a handler of a few lines.
type fast struct{ http *fasthttp.Server }

// newFast copies every plain option of the product's own server, so both trade
// memory for speed in the same way.
func newFast(handle fasthttp.RequestHandler) *fast {
	s := &fasthttp.Server{}
	to := reflect.ValueOf(s).Elem()
	from := reflect.ValueOf(httpfront.New(httpfront.Config{})).Elem().FieldByName("http").Elem()
	for i := range to.NumField() {
		if !to.Type().Field(i).IsExported() {
			continue
		}
		switch f := from.Field(i); f.Kind() {
		case reflect.Bool:
			to.Field(i).SetBool(f.Bool())
		case reflect.Int, reflect.Int64:
			to.Field(i).SetInt(f.Int())
		case reflect.String:
			to.Field(i).SetString(f.String())
		default: // handlers and hooks: the difference to measure
		}
	}
	s.Handler = handle
	s.Logger = silent{}
	return &fast{s}
}

// silent discards fasthttp's own messages, as the product does by default.
type silent struct{}

func (silent) Printf(string, ...any) {}

// Serve implements Server.
func (f *fast) Serve(ln net.Listener) error { return f.http.Serve(ln) }

// Close implements Server.
func (f *fast) Close() {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	_ = f.http.ShutdownWithContext(ctx)
}

// CA implements Server.
func (f *fast) CA() string { return "" }

var acceptEncoding = []byte(fasthttp.HeaderAcceptEncoding)

// newBare sends the same bytes to every client: text, or gzip if the request
// has an Accept-Encoding header.
func newBare(o Options) (Server, error) {
	page := newSource(o).page()
	if o.TextFile != "" {
		text, err := os.ReadFile(o.TextFile)
		if err != nil {
			return nil, err
		}
		page = exposition.Sanitize(text, exposition.Options{})
	}
	text, gzip := page.Text(), page.Render(exposition.Form{Gzip: true})
	return newFast(func(ctx *fasthttp.RequestCtx) {
		ctx.Response.Header.SetContentType(exposition.FormatText.ContentType())
		if len(ctx.Request.Header.PeekBytes(acceptEncoding)) > 0 {
			ctx.Response.Header.SetContentEncoding("gzip")
			ctx.Response.SetBodyRaw(gzip)
			return
		}
		ctx.Response.SetBodyRaw(text)
	}), nil
}

// newMutex uses a mutex instead of actors: each request reads the source for
// itself.
func newMutex(o Options) (Server, error) {
	src := newSource(o)
	var mu sync.Mutex
	return newFast(func(ctx *fasthttp.RequestCtx) {
		mu.Lock()
		page, err := src.Read(context.Background(), nil)
		mu.Unlock()
		if err != nil {
			ctx.Error(err.Error(), fasthttp.StatusInternalServerError)
			return
		}
		gzip := len(ctx.Request.Header.PeekBytes(acceptEncoding)) > 0
		ctx.Response.Header.SetContentType(exposition.FormatText.ContentType())
		if gzip {
			ctx.Response.Header.SetContentEncoding("gzip")
		}
		ctx.Response.SetBodyRaw(page.Render(exposition.Form{Gzip: gzip}))
	}), nil
}
