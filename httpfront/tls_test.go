package httpfront

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"stap-exporter/internal/scrape"
)

// Exit codes of curl, see its manual.
const (
	curlOK         = 0
	curlHandshake  = 35 // SSL connect error
	curlRecv       = 56 // a refusal that TLS 1.3 sends after the handshake
	curlUntrusted  = 60 // the server's certificate
	serverTLS      = "tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n"
	clientsVerify  = serverTLS + "  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.crt\n"
	clientsAllowed = clientsVerify + "  client_allowed_sans: [client, other.example]\n"
)

// curl asks for /x.stp over TLS, with file names as of dir, and returns its
// exit code and what it got: status, HTTP version and body.
func curl(t *testing.T, dir, addr string, args ...string) (int, string) {
	t.Helper()
	args = append(
		[]string{
			"--silent",
			"--show-error",
			"--max-time",
			"20",
			"--noproxy",
			"*",
			"--write-out",
			"%{http_code} HTTP/%{http_version}\n",
		},
		args...)
	cmd := exec.Command("curl", append(args, "https://"+addr+"/x.stp")...)
	cmd.Dir = dir
	out, err := cmd.Output()
	if err != nil && cmd.ProcessState == nil {
		t.Fatalf("run curl: %v", err)
	}
	return cmd.ProcessState.ExitCode(), string(out)
}

// TestTLSMatrix has curl, which is OpenSSL, connect in all the ways that the
// file can allow or forbid.
func TestTLSMatrix(t *testing.T) {
	dir := t.TempDir()
	ca := newAuthority(t, dir, "ca")
	ca.issue("server")
	ca.issue("client")
	ca.issue("second")
	newAuthority(t, dir, "foreign").issue("stranger")
	trust := "--cacert ca.crt "
	as := func(name string) string { return trust + "--cert " + name + ".crt --key " + name + ".key " }
	const aes128, aes256 = "ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384"

	for _, c := range []struct {
		name, config, args string
		codes              []int
	}{
		{"plain", serverTLS, trust, []int{curlOK}},
		{"client asks for HTTP/2", serverTLS, trust + "--http2", []int{curlOK}},
		{"foreign CA", serverTLS, "--cacert foreign.crt", []int{curlUntrusted}},
		{"TLS 1.1", serverTLS, trust + "--tls-max 1.1 --ciphers DEFAULT@SECLEVEL=0 --tlsv1.0", []int{curlHandshake}},
		{"TLS 1.1 allowed", serverTLS + "  min_version: TLS10\n", trust + "--tls-max 1.1 --ciphers DEFAULT@SECLEVEL=0 --tlsv1.0", []int{curlOK}},
		{"TLS 1.2", serverTLS, trust + "--tls-max 1.2", []int{curlOK}},
		{"TLS 1.3", serverTLS, trust + "--tlsv1.3", []int{curlOK}},
		{"at least 1.3", serverTLS + "  min_version: TLS13\n", trust + "--tls-max 1.2", []int{curlHandshake}},
		{"at most 1.2", serverTLS + "  max_version: TLS12\n", trust + "--tlsv1.3", []int{curlHandshake}},
		{"cipher", serverTLS + "  cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384]\n", trust + "--tls-max 1.2 --ciphers " + aes256, []int{curlOK}},
		{"other cipher", serverTLS + "  cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384]\n", trust + "--tls-max 1.2 --ciphers " + aes128, []int{curlHandshake}},
		{"curve", serverTLS + "  curve_preferences: [CurveP384]\n", trust + "--curves P-384", []int{curlOK}},
		{"other curve", serverTLS + "  curve_preferences: [CurveP384]\n", trust + "--curves P-256", []int{curlHandshake}},
		{"client certificate", clientsVerify, as("client"), []int{curlOK}},
		{"client certificate, TLS 1.2", clientsVerify, as("client") + "--tls-max 1.2", []int{curlOK}},
		{"no client certificate", clientsVerify, trust, []int{curlRecv}},
		{"no client certificate, TLS 1.2", clientsVerify, trust + "--tls-max 1.2", []int{curlHandshake, curlRecv}},
		{"foreign client certificate", clientsVerify, as("stranger"), []int{curlRecv}},
		{"allowed name", clientsAllowed, as("client"), []int{curlOK}},
		{"other name", clientsAllowed, as("second"), []int{curlRecv}},
		{"any client certificate", serverTLS + "  client_auth_type: RequireAnyClientCert\n", as("stranger"), []int{curlOK}},
		{"given or not: none", strings.Replace(clientsVerify, "RequireAndVerifyClientCert", "VerifyClientCertIfGiven", 1), trust, []int{curlOK}},
		{"given or not: none, names", strings.Replace(clientsAllowed, "RequireAndVerifyClientCert", "VerifyClientCertIfGiven", 1), trust, []int{curlRecv}},
		{"given or not: allowed name", strings.Replace(clientsAllowed, "RequireAndVerifyClientCert", "VerifyClientCertIfGiven", 1), as("client"), []int{curlOK}},
		{"given or not: other name", strings.Replace(clientsAllowed, "RequireAndVerifyClientCert", "VerifyClientCertIfGiven", 1), as("second"), []int{curlRecv}},
		{"given or not: foreign", strings.Replace(clientsVerify, "RequireAndVerifyClientCert", "VerifyClientCertIfGiven", 1), as("stranger"), []int{curlRecv}},
	} {
		t.Run(c.name, func(t *testing.T) {
			scripts := serveBody("count 1\n", "x.stp")
			_, addr := startWith(t, scripts, dir, c.config, nil)
			code, out := curl(t, dir, addr, strings.Fields(c.args)...)
			wanted := false
			for _, want := range c.codes {
				wanted = wanted || code == want
			}
			if !wanted {
				t.Errorf("curl ended with %d, want %v; output %q", code, c.codes, out)
			}
			if got, ok := out == "count 1\n200 HTTP/1.1\n", code == curlOK; got != ok {
				t.Errorf("output %q", out)
			}
			if code != curlOK && len(scripts.asked()) > 0 {
				t.Error("a refused client reached a script")
			}
		})
	}
}

