package httpfront

import (
	"bufio"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"stap-exporter/httpfront/internal/testpki"
	"stap-exporter/httpfront/listen"
	"stap-exporter/internal/scrape"

	"go.uber.org/zap"
)

// shortly replaces a longer timeout in tests.
const shortly = time.Second

// crawl writes text again and again, a byte at a time, until a write fails.
func crawl(conn net.Conn, text string) {
	for i := 0; ; i = (i + 1) % len(text) {
		if _, err := conn.Write([]byte{text[i]}); err != nil {
			return
		}
		time.Sleep(shortly / 20)
	}
}

// Clients that send a byte now and then are disconnected at the deadline of the
// whole request, in any part of it, and reach no script.
func TestSlowSendersAreDisconnected(t *testing.T) {
	scripts := serveBody("count 1\n", "x.stp")
	s := New(Config{Scripts: scripts})
	s.http.ReadTimeout = shortly
	addr := serve(t, s)
	for name, c := range map[string]struct{ first, slow string }{
		"request line":   {"", "GET "},
		"header":         {"GET /x.stp HTTP/1.1\r\nHost: x\r\n", "a"},
		"many headers":   {"GET /x.stp HTTP/1.1\r\nHost: x\r\n", "a: b\r\n"},
		"body":           {"POST /x.stp HTTP/1.1\r\nHost: x\r\nContent-Length: 10000\r\n\r\n", "a"},
		"chunk":          {"POST /x.stp HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1000\r\n", "a"},
		"blank lines":    {"", "\r\n"},
		"silent":         {"", ""},
		"second request": {"GET / HTTP/1.1\r\nHost: x\r\n\r\nG", "a"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn := dial(t, addr)
			if _, err := io.WriteString(conn, c.first); err != nil {
				t.Fatal(err)
			}
			from := bufio.NewReader(conn)
			if name == "second request" {
				if got := receive(t, from, "GET"); got.code != 200 {
					t.Fatalf("first request: %d", got.code)
				}
			}
			if c.slow != "" {
				go crawl(conn, c.slow)
			}
			rest, err := io.ReadAll(from) // the connection's end
			if err != nil && !errors.Is(err, syscall.ECONNRESET) {
				t.Fatal(err)
			}
			unanswered := name == "blank lines" // they are no request
			if unanswered && len(rest) > 0 || !unanswered && !strings.HasPrefix(string(rest), "HTTP/1.1 408 ") {
				t.Errorf("reply %q", rest)
			}
		})
	}
	t.Cleanup(func() {
		if names := scripts.requested(); len(names) > 0 {
			t.Errorf("requested %q", names)
		}
	})
}

// The same within TLS, and for clients that never complete the handshake.
func TestSlowHandshakesAreDisconnected(t *testing.T) {
	dir := t.TempDir()
	testpki.New(t, dir, "ca").Issue("server")
	s := New(Config{
		Scripts: serveBody("count 1\n", "x.stp"),
		Web:     webConfig(t, dir, serverTLS, zap.NewNop()),
	})
	s.http.ReadTimeout = shortly
	addr := serve(t, s)

	hello := dial(t, addr)
	_, _ = hello.Write([]byte{0x16, 0x03, 0x01, 0x40, 0x00}) // a record of 16 KiB
	go crawl(hello, "\x01")
	silent := dial(t, addr)
	for _, c := range []net.Conn{hello, silent} {
		if _, err := io.Copy(io.Discard, c); err != nil && !errors.Is(err, syscall.ECONNRESET) {
			t.Error(err)
		}
	}

	inside := tls.Client(dial(t, addr), &tls.Config{InsecureSkipVerify: true})
	if _, err := io.WriteString(inside, "GET /x.stp HTTP/1.1\r\n"); err != nil {
		t.Fatal(err)
	}
	go crawl(inside, "a")
	if rest, _ := io.ReadAll(inside); !strings.HasPrefix(string(rest), "HTTP/1.1 408 ") {
		t.Errorf("reply %q", rest)
	}
	eventually(t, "all connections are closed", func() bool { return s.open() == 0 })
}

func TestIdleConnectionsAreClosed(t *testing.T) {
	s := New(Config{Scripts: serveBody("count 1\n", "x.stp")})
	s.http.IdleTimeout = shortly
	conn := dial(t, serve(t, s))
	_, _ = io.WriteString(conn, "GET /x.stp HTTP/1.1\r\nHost: x\r\n\r\n")
	from := bufio.NewReader(conn)
	if got := receive(t, from, "GET"); got.code != 200 {
		t.Fatal(got.code)
	}
	if rest, err := io.ReadAll(from); err != nil || len(rest) > 0 {
		t.Errorf("then: %q, %v", rest, err)
	}
}

// narrowListener gives its connections a small send buffer, as a slow network
// does.
type narrowListener struct{ net.Listener }

func (l narrowListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		err = c.(*net.TCPConn).SetWriteBuffer(4 << 10)
	}
	return c, err
}

// Clients that do not read their reply, or read a few bytes at a time, are
// disconnected and delay no other.
func TestSlowReadersAreDisconnected(t *testing.T) {
	page := pageOf(lines(10000))
	scripts := &fakeScripts{answer: func(string, scrape.Query) scrape.Answer { return scrape.Answer{Page: page} }}
	s := New(Config{Scripts: scripts})
	s.http.WriteTimeout = shortly
	listeners, err := listen.Listen([]string{"127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	serveOn(t, s, narrowListener{listeners[0]})
	addr := listeners[0].Addr().String()
	narrow := net.Dialer{Control: func(_, _ string, c syscall.RawConn) error {
		var failed error
		err := c.Control(func(fd uintptr) {
			failed = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 1<<10)
		})
		return errors.Join(err, failed)
	}}
	var slow []net.Conn
	for i := range 20 {
		conn, err := narrow.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		slow = append(slow, conn)
		requests := 1 + i%2*50 // some pipeline many, and read no reply
		if _, err := io.WriteString(conn, strings.Repeat(simpleGet, requests)); err != nil {
			t.Fatal(err)
		}
	}
	for _, conn := range slow[:4] {
		go func() {
			for n := 1; n > 0; time.Sleep(shortly / 10) {
				n, _ = conn.Read(make([]byte, 10))
			}
		}()
	}
	if got := get(t, addr, "GET", "/x.stp"); got.body != string(page.Text()) {
		t.Errorf("beside them: %d, %d bytes", got.code, len(got.body))
	}
	eventually(t, "all of them are disconnected", func() bool { return s.open() == 0 })
}
