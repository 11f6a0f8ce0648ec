package exposition

import (
	"bytes"
	"fmt"
	"testing"
)

// pageText returns a text of nearly size bytes, such as scripts write.
func pageText(size int) []byte {
	var b []byte
	families := max(1, size/2048)
	for n := range families {
		b = fmt.Appendf(
			b,
			"# HELP syscalls_%d_total Calls by thread and cpu.\n# TYPE syscalls_%d_total counter\n",
			n,
			n,
		)
		for i := 0; len(b) < size*(n+1)/families-64; i++ {
			b = fmt.Appendf(b, "syscalls_%d_total{tid=\"%d\",cpu=\"%d\"} %d\n", n, 12000+i, i%8, i*i*977)
		}
	}
	return b
}

func sizes(b *testing.B, text func([]byte) []byte, run func(b *testing.B, text []byte)) {
	for _, size := range []int{3 << 10, 63 << 10} {
		b.Run(fmt.Sprintf("%dKB", (size+1023)>>10), func(b *testing.B) {
			in := text(pageText(size))
			b.SetBytes(int64(len(in)))
			b.ReportAllocs()
			run(b, in)
		})
	}
}

func asIs(text []byte) []byte { return text }

func BenchmarkSanitizeValid(b *testing.B) {
	sizes(b, asIs, func(b *testing.B, text []byte) {
		for b.Loop() {
			Sanitize(text, Options{})
		}
	})
}

func BenchmarkSanitizeOneBadLine(b *testing.B) {
	sizes(b, func(text []byte) []byte { return append(text, "bad line\n"...) }, func(b *testing.B, text []byte) {
		for b.Loop() {
			Sanitize(text, Options{})
		}
	})
}

func BenchmarkSanitizeEscapes(b *testing.B) {
	sizes(
		b,
		func(text []byte) []byte { return bytes.ReplaceAll(text, []byte(`cpu="`), []byte(`cpu="\t`)) },
		func(b *testing.B, text []byte) {
			for b.Loop() {
				Sanitize(text, Options{})
			}
		},
	)
}

func BenchmarkSanitizeDirectives(b *testing.B) {
	sizes(
		b,
		func(text []byte) []byte { return bytes.ReplaceAll(text, []byte("# "), []byte("## ")) },
		func(b *testing.B, text []byte) {
			var all []Metadata
			for n := range 32 {
				all = append(all, Metadata{fmt.Sprintf("syscalls_%d_total", n), Counter, "Calls by thread and cpu."})
			}
			d, err := NewDirectives(all)
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				Sanitize(text, Options{Directives: d})
			}
		},
	)
}

func BenchmarkOpenMetrics(b *testing.B) {
	sizes(b, asIs, func(b *testing.B, text []byte) {
		for b.Loop() {
			renderOpenMetrics(text)
		}
	})
}

func BenchmarkGzip(b *testing.B) {
	sizes(b, asIs, func(b *testing.B, text []byte) {
		for b.Loop() {
			compress(text)
		}
	})
}

func BenchmarkMerge100Scripts(b *testing.B) {
	sizes(b, asIs, func(b *testing.B, text []byte) {
		var sources []Source
		for i := range 100 {
			sources = append(sources, Source{fmt.Sprintf("script%d.stp", i), Sanitize(text, Options{})})
		}
		b.SetBytes(int64(100 * len(text)))
		for b.Loop() {
			Merge(sources)
		}
	})
}