// serialNumber returns the serial number of the certificate that openssl
// s_client is shown, and what else it says.
func serialNumber(t *testing.T, dir, addr string) (int64, string) {
	t.Helper()
	cmd := exec.Command("openssl", "s_client", "-connect", addr, "-CAfile", "ca.crt", "-verify_return_error")
	cmd.Dir, cmd.Stdin = dir, strings.NewReader("")
	shown, err := cmd.Output()
	if err != nil {
		t.Fatalf("openssl s_client: %v\n%s", err, shown)
	}
	parse := exec.Command("openssl", "x509", "-noout", "-serial")
	parse.Stdin = strings.NewReader(string(shown))
	out, err := parse.Output()
	if err != nil {
		t.Fatalf("openssl x509: %v", err)
	}
	n, err := strconv.ParseInt(strings.TrimSpace(strings.TrimPrefix(string(out), "serial=")), 16, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n, string(shown)
}

// A renewed certificate is shown to the next client, without a reload; one that
// does not fit its key is not used. Open connections go on.
func TestRenewedCertificate(t *testing.T) {
	dir := t.TempDir()
	ca := newAuthority(t, dir, "ca")
	first := ca.issue("server")
	core, logs := observer.New(zap.InfoLevel)
	s, addr := startWith(t, serveBody("count 1\n", "x.stp"), dir, serverTLS, zap.New(core))
	got, shown := serialNumber(t, dir, addr)
	if got != first || !strings.Contains(shown, "TLSv1.3") ||
		!regexp.MustCompile(`Verify return code: 0`).MatchString(shown) {
		t.Errorf("serial number %d, want %d\n%s", got, first, shown)
	}

	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	defer client.CloseIdleConnections()
	var opened atomic.Int64
	client.Transport.(*http.Transport).Dial = func(network, addr string) (net.Conn, error) { //nolint:staticcheck // DialContext would do no more here
		opened.Add(1)
		return net.Dial(network, addr)
	}
	ask := func() {
		t.Helper()
		resp, err := client.Get("https://" + addr + "/x.stp")
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode != 200 || opened.Load() != 1 {
			t.Errorf("%d on connection %d", resp.StatusCode, opened.Load())
		}
	}
	ask()

	second := ca.issue("server")
	if got, _ := serialNumber(t, dir, addr); got != second {
		t.Errorf("after the renewal: serial number %d, want %d", got, second)
	}
	ask()

	ca.issue("other")
	writeFile(t, filepath.Join(dir, "server.key"), "no key\n")
	for range 3 {
		if got, _ := serialNumber(t, dir, addr); got != second {
			t.Errorf("with a wrong key: serial number %d, want %d", got, second)
		}
	}
	if n := logs.FilterMessage("new certificate files not used, going on with the old ones").Len(); n != 1 {
		t.Errorf("the wrong key was logged %d times", n)
	}
	if err := s.ReloadWebConfig(); err == nil || !strings.Contains(err.Error(), "the old one stays") ||
		!strings.Contains(err.Error(), "web.yml:2: ") {
		t.Errorf("reload with a wrong key: %v", err)
	}
	if got, _ := serialNumber(t, dir, addr); got != second {
		t.Errorf("after a wrong reload: serial number %d, want %d", got, second)
	}
	third := ca.issue("server")
	if err := s.ReloadWebConfig(); err != nil {
		t.Error(err)
	}
	if got, _ := serialNumber(t, dir, addr); got != third {
		t.Errorf("after the reload: serial number %d, want %d", got, third)
	}
	ask()
}

// Who has a client certificate of a CA that is no longer trusted is out at the
// next connection, and resumes no session.
func TestClientCAReplaced(t *testing.T) {
	dir := t.TempDir()
	ca := newAuthority(t, dir, "ca")
	ca.issue("server")
	ca.issue("client")
	newAuthority(t, dir, "next").issue("successor")
	writeFile(t, filepath.Join(dir, "clients.crt"), readFile(t, filepath.Join(dir, "ca.crt")))
	_, addr := startWith(
		t,
		serveBody("count 1\n", "x.stp"),
		dir,
		strings.Replace(clientsVerify, "client_ca_file: ca.crt", "client_ca_file: clients.crt", 1),
		nil,
	)

	cert, err := tls.LoadX509KeyPair(filepath.Join(dir, "client.crt"), filepath.Join(dir, "client.key"))
	if err != nil {
		t.Fatal(err)
	}
	cfg := &tls.Config{
		InsecureSkipVerify: true,
		Certificates:       []tls.Certificate{cert},
		ClientSessionCache: tls.NewLRUClientSessionCache(1),
	}
	ask := func() error {
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: cfg, DisableKeepAlives: true}}
		resp, err := client.Get("https://" + addr + "/x.stp")
		if err != nil {
			return err
		}
		_ = resp.Body.Close()
		if resp.StatusCode != 200 || resp.TLS.DidResume {
			return fmt.Errorf("status %d, resumed %v", resp.StatusCode, resp.TLS.DidResume)
		}
		return nil
	}
	for range 2 {
		if err := ask(); err != nil {
			t.Error(err)
		}
	}
	writeFile(t, filepath.Join(dir, "clients.crt"), readFile(t, filepath.Join(dir, "next.crt")))
	if err := ask(); err == nil {
		t.Error("let in with a certificate of the old CA")
	}
	if code, out := curl(
		t,
		dir,
		addr,
		"--cacert",
		"ca.crt",
		"--cert",
		"successor.crt",
		"--key",
		"successor.key",
	); code != curlOK {
		t.Errorf("curl with a certificate of the new CA: %d %q", code, out)
	}
}

