package httpfront

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/valyala/fasthttp"
)

const (
	plainText       = "text/plain; charset=utf-8"
	applicationJSON = "application/json"

	allowGet  = "GET, HEAD"
	allowPost = "POST"
)

// Header names in canonical form and values, which fasthttp sets without a
// copy.
var (
	headerNosniff      = []byte("X-Content-Type-Options")
	headerCacheControl = []byte("Cache-Control")
	valueNosniff       = []byte("nosniff")
	valueNoStore       = []byte("no-store")
	headerVary         = []byte("Vary")
	valueVary          = []byte("Accept, Accept-Encoding")
)

func setCommonHeaders(ctx *fasthttp.RequestCtx) {
	ctx.Response.Header.SetCanonical(headerNosniff, valueNosniff)
	ctx.Response.Header.SetCanonical(headerCacheControl, valueNoStore)
}

// plainReply sends a 200 with text.
func plainReply(ctx *fasthttp.RequestCtx, text string) {
	ctx.SetContentType(plainText)
	ctx.SetBodyString(text)
}

// plainError sends text with a status code. Headers that are already set stay.
func plainError(ctx *fasthttp.RequestCtx, code int, text string) {
	ctx.SetStatusCode(code)
	plainReply(ctx, text)
}

// rejectMethod sends a 405. allow is the value of the Allow header.
func rejectMethod(ctx *fasthttp.RequestCtx, allow string) {
	ctx.Response.Header.Set(fasthttp.HeaderAllow, allow)
	text := "method not allowed: use " + strings.ReplaceAll(allow, ", ", " or ") + "\n"
	plainError(ctx, fasthttp.StatusMethodNotAllowed, text)
}

func notFound(ctx *fasthttp.RequestCtx) {
	plainError(ctx, fasthttp.StatusNotFound, notFoundText)
}

// writeJSON sends v, indented.
func writeJSON(ctx *fasthttp.RequestCtx, code int, v any) {
	writePage(ctx, jsonPage(code, v))
}

// jsonPage returns the reply with v, indented.
func jsonPage(code int, v any) *page {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		panic(fmt.Errorf("encode %T: %w", v, err)) // a bug in the type
	}
	return &page{code: code, contentType: applicationJSON, body: buf.Bytes()}
}
