package chaos

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"stap-exporter/test/harness"
)

var (
	anyScrape = []int{200, 403, 404, 500, 502, 503, 504} // of a script that misbehaves
	refusals  = []int{400, 404, 405, 408, 413, 414, 431, 501, 505}
)

// often does something at random times, open loop: whether the last one is over
// does not matter, as long as there are not more than crowd of them. What it
// chooses depends on the seed and on how often it was done, not on time.
func (c *chaos) often(
	kind string,
	mean time.Duration,
	stop <-chan struct{},
	ended *sync.WaitGroup,
	do func(r *rand.Rand),
) {
	const crowd = 40
	chooser := rand.New(rand.NewPCG(c.seed, hash(kind)))
	places := make(chan struct{}, crowd)
	ended.Go(func() {
		for {
			r := rand.New(rand.NewPCG(chooser.Uint64(), chooser.Uint64()))
			select {
			case <-stop:
				return
			case <-time.After(time.Duration(float64(mean) * (0.5 + chooser.Float64()))):
			}
			select {
			case places <- struct{}{}:
				ended.Go(func() {
					defer func() { <-places }()
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

// scrapeHealthy scrapes every healthy script on an open-loop schedule, each
// from a connection of its own, until stop is closed: always 200, of one life,
// and of a read that began after the request.
func (c *chaos) scrapeHealthy(stop <-chan struct{}) *sync.WaitGroup {
	var ended sync.WaitGroup
	begin := time.Now().Add(100 * time.Millisecond)
	for i, s := range c.healthy {
		ended.Go(func() {
			w := c.client()
			defer w.close()
			q := question{
				kind:    "scrape of a healthy script",
				path:    "/" + s.name,
				header:  forms[i%len(forms)],
				timeout: 10 * time.Second,
				known:   []int{200},
			}
			for due := begin.Add(c.interval * time.Duration(i) / chaosHealthy); ; due = due.Add(c.interval) {
				select {
				case <-stop:
					return
				case <-time.After(time.Until(due)):
				}
				phase, before := int(c.phase.Load()), s.seen()
				r, ok := w.ask(q)
				c.scraped(phase, time.Since(due))
				if ok {
					c.look(s, r, before)
				}
			}
		})
	}
	return &ended
}

// forms are those in which scrapers ask for metrics.
var forms = []string{
	"",
	"Accept-Encoding: gzip\r\n",
	"Accept: application/openmetrics-text; version=1.0.0,text/plain;version=0.0.4;q=0.5\r\n",
	"Accept: application/openmetrics-text; version=1.0.0,text/plain;version=0.0.4;q=0.5\r\nAccept-Encoding: gzip\r\n",
}

// A sight is the newest text of a script that somebody saw.
type sight struct {
	life   string
	number int64
}

func (s *chaosScript) seen() sight {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.newest
}

// touch is called before something is done to the script that may start it
// over, once.
func (s *chaosScript) touch() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.touched++
}

// look holds a 200 of a script that writes good texts against what was seen of
// it: whole, newer than what there was before the request, and of another life
// only as often as the script was touched.
func (c *chaos) look(s *chaosScript, r reply, before sight) {
	text, wrong := readGood(r.body)
	if wrong != "" {
		c.fault("%s: %s: %.300q", s.name, wrong, r.body)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case text.life == before.life && text.number <= before.number:
		c.fault("%s: text %d, though text %d was there before the request", s.name, text.number, before.number)
	case text.life == s.newest.life:
		s.newest.number = max(s.newest.number, text.number)
	case s.lives[text.life]:
		// An answer of the life before, overtaken by one of the next: only
		// where two ask at once.
	case len(s.lives) > s.touched:
		c.fault("%s: it was started over: %d times, and touched %d times", s.name, len(s.lives), s.touched)
		s.lives[text.life] = true
	default:
		s.lives[text.life], s.newest = true, text
	}
}

var goodLife = regexp.MustCompile(`^chaos_reads_total\{life="(\d+)"\} (\S+)$`)

// readGood reads a good text of cmd misbehave.
func readGood(body []byte) (text sight, wrong string) {
	samples := 0
	for line := range strings.Lines(string(body)) {
		line = strings.TrimSuffix(line, "\n")
		if strings.HasPrefix(line, "#") {
			continue
		}
		if m := goodLife.FindStringSubmatch(line); m != nil {
			text.life = m[1]
		}
		value, err := strconv.ParseFloat(line[strings.LastIndexByte(line, ' ')+1:], 64)
		switch n := int64(value); {
		case err != nil:
			return text, err.Error()
		case samples > 0 && n != text.number:
			return text, "mixed text"
		default:
			text.number = n
		}
		samples++
	}
	if samples != 21 || text.life == "" {
		return text, fmt.Sprintf("%d samples, want 21", samples)
	}
	return text, ""
}

// slower is how much rarer all is than in a long run, because of the race
// detector and other tests beside this one.
func (c *chaos) slower() time.Duration {
	if c.long {
		return 1
	}
	return 2
}

// scrapers are those who read what there is to be read. The means are for the
// whole run, whatever the number of scripts: together with clients about 30
// requests a second.
func (c *chaos) scrapers(stop <-chan struct{}, ended *sync.WaitGroup) {
	slow := c.slower()
	c.often("scrape of a misbehaving script", slow*60*time.Millisecond, stop, ended, c.scrapeBad)
	c.often("reader", slow*200*time.Millisecond, stop, ended, c.readPages)
	c.often("all", slow*2*time.Second, stop, ended, c.readAll)
	c.often("hammering", slow*2*time.Second, stop, ended, c.hammer)
}

// clients are all the others.
func (c *chaos) clients(stop <-chan struct{}, ended *sync.WaitGroup) {
	slow := c.slower()
	c.often("vanishing", slow*100*time.Millisecond, stop, ended, c.vanish)
	c.often("crawling sender", slow*1400*time.Millisecond, stop, ended, func(r *rand.Rand) { c.crawl(r, true, stop) })
	// more, and it is a second load of /all
	c.often("crawling reader", slow*6*time.Second, stop, ended, func(r *rand.Rand) { c.crawl(r, false, stop) })
	c.often("junk", slow*200*time.Millisecond, stop, ended, c.junk)
}

func (c *chaos) anyBad(r *rand.Rand) *chaosScript     { return c.bad[r.IntN(len(c.bad))] }
func (c *chaos) anyHealthy(r *rand.Rand) *chaosScript { return c.healthy[r.IntN(len(c.healthy))] }

func (c *chaos) scrapeBad(r *rand.Rand) {
	s := c.anyBad(r)
	w := c.client()
	defer w.close()
	before := s.seen()
	a, ok := w.ask(question{
		kind:    "scrape of a misbehaving script",
		path:    "/" + s.name,
		header:  forms[r.IntN(len(forms))],
		timeout: []time.Duration{0, time.Second, 3 * time.Second, 8 * time.Second}[r.IntN(4)],
		known:   anyScrape,
	})
	if !ok || a.code != 200 {
		return
	}
	switch s.role {
	case "pet", "stays":
		c.look(s, a, before)
	case "tear", "crash", "dies", "slow", "stubborn", "flood":
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
		q := question{kind: "reader", quick: true, known: []int{200}}
		q.path = []string{"/", "/sd", "/sd?mode=all", "/api/v1/scripts", "/api/v1/events", "/metrics", "/-/healthy", "/-/ready", "/api/v1/scripts/" + c.anyBad(r).name, "/" + c.anyHealthy(r).name}[r.IntN(10)]
		switch {
		case q.path == "/-/ready": // not before all new autostart scripts had their start
			q.known = []int{200, 503}
		case strings.HasPrefix(q.path, "/api/v1/scripts/"): // it may be removed
			q.known = []int{200, 404}
		}
		if r.IntN(5) == 0 {
			q.method = http.MethodHead
		}
		w.ask(q)
	}
}

// healthyUp counts the healthy scripts that are up on a page of all scripts.
// The page has megabytes: a pattern would take the processors from the
// exporter.
func healthyUp(page []byte) (n int) {
	mark := []byte("\nstap_exporter_script_up{script=\"healthy")
	for i := bytes.Index(page, mark); i >= 0; i = bytes.Index(page, mark) {
		page = page[i+len(mark):]
		if line, _, ok := bytes.Cut(page, []byte("\n")); ok && bytes.HasSuffix(line, []byte(`"} 1`)) {
			n++
		}
	}
	return n
}

// readAll: on the page of all scripts no healthy one is ever missing.
func (c *chaos) readAll(*rand.Rand) {
	w := c.client()
	defer w.close()
	q := question{kind: "all", path: "/all", timeout: 10 * time.Second, known: []int{200}}
	if a, ok := w.ask(q); ok {
		if n := healthyUp(a.body); n != chaosHealthy {
			c.fault("/all: %d healthy scripts are up, want %d", n, chaosHealthy)
		}
	}
}

// vanish leaves while it waits: in an orderly way, by RST, or with the sending
// half first.
func (c *chaos) vanish(r *rand.Rand) {
	conn, err := net.Dial("tcp", c.address)
	if err != nil {
		c.fault("connect: %v", err)
		return
	}
	defer conn.Close()
	s := c.anyBad(r)
	if r.IntN(4) == 0 {
		s = c.anyHealthy(r)
	}
	raw := question{path: "/" + s.name, timeout: 30 * time.Second}.raw(c.address)
	// now and then not all of it
	_, _ = io.WriteString(conn, raw[:len(raw)-r.IntN(4)/3*r.IntN(len(raw))])
	time.Sleep(time.Duration(r.IntN(600)) * time.Millisecond)
	how := r.IntN(3)
	switch how {
	case 0:
		_ = conn.(*net.TCPConn).SetLinger(0)
	case 1:
		_ = conn.(*net.TCPConn).CloseWrite()
		time.Sleep(time.Duration(r.IntN(600)) * time.Millisecond)
	}
	c.count("vanishing", []string{"RST", "half closed", "closed"}[how])
}

// crawl sends a request byte by byte, or takes a large answer as slowly; the
// exporter gives neither more than its time.
func (c *chaos) crawl(r *rand.Rand, sending bool, stop <-chan struct{}) {
	conn, err := net.Dial("tcp", c.address)
	if err != nil {
		c.fault("connect: %v", err)
		return
	}
	defer conn.Close()
	if sending {
		c.crawlSending(conn, time.Duration(5+r.IntN(100))*time.Millisecond, stop)
		return
	}
	_ = conn.(*net.TCPConn).SetReadBuffer(4096)
	_, _ = io.WriteString(conn, question{path: "/all", timeout: 10 * time.Second}.raw(c.address))
	begun := time.Now()
	buf := make([]byte, 2048)
	for {
		select {
		case <-stop:
			c.count("crawling reader", "left at the end")
			return
		case <-time.After(20 * time.Millisecond):
		}
		_ = conn.SetReadDeadline(time.Now().Add(30 * time.Second))
		n, err := conn.Read(buf)
		took := time.Since(begun)
		switch {
		case err == nil && n > 0 && took < 100*time.Second:
			continue
		case err == nil:
			c.count("crawling reader", "took it all") // sooner than it must
		case took < 25*time.Second:
			c.count("crawling reader", "cut too soon")
			c.fault("a slow reader was cut after %v: %v", took, err)
		default:
			c.count("crawling reader", "cut")
		}
		return
	}
}

func (c *chaos) crawlSending(conn net.Conn, pause time.Duration, stop <-chan struct{}) {
	const kind = "crawling sender"
	raw := question{path: "/-/healthy"}.raw(c.address)
	begun := time.Now()
	for i := range len(raw) {
		if _, err := io.WriteString(conn, raw[i:i+1]); err != nil {
			break // it was cut: the answer says why
		}
		select {
		case <-stop:
			c.count(kind, "left at the end")
			return
		case <-time.After(pause):
		}
	}
	c.expect(kind, conn, begun, []int{200, 408})
}

// expect reads the one answer to what was sent byte for byte, and then the end
// of the connection or silence.
func (c *chaos) expect(kind string, conn net.Conn, begun time.Time, known []int) {
	w := c.client()
	w.conn, w.in = conn, bufio.NewReader(conn)
	_ = conn.SetReadDeadline(time.Now().Add(8*time.Second + c.grace))
	a, err := w.answer(http.MethodGet)
	switch {
	case err != nil && brokenOff(err) && time.Since(begun) > 4*time.Second:
		// It took too long to send: with bytes under way from us, TCP throws
		// the answer away (RFC 9293, 3.10.7.4).
		c.count(kind, "cut")
	case err != nil:
		c.count(kind, "no answer")
		c.fault("%s: no answer after %v: %v", kind, time.Since(begun), err)
	case !slices.Contains(known, a.code):
		c.count(kind, strconv.Itoa(a.code))
		c.fault("%s: answer %d: %.300q", kind, a.code, a.body)
	default:
		c.count(kind, strconv.Itoa(a.code))
		// Noise may begin with a whole request and go on with something that is
		// none: each has its answer.
		if extra := w.pending(); extra != "" && (kind != "junk" || !strings.Contains(extra, "HTTP/1.1 400 ")) {
			c.fault("%s: after answer %d came %s", kind, a.code, extra)
		}
	}
}

func brokenOff(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		strings.Contains(err.Error(), "connection reset")
}

// hammer is a burst: many at once for one script, five requests in one packet,
// or paths of nothing.
func (c *chaos) hammer(r *rand.Rand) {
	s := c.anyHealthy(r)
	if r.IntN(3) == 0 {
		s = c.anyBad(r)
	}
	known := []int{200}
	if s.role != "healthy" {
		known = anyScrape
	}
	pipelined := c.anyHealthy(r)
	var burst sync.WaitGroup
	before := s.seen()
	for i := range 30 {
		burst.Go(func() {
			w := c.client()
			defer w.close()
			a, ok := w.ask(question{
				kind:    "hammering",
				path:    "/" + s.name,
				timeout: 10 * time.Second,
				known:   known,
			})
			if ok && s.role == "healthy" {
				c.look(s, a, before)
			}
			w.ask(question{
				kind:  "unknown path",
				path:  fmt.Sprintf("/none/%d.stp", i),
				quick: true,
				known: []int{404},
			})
		})
	}
	burst.Go(func() {
		w := c.client()
		defer w.drop()
		if !w.connect() {
			return
		}
		_ = w.conn.SetDeadline(time.Now().Add(20*time.Second + c.grace))
		_, _ = io.WriteString(
			w.conn,
			strings.Repeat(question{path: "/" + pipelined.name, timeout: 10 * time.Second}.raw(c.address), 5),
		)
		for i := range 5 {
			a, err := w.answer(http.MethodGet)
			if err != nil || a.code != 200 {
				c.fault("pipelined request %d: %d %v", i, a.code, err)
				return
			}
			c.count("pipelined", "200")
		}
		if extra := w.pending(); extra != "" {
			c.fault("after pipelined answers came %s", extra)
		}
	})
	burst.Wait()
}

// junk is not HTTP, or only just; whatever it is, it gets an answer.
func (c *chaos) junk(r *rand.Rand) {
	conn, err := net.Dial("tcp", c.address)
	if err != nil {
		c.fault("connect: %v", err)
		return
	}
	defer conn.Close()
	noise := make([]byte, 1+r.IntN(2000))
	for i := range noise {
		noise[i] = byte(r.Uint32())
	}
	name := "/" + c.anyBad(r).name
	junk := []string{
		string(noise),
		string(noise) + "\r\n\r\n",
		"GET " + name,
		"GET " + name + " HTTP/1.1\r\nHost: x\r\n" + string(noise) + "\r\n\r\n",
		"GET " + name + " HTTP/1.1\r\nHost: x\r\nCookie: " + strings.Repeat("c", 20_000) + "\r\n\r\n",
		"GET /" + strings.Repeat("a", 9000) + ".stp HTTP/1.1\r\nHost: x\r\n\r\n",
		"BREW " + name + " HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET //x" + name + "/../y.stp HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET /%00%ff.stp HTTP/1.1\r\nHost: x\r\n\r\n",
		"POST " + name + " HTTP/1.1\r\nHost: x\r\nContent-Length: 20000\r\n\r\n" + strings.Repeat("b", 20_000),
		"POST " + name + " HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
		"POST " + name + " HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n" + string(noise),
		"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", // a TLS hello, as of https://
		"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
	}
	begun := time.Now()
	if _, err := io.WriteString(conn, junk[r.IntN(len(junk))]); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		c.count("junk", "cut while sending")
		return
	}
	// noise can be a header by chance
	c.expect("junk", conn, begun, slices.Concat(refusals, anyScrape))
}