// With client_allowed_sans a client that gives no certificate where it need not
// is refused, and the server goes on.
func TestNoClientCertificate(t *testing.T) {
	dir := t.TempDir()
	ca := newAuthority(t, dir, "ca")
	ca.issue("server")
	ca.issue("client")
	cert, err := tls.LoadX509KeyPair(filepath.Join(dir, "client.crt"), filepath.Join(dir, "client.key"))
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{"VerifyClientCertIfGiven", "RequestClientCert"} {
		for _, names := range []string{"[client]", "[]"} {
			for version, name := range map[uint16]string{tls.VersionTLS12: "TLS 1.2", tls.VersionTLS13: "TLS 1.3"} {
				t.Run(kind+" "+names+" "+name, func(t *testing.T) {
					core, logs := observer.New(zap.DebugLevel)
					scripts := serveBody("count 1\n", "x.stp")
					text := serverTLS + "  client_auth_type: " + kind + "\n  client_ca_file: ca.crt\n  client_allowed_sans: " + names + "\n"
					_, addr := startWith(t, scripts, dir, text, zap.New(core))
					ask := func(certs ...tls.Certificate) (int, error) {
						client := &http.Client{
							Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{
								InsecureSkipVerify: true,
								MinVersion:         version,
								MaxVersion:         version,
								Certificates:       certs,
							}},
						}
						resp, err := client.Get("https://" + addr + "/x.stp")
						if err != nil {
							return 0, err
						}
						_ = resp.Body.Close()
						return resp.StatusCode, nil
					}
					if code, err := ask(); err == nil || !strings.Contains(err.Error(), "bad certificate") {
						t.Errorf("without a certificate: %d, %v", code, err)
					}
					if len(scripts.asked()) > 0 {
						t.Error("a refused client reached a script")
					}
					code, err := ask(cert)
					if let := names != "[]"; (code == 200) != let {
						t.Errorf("with a certificate: %d, %v", code, err)
					}
					if logs.FilterLevelExact(zap.ErrorLevel).Len() > 0 {
						t.Errorf("logged %v", logs.All())
					}
					eventually(t, "the log says why", func() bool {
						return strings.Contains(fmt.Sprint(logs.All()), errNoClientCertificate.Error())
					})
				})
			}
		}
	}
}

