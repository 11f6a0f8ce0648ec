package chaos

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// rejections are the status codes of requests that are not valid HTTP.
var rejections = []int{400, 404, 405, 408, 413, 414, 431, 501, 505}

// abusers are clients that disconnect, are slow, or send junk.
func (c *chaos) abusers(stop <-chan struct{}, ended *sync.WaitGroup) {
	slow := c.slowdown()
	c.often("disconnecting", slow*100*time.Millisecond, stop, ended, c.disconnect)
	c.often("slow sender", slow*1400*time.Millisecond, stop, ended, func(r *rand.Rand) { c.slowClient(r, true, stop) })
	// More of them would be as much load as the readers of /all.
	c.often("slow reader", slow*6*time.Second, stop, ended, func(r *rand.Rand) { c.slowClient(r, false, stop) })
	c.often("junk", slow*200*time.Millisecond, stop, ended, c.junk)
}

// disconnect closes the connection while it waits for the reply: normally, by
// RST, or the sending half first.
func (c *chaos) disconnect(r *rand.Rand) {
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
	raw := request{path: "/" + s.name, timeout: 30 * time.Second}.raw(c.address)
	// sometimes a part only
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
	c.count("disconnecting", []string{"RST", "half closed", "closed"}[how])
}

// slowClient sends a request byte by byte, or reads a large reply as slowly.
// The exporter has a time limit for both.
func (c *chaos) slowClient(r *rand.Rand, sending bool, stop <-chan struct{}) {
	conn, err := net.Dial("tcp", c.address)
	if err != nil {
		c.fault("connect: %v", err)
		return
	}
	defer conn.Close()
	if sending {
		c.sendSlowly(conn, time.Duration(5+r.IntN(100))*time.Millisecond, stop)
		return
	}
	_ = conn.(*net.TCPConn).SetReadBuffer(4096)
	_, _ = io.WriteString(conn, request{path: "/all", timeout: 10 * time.Second}.raw(c.address))
	begun := time.Now()
	buf := make([]byte, 2048)
	for {
		select {
		case <-stop:
			c.count("slow reader", "stopped at the end")
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
			c.count("slow reader", "read all") // within the limit
		case took < 25*time.Second:
			c.count("slow reader", "cut off too early")
			c.fault("a slow reader was cut off after %v: %v", took, err)
		default:
			c.count("slow reader", "cut off")
		}
		return
	}
}

func (c *chaos) sendSlowly(conn net.Conn, pause time.Duration, stop <-chan struct{}) {
	const kind = "slow sender"
	raw := request{path: "/-/healthy"}.raw(c.address)
	begun := time.Now()
	for i := range len(raw) {
		if _, err := io.WriteString(conn, raw[i:i+1]); err != nil {
			break // cut off: the reply has the reason
		}
		select {
		case <-stop:
			c.count(kind, "stopped at the end")
			return
		case <-time.After(pause):
		}
	}
	c.expect(kind, conn, begun, []int{200, 408})
}

// expect reads the only reply to what was sent on conn. After it the connection
// must end or be silent.
func (c *chaos) expect(kind string, conn net.Conn, begun time.Time, codes []int) {
	w := c.client()
	w.conn, w.in = conn, bufio.NewReader(conn)
	_ = conn.SetReadDeadline(time.Now().Add(8*time.Second + c.grace))
	a, err := w.readReply(http.MethodGet)
	switch {
	case err != nil && brokenOff(err) && time.Since(begun) > 4*time.Second:
		// The request took too long. When more of it arrives, TCP discards the
		// reply (RFC 9293, 3.10.7.4).
		c.count(kind, "cut off")
	case err != nil:
		c.count(kind, "no reply")
		c.fault("%s: no reply after %v: %v", kind, time.Since(begun), err)
	case !slices.Contains(codes, a.code):
		c.count(kind, strconv.Itoa(a.code))
		c.fault("%s: reply %d: %.300q", kind, a.code, a.body)
	default:
		c.count(kind, strconv.Itoa(a.code))
		// Noise may begin with a valid request and continue with an invalid
		// one. Each has its reply.
		if extra := w.pending(); extra != "" && (kind != "junk" || !strings.Contains(extra, "HTTP/1.1 400 ")) {
			c.fault("%s: after reply %d came %s", kind, a.code, extra)
		}
	}
}

func brokenOff(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		strings.Contains(err.Error(), "connection reset")
}

// hammer sends a burst: many requests for a script at once, for paths that do
// not exist, and five requests in one packet.
func (c *chaos) hammer(r *rand.Rand) {
	s := c.anyHealthy(r)
	if r.IntN(3) == 0 {
		s = c.anyBad(r)
	}
	codes := []int{200}
	if s.role != "healthy" {
		codes = anyScrapeCode
	}
	pipelined := c.anyHealthy(r)
	var burst sync.WaitGroup
	before := s.seen()
	for i := range 30 {
		burst.Go(func() {
			w := c.client()
			defer w.close()
			a, ok := w.send(request{
				kind:    "hammering",
				path:    "/" + s.name,
				timeout: 10 * time.Second,
				codes:   codes,
			})
			if ok && s.role == "healthy" {
				c.checkText(s, a, before)
			}
			w.send(request{
				kind:  "unknown path",
				path:  fmt.Sprintf("/none/%d.stp", i),
				quick: true,
				codes: []int{404},
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
			strings.Repeat(request{path: "/" + pipelined.name, timeout: 10 * time.Second}.raw(c.address), 5),
		)
		for i := range 5 {
			a, err := w.readReply(http.MethodGet)
			if err != nil || a.code != 200 {
				c.fault("pipelined request %d: %d %v", i, a.code, err)
				return
			}
			c.count("pipelined", "200")
		}
		if extra := w.pending(); extra != "" {
			c.fault("after pipelined replies came %s", extra)
		}
	})
	burst.Wait()
}

// junk sends what is not HTTP, or hardly. It gets a reply.
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
		"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", // the hello of TLS
		"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
	}
	begun := time.Now()
	if _, err := io.WriteString(conn, junk[r.IntN(len(junk))]); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		c.count("junk", "cut off while sending")
		return
	}
	// noise may be a header by chance
	c.expect("junk", conn, begun, slices.Concat(rejections, anyScrapeCode))
}
