package exposition

import (
	"bytes"
	"sync"

	"github.com/klauspost/compress/gzip"
)

// compressor is a gzip writer with its output. The level is the fastest: the
// body is compressed while a scrape waits, and goes over a local network.
type compressor struct {
	out bytes.Buffer
	w   *gzip.Writer
}

var compressors = sync.Pool{New: func() any {
	c := &compressor{}
	c.w, _ = gzip.NewWriterLevel(&c.out, gzip.BestSpeed) // the level is a valid one
	return c
}}

// compress returns the gzip form of the body, freshly allocated.
func compress(body []byte) []byte {
	defer turn(len(body))()
	c := compressors.Get().(*compressor)
	defer compressors.Put(c)
	c.out.Reset()
	c.w.Reset(&c.out)
	// A bytes.Buffer does not return errors.
	for from := 0; from < len(body); from += courtesyBytes {
		to := min(from+courtesyBytes, len(body))
		_, _ = c.w.Write(body[from:to])
		courtesy(from, to)
	}
	_ = c.w.Close()
	return bytes.Clone(c.out.Bytes())
}
