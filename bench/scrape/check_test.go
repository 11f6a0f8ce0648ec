package scrape

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"stap-exporter/bench/body"
	"stap-exporter/internal/exposition"
)

const textType = "text/plain; version=0.0.4; charset=utf-8"

// Each kind of wrong reply is found.
func TestWrongBodies(t *testing.T) {
	template := body.NewTemplate(1000)
	good := func(number, at int64) []byte { return template.Text(number, at) }
	page := exposition.Sanitize(good(8, 150), exposition.Options{})
	if string(page.Text()) != string(good(8, 150)) {
		t.Fatal("Sanitize changes the text")
	}
	swap := func(old, replacement string) []byte {
		b := bytes.Replace(good(8, 150), []byte(old), []byte(replacement), 1)
		if bytes.Equal(b, good(8, 150)) {
			t.Fatalf("%q is not in the text", old)
		}
		return b
	}
	whole := good(8, 150)
	zipped := page.Render(exposition.Form{Gzip: true})
	openMetrics := exposition.FormatOpenMetrics.ContentType()
	lastLine := bytes.LastIndexByte(whole[:len(whole)-1], '\n') + 1
	for name, c := range map[string]struct {
		want string
		r    reply
	}{
		"good":                  {"", reply{body: whole}},
		"good gzip":             {"", reply{encoding: "gzip", body: zipped}},
		"good OpenMetrics":      {"", reply{contentType: openMetrics, body: page.OpenMetrics()}},
		"no 200":                {wrongStatus, reply{status: 503, body: []byte("Refresh page")}},
		"empty":                 {wrongEmpty, reply{}},
		"no gzip":               {wrongEncoding, reply{encoding: "gzip", body: whole}},
		"gzip cut":              {wrongEncoding, reply{encoding: "gzip", body: zipped[:100]}},
		"unknown encoding":      {wrongEncoding, reply{encoding: "br", body: whole}},
		"bad line":              {wrongParse, reply{body: swap("count{tid", "count{=tid")}},
		"OpenMetrics without #": {wrongParse, reply{contentType: openMetrics, body: whole}},
		"cut at a line":         {wrongTruncated, reply{body: whole[:lastLine]}},
		"cut in a number":       {wrongTruncated, reply{body: append(bytes.Clone(whole[:len(whole)-4]), '\n')}},
		"of two reads":          {wrongTruncated, reply{body: append(bytes.Clone(whole[:500]), good(9, 160)[500:]...)}},
		"old":                   {wrongOld, reply{body: good(8, 99)}},
		"backwards":             {wrongBackwards, reply{body: good(6, 150)}},
	} {
		for _, warm := range []bool{false, true} {
			// warm: by the shape of an earlier text instead of the parser
			k := &checker{what: Checks{Stamped: true, Fresh: true}}
			h := &history{}
			if warm {
				if _, err := k.check(&history{}, reply{
					status:      200,
					contentType: textType,
					body:        good(5, 60),
					sent:        50,
					done:        70,
				}); err != nil {
					t.Fatal(err)
				}
			}
			h.known, h.last, h.done = true, body.Stamp{Number: 7}, 90
			r := c.r
			r.sent, r.done = 100, 200
			if r.status == 0 {
				r.status = 200
			}
			if r.contentType == "" {
				r.contentType = textType
			}
			age, err := k.check(h, r)
			w, _ := errors.AsType[*wrong](err)
			switch {
			case c.want == "" && (err != nil || age != 50):
				t.Errorf("%s, warm %v: age %d, %v", name, warm, age, err)
			case c.want != "" && (w == nil || w.kind != c.want):
				t.Errorf("%s, warm %v: got %v, want %q", name, warm, err, c.want)
			}
		}
	}
}

// The samples of a real script are compared with those of the reply before.
func TestCountersNeverFall(t *testing.T) {
	k := &checker{what: Checks{Counters: true}}
	h := &history{}
	for i, c := range []struct {
		text, want string
		sent, done int64
	}{
		{"a{b=\"1\"} 5\nc 1\n", "", 1, 2},
		{"a{b=\"1\"} 5\nc 2\n", "", 3, 4},
		{"a{b=\"1\"} 4\nc 3\n", wrongBackwards, 5, 6},
		// sent before the last reply: either may have been read first
		{"a{b=\"1\"} 4\n", "", 3, 7},
		{"a{b=\"1\"} 9\nc", wrongTruncated, 8, 9},
		{"a{b=\"1\"} 9\nnew 0\n", "", 10, 11},
	} {
		_, err := k.check(h, reply{
			status:      200,
			contentType: textType,
			body:        []byte(c.text),
			sent:        c.sent,
			done:        c.done,
		})
		if (err == nil) != (c.want == "") || err != nil && !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("reply %d: got %v, want %q", i, err, c.want)
		}
	}
}