// A panic in a callback refuses its handshake, and is logged with its stack.
func TestPanicInHandshake(t *testing.T) {
	dir := t.TempDir()
	newAuthority(t, dir, "ca").issue("server")
	cert, err := tls.LoadX509KeyPair(filepath.Join(dir, "server.crt"), filepath.Join(dir, "server.key"))
	if err != nil {
		t.Fatal(err)
	}
	for name, cfg := range map[string]*tls.Config{
		"GetConfigForClient": {GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { panic("no luck") }},
		"GetCertificate":     {GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { panic("no luck") }},
		"VerifyPeerCertificate": {
			Certificates: []tls.Certificate{cert}, ClientAuth: tls.RequestClientCert,
			VerifyPeerCertificate: func([][]byte, [][]*x509.Certificate) error { panic("no luck") },
		},
		"VerifyConnection": {Certificates: []tls.Certificate{cert}, VerifyConnection: func(tls.ConnectionState) error { panic("no luck") }},
	} {
		t.Run(name, func(t *testing.T) {
			core, logs := observer.New(zap.DebugLevel)
			(&certificates{log: zap.New(core)}).guard(cfg)
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer ln.Close()
			client := tls.Client(dial(t, ln.Addr().String()), &tls.Config{InsecureSkipVerify: true})
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				_ = client.Handshake() // what the server says of it counts
			}()
			defer func() { <-ended }()
			server, err := ln.Accept()
			if err != nil {
				t.Fatal(err)
			}
			defer server.Close()
			if err := tls.Server(server, cfg).
				Handshake(); err == nil ||
				!strings.Contains(err.Error(), "panic in a TLS handshake: no luck") {
				t.Errorf("got %v", err)
			}
			if n := logs.FilterLevelExact(zap.ErrorLevel).FilterField(zap.Any("panic", "no luck")).Len(); n != 1 {
				t.Errorf("logged %d times: %v", n, logs.All())
			}
		})
	}
}

// Plain HTTP to a port of TLS is told so, and a reload turns TLS on and off for
// new connections.
func TestPlainAndTLS(t *testing.T) {
	dir := t.TempDir()
	newAuthority(t, dir, "ca").issue("server")
	s, addr := startWith(t, serveBody("count 1\n", "x.stp"), dir, serverTLS, nil)
	if got := get(t, addr, "GET", "/x.stp"); got.code != 400 || !strings.Contains(got.body, "https://") {
		t.Errorf("plain HTTP: %d %q", got.code, got.body)
	}
	if !s.TLS() {
		t.Error("TLS is not told")
	}
	writeFile(t, filepath.Join(dir, "web.yml"), "{}\n")
	if err := s.ReloadWebConfig(); err != nil {
		t.Fatal(err)
	}
	if got := get(t, addr, "GET", "/x.stp"); got.code != 200 || s.TLS() {
		t.Errorf("without TLS: %d", got.code)
	}
	writeFile(t, filepath.Join(dir, "web.yml"), serverTLS)
	if err := s.ReloadWebConfig(); err != nil {
		t.Fatal(err)
	}
	if code, out := curl(t, dir, addr, "--cacert", "ca.crt"); code != curlOK {
		t.Errorf("with TLS again: curl ended with %d %q", code, out)
	}
}

// A client that stops in the middle of its handshake holds up neither the
// others nor a shutdown (which the test's end does).
func TestSilentHandshake(t *testing.T) {
	dir := t.TempDir()
	newAuthority(t, dir, "ca").issue("server")
	_, addr := startWith(
		t,
		&fakeScripts{
			answer: func(string, scrape.Query) scrape.Answer { return scrape.Answer{Page: pageOf("count 1\n")} },
		},
		dir,
		serverTLS,
		nil,
	)
	_ = dial(t, addr)
	half := dial(t, addr)
	if _, err := half.Write([]byte{0x16, 0x03, 0x01, 0x02}); err != nil {
		t.Fatal(err)
	}
	if code, out := curl(t, dir, addr, "--cacert", "ca.crt"); code != curlOK {
		t.Errorf("curl ended with %d %q", code, out)
	}
}
