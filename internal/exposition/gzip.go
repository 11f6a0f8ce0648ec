package exposition

import (
	"bytes"
	"sync"

	"github.com/klauspost/compress/gzip"
)

// compressor is a gzip writer with its output. It uses the fastest level: a
// body is compressed while a scrape waits, and usually crosses a local network.
type compressor struct {
	out bytes.Buffer
	w   *gzip.Writer
}

var compressors = sync.Pool{New: func() any {
	c := &compressor{}
	c.w, _ = gzip.NewWriterLevel(&c.out, gzip.BestSpeed) // no error: the level is valid
	return c
}}

// compress returns the body compressed with gzip, in freshly allocated memory.
func compress(body []byte) []byte {
	defer acquire(len(body))()
	c := compressors.Get().(*compressor)
	defer compressors.Put(c)
	c.out.Reset()
	c.w.Reset(&c.out)
	// A bytes.Buffer returns no errors.
	for from := 0; from < len(body); from += yieldBytes {
		to := min(from+yieldBytes, len(body))
		_, _ = c.w.Write(body[from:to])
		yield(from, to)
	}
	_ = c.w.Close()
	return bytes.Clone(c.out.Bytes())
}
