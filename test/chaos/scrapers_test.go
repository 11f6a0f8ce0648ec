package chaos

import (
	"bytes"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"time"

	"stap-exporter/test/harness"
)

// anyScrapeCode are the status codes of a script that misbehaves.
var anyScrapeCode = []int{200, 403, 404, 500, 502, 503, 504}

// often does something at random times in an open loop, that is, without
// waiting for the one before, but at most maxParallel at a time. The choices
// depend on the seed and on the number of calls of do, not on time.
func (c *chaos) often(
	kind string,
	mean time.Duration,
	stop <-chan struct{},
	ended *sync.WaitGroup,
	do func(r *rand.Rand),
) {
	const maxParallel = 40
	chooser := rand.New(rand.NewPCG(c.seed, hash(kind)))
	slots := make(chan struct{}, maxParallel)
	ended.Go(func() {
		for {
			r := rand.New(rand.NewPCG(chooser.Uint64(), chooser.Uint64()))
			select {
			case <-stop:
				return
			case <-time.After(time.Duration(float64(mean) * (0.5 + chooser.Float64()))):
			}
			select {
			case slots <- struct{}{}:
				ended.Go(func() {
					defer func() { <-slots }()
					do(r)
				})
			default:
				c.count(kind, "skipped")
			}
		}
	})
}

func hash(s string) uint64 {
	h := uint64(14695981039346656037)
	for _, b := range []byte(s) {
		h = (h ^ uint64(b)) * 1099511628211
	}
	return h
}

// scrapeHealthy scrapes every healthy script on an open-loop schedule, each on
// its own connection, until stop is closed. Every reply must be a 200, of the
// same process, and of a read that began after the request.
func (c *chaos) scrapeHealthy(stop <-chan struct{}) *sync.WaitGroup {
	var ended sync.WaitGroup
	begin := time.Now().Add(100 * time.Millisecond)
	for i, s := range c.healthy {
		ended.Go(func() {
			w := c.client()
			defer w.close()
			q := request{
				kind:    "scrape of a healthy script",
				path:    "/" + s.name,
				header:  formats[i%len(formats)],
				timeout: 10 * time.Second,
				codes:   []int{200},
			}
			for due := begin.Add(c.interval * time.Duration(i) / healthyScripts); ; due = due.Add(c.interval) {
				select {
				case <-stop:
					return
				case <-time.After(time.Until(due)):
				}
				phase, before := int(c.phase.Load()), s.seen()
				r, ok := w.send(q)
				c.scraped(phase, time.Since(due))
				if ok {
					c.checkText(s, r, before)
				}
			}
		})
	}
	return &ended
}

// formats are the headers with which scrapers request metrics.
var formats = []string{
	"",
	"Accept-Encoding: gzip\r\n",
	"Accept: application/openmetrics-text; version=1.0.0,text/plain;version=0.0.4;q=0.5\r\n",
	"Accept: application/openmetrics-text; version=1.0.0,text/plain;version=0.0.4;q=0.5\r\nAccept-Encoding: gzip\r\n",
}

// slowdown is the factor of the mean times of a short run, which has the race
// detector and other tests beside it.
func (c *chaos) slowdown() time.Duration {
	if c.long {
		return 1
	}
	return 2
}

// scrapers read all that can be read. The mean times are for the whole run,
// whatever the number of scripts: together with abusers about 30 requests a
// second.
func (c *chaos) scrapers(stop <-chan struct{}, ended *sync.WaitGroup) {
	slow := c.slowdown()
	c.often("scrape of a misbehaving script", slow*60*time.Millisecond, stop, ended, c.scrapeBad)
	c.often("reader", slow*200*time.Millisecond, stop, ended, c.readPages)
	c.often("all", slow*2*time.Second, stop, ended, c.readAll)
	c.often("hammering", slow*2*time.Second, stop, ended, c.hammer)
}

func (c *chaos) anyBad(r *rand.Rand) *chaosScript     { return c.bad[r.IntN(len(c.bad))] }
func (c *chaos) anyHealthy(r *rand.Rand) *chaosScript { return c.healthy[r.IntN(len(c.healthy))] }

func (c *chaos) scrapeBad(r *rand.Rand) {
	s := c.anyBad(r)
	w := c.client()
	defer w.close()
	before := s.seen()
	a, ok := w.send(request{
		kind:    "scrape of a misbehaving script",
		path:    "/" + s.name,
		header:  formats[r.IntN(len(formats))],
		timeout: []time.Duration{0, time.Second, 3 * time.Second, 8 * time.Second}[r.IntN(4)],
		codes:   anyScrapeCode,
	})
	if !ok || a.code != 200 {
		return
	}
	switch s.role {
	case "pet", "keeps":
		c.checkText(s, a, before)
	case "truncate", "crash", "dies", "slow", "stubborn", "flood":
		text := bytes.TrimSuffix(a.body, []byte("# EOF\n"))
		if _, err := harness.ParseSamples(text, ""); err != nil {
			c.fault("%s: %v: %q", s.name, err, a.body)
		}
	}
}

func (c *chaos) readPages(r *rand.Rand) {
	w := c.client()
	defer w.close()
	for range 1 + r.IntN(3) { // on one connection
		q := request{kind: "reader", quick: true, codes: []int{200}}
		q.path = []string{
			"/", "/sd", "/sd?mode=all", "/api/v1/scripts", "/api/v1/events", "/metrics", "/-/healthy", "/-/ready",
			"/api/v1/scripts/" + c.anyBad(r).name, "/" + c.anyHealthy(r).name,
		}[r.IntN(10)]
		switch {
		case q.path == "/-/ready": // not before the first start of all new autostart scripts
			q.codes = []int{200, 503}
		case strings.HasPrefix(q.path, "/api/v1/scripts/"): // it may have been removed
			q.codes = []int{200, 404}
		}
		if r.IntN(5) == 0 {
			q.method = http.MethodHead
		}
		w.send(q)
	}
}

// healthyUp counts the healthy scripts that are up on a page of all scripts.
// The page has megabytes: a regular expression would take CPU time from the
// exporter.
func healthyUp(page []byte) (n int) {
	prefix := []byte("\nstap_exporter_script_up{script=\"healthy")
	for i := bytes.Index(page, prefix); i >= 0; i = bytes.Index(page, prefix) {
		page = page[i+len(prefix):]
		if line, _, ok := bytes.Cut(page, []byte("\n")); ok && bytes.HasSuffix(line, []byte(`"} 1`)) {
			n++
		}
	}
	return n
}

// readAll reads the page of all scripts, which must have every healthy one.
func (c *chaos) readAll(*rand.Rand) {
	w := c.client()
	defer w.close()
	q := request{kind: "all", path: "/all", timeout: 10 * time.Second, codes: []int{200}}
	if a, ok := w.send(q); ok {
		if n := healthyUp(a.body); n != healthyScripts {
			c.fault("/all: %d healthy scripts are up, want %d", n, healthyScripts)
		}
	}
}
