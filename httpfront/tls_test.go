package httpfront

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"stap-exporter/httpfront/internal/testpki"
)

// Exit codes of curl, see its manual.
const (
	curlOK         = 0
	curlHandshake  = 35 // SSL connect error
	curlRecv       = 56 // an alert that TLS 1.3 sends after the handshake
	curlUntrusted  = 60 // the server's certificate is not trusted
	serverTLS      = "tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n"
	clientsVerify  = serverTLS + "  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.crt\n"
	clientsAllowed = clientsVerify + "  client_allowed_sans: [client, other.example]\n"
)

// curl gets /x.stp over TLS with dir as its working directory. It returns the
// exit code and the output: body, status and HTTP version.
func curl(t *testing.T, dir, addr string, args ...string) (int, string) {
	t.Helper()
	skipIfShort(t, "needs curl")
	args = append(args, "--silent", "--show-error", "--max-time", "20", "--noproxy", "*")
	args = append(args, "--write-out", "%{http_code} HTTP/%{http_version}\n", "https://"+addr+"/x.stp")
	cmd := exec.Command("curl", args...)
	cmd.Dir = dir
	out, err := cmd.Output()
	if err != nil && cmd.ProcessState == nil {
		t.Fatalf("run curl: %v", err)
	}
	return cmd.ProcessState.ExitCode(), string(out)
}

// curl, which uses OpenSSL, connects in all the ways that the file can allow or
// forbid.
func TestTLSMatrix(t *testing.T) {
	dir := t.TempDir()
	ca := testpki.New(t, dir, "ca")
	ca.Issue("server")
	ca.Issue("client")
	ca.Issue("second")
	testpki.New(t, dir, "foreign").Issue("stranger")
	const (
		trust  = "--cacert ca.crt "
		tls11  = trust + "--tls-max 1.1 --ciphers DEFAULT@SECLEVEL=0 --tlsv1.0"
		aes128 = trust + "--tls-max 1.2 --ciphers ECDHE-ECDSA-AES128-GCM-SHA256"
		aes256 = trust + "--tls-max 1.2 --ciphers ECDHE-ECDSA-AES256-GCM-SHA384"

		onlyAES256 = serverTLS + "  cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384]\n"
		onlyP384   = serverTLS + "  curve_preferences: [CurveP384]\n"
		anyClient  = serverTLS + "  client_auth_type: RequireAnyClientCert\n"
	)
	as := func(name string) string { return trust + "--cert " + name + ".crt --key " + name + ".key " }
	ifGiven := strings.Replace(clientsVerify, "RequireAndVerifyClientCert", "VerifyClientCertIfGiven", 1)
	ifGivenAllowed := strings.Replace(clientsAllowed, "RequireAndVerifyClientCert", "VerifyClientCertIfGiven", 1)

	for _, c := range []struct {
		name, config, args string
		codes              []int
	}{
		{"plain", serverTLS, trust, []int{curlOK}},
		{"client offers HTTP/2", serverTLS, trust + "--http2", []int{curlOK}},
		{"foreign CA", serverTLS, "--cacert foreign.crt", []int{curlUntrusted}},
		{"TLS 1.1", serverTLS, tls11, []int{curlHandshake}},
		{"TLS 1.1 allowed", serverTLS + "  min_version: TLS10\n", tls11, []int{curlOK}},
		{"TLS 1.2", serverTLS, trust + "--tls-max 1.2", []int{curlOK}},
		{"TLS 1.3", serverTLS, trust + "--tlsv1.3", []int{curlOK}},
		{"at least 1.3", serverTLS + "  min_version: TLS13\n", trust + "--tls-max 1.2", []int{curlHandshake}},
		{"at most 1.2", serverTLS + "  max_version: TLS12\n", trust + "--tlsv1.3", []int{curlHandshake}},
		{"cipher", onlyAES256, aes256, []int{curlOK}},
		{"other cipher", onlyAES256, aes128, []int{curlHandshake}},
		{"curve", onlyP384, trust + "--curves P-384", []int{curlOK}},
		{"other curve", onlyP384, trust + "--curves P-256", []int{curlHandshake}},
		{"client certificate", clientsVerify, as("client"), []int{curlOK}},
		{"client certificate, TLS 1.2", clientsVerify, as("client") + "--tls-max 1.2", []int{curlOK}},
		{"no client certificate", clientsVerify, trust, []int{curlRecv}},
		{"no client certificate, TLS 1.2", clientsVerify, trust + "--tls-max 1.2", []int{curlHandshake, curlRecv}},
		{"foreign client certificate", clientsVerify, as("stranger"), []int{curlRecv}},
		{"allowed name", clientsAllowed, as("client"), []int{curlOK}},
		{"other name", clientsAllowed, as("second"), []int{curlRecv}},
		{"any client certificate", anyClient, as("stranger"), []int{curlOK}},
		{"if given: none", ifGiven, trust, []int{curlOK}},
		{"if given: none, names", ifGivenAllowed, trust, []int{curlRecv}},
		{"if given: allowed name", ifGivenAllowed, as("client"), []int{curlOK}},
		{"if given: other name", ifGivenAllowed, as("second"), []int{curlRecv}},
		{"if given: foreign", ifGiven, as("stranger"), []int{curlRecv}},
	} {
		t.Run(c.name, func(t *testing.T) {
			scripts := serveBody("count 1\n", "x.stp")
			_, addr := startWith(t, scripts, dir, c.config, nil)
			code, out := curl(t, dir, addr, strings.Fields(c.args)...)
			if !slices.Contains(c.codes, code) {
				t.Errorf("curl ended with %d, want %v; output %q", code, c.codes, out)
			}
			if got, ok := out == "count 1\n200 HTTP/1.1\n", code == curlOK; got != ok {
				t.Errorf("output %q", out)
			}
			if code != curlOK && len(scripts.requested()) > 0 {
				t.Error("a rejected client reached a script")
			}
		})
	}
}

// serialNumber returns the serial number of the certificate that the server
// sends to openssl s_client, and the output of s_client.
func serialNumber(t *testing.T, dir, addr string) (int64, string) {
	t.Helper()
	skipIfShort(t, "needs openssl")
	cmd := exec.Command("openssl", "s_client", "-connect", addr, "-CAfile", "ca.crt", "-verify_return_error")
	cmd.Dir, cmd.Stdin = dir, strings.NewReader("")
	output, err := cmd.Output()
	if err != nil {
		t.Fatalf("openssl s_client: %v\n%s", err, output)
	}
	parse := exec.Command("openssl", "x509", "-noout", "-serial")
	parse.Stdin = bytes.NewReader(output)
	out, err := parse.Output()
	if err != nil {
		t.Fatalf("openssl x509: %v", err)
	}
	n, err := strconv.ParseInt(strings.TrimSpace(strings.TrimPrefix(string(out), "serial=")), 16, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n, string(output)
}

// The next client gets a renewed certificate without a reload. One that does
// not fit its key is not used. Open connections go on.
func TestRenewedCertificate(t *testing.T) {
	dir := t.TempDir()
	ca := testpki.New(t, dir, "ca")
	first := ca.Issue("server")
	core, logs := observer.New(zap.InfoLevel)
	s, addr := startWith(t, serveBody("count 1\n", "x.stp"), dir, serverTLS, zap.New(core))
	got, output := serialNumber(t, dir, addr)
	if got != first || !strings.Contains(output, "TLSv1.3") || !strings.Contains(output, "Verify return code: 0") {
		t.Errorf("serial number %d, want %d\n%s", got, first, output)
	}

	var opened atomic.Int64
	client := &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			opened.Add(1)
			return new(net.Dialer).DialContext(ctx, network, addr)
		},
	}}
	defer client.CloseIdleConnections()
	scrapeOnce := func() {
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
	scrapeOnce()

	second := ca.Issue("server")
	if got, _ := serialNumber(t, dir, addr); got != second {
		t.Errorf("after the renewal: serial number %d, want %d", got, second)
	}
	scrapeOnce()

	ca.Issue("other")
	testpki.WriteFile(t, filepath.Join(dir, "server.key"), "no key\n")
	for range 3 {
		if got, _ := serialNumber(t, dir, addr); got != second {
			t.Errorf("with an invalid key: serial number %d, want %d", got, second)
		}
	}
	if n := logs.FilterMessage("cannot use new certificate files, keeping the old ones").Len(); n != 1 {
		t.Errorf("the invalid key was logged %d times", n)
	}
	if err := s.ReloadWebConfig(); err == nil || !strings.Contains(err.Error(), "keeping the old one") ||
		!strings.Contains(err.Error(), "web.yml:2: ") {
		t.Errorf("reload with an invalid key: %v", err)
	}
	if got, _ := serialNumber(t, dir, addr); got != second {
		t.Errorf("after a failed reload: serial number %d, want %d", got, second)
	}
	third := ca.Issue("server")
	if err := s.ReloadWebConfig(); err != nil {
		t.Error(err)
	}
	if got, _ := serialNumber(t, dir, addr); got != third {
		t.Errorf("after the reload: serial number %d, want %d", got, third)
	}
	scrapeOnce()
}

// A client certificate of a CA that is no longer trusted is rejected from the
// next connection on, and no session is resumed. The same while the file of the
// CA is gone.
func TestClientCAReplaced(t *testing.T) {
	dir := t.TempDir()
	ca := testpki.New(t, dir, "ca")
	ca.Issue("server")
	ca.Issue("client")
	testpki.New(t, dir, "next").Issue("successor")
	read := func(name string) string {
		t.Helper()
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	testpki.WriteFile(t, filepath.Join(dir, "clients.crt"), read("ca.crt"))
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
	scrapeOnce := func() error {
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
		if err := scrapeOnce(); err != nil {
			t.Error(err)
		}
	}
	if err := os.Remove(filepath.Join(dir, "clients.crt")); err != nil {
		t.Fatal(err)
	}
	for _, when := range []string{"without the file of the CA", "while that file is invalid"} {
		for range 2 {
			if err := scrapeOnce(); err == nil {
				t.Errorf("accepted %s", when)
			}
		}
		testpki.WriteFile(t, filepath.Join(dir, "clients.crt"), "nothing\n")
	}
	testpki.WriteFile(t, filepath.Join(dir, "clients.crt"), read("ca.crt"))
	if err := scrapeOnce(); err != nil {
		t.Errorf("the file of the CA is back: %v", err)
	}
	testpki.WriteFile(t, filepath.Join(dir, "clients.crt"), read("next.crt"))
	if err := scrapeOnce(); err == nil {
		t.Error("accepted with a certificate of the old CA")
	}
	args := strings.Fields("--cacert ca.crt --cert successor.crt --key successor.key")
	if code, out := curl(t, dir, addr, args...); code != curlOK {
		t.Errorf("curl with a certificate of the new CA: %d %q", code, out)
	}
}

// With client_allowed_sans a client without a certificate is rejected, even
// where client_auth_type makes certificates optional. The server goes on.
func TestNoClientCertificate(t *testing.T) {
	dir := t.TempDir()
	ca := testpki.New(t, dir, "ca")
	ca.Issue("server")
	ca.Issue("client")
	cert, err := tls.LoadX509KeyPair(filepath.Join(dir, "client.crt"), filepath.Join(dir, "client.key"))
	if err != nil {
		t.Fatal(err)
	}
	for _, auth := range []string{"VerifyClientCertIfGiven", "RequestClientCert"} {
		for _, names := range []string{"[client]", "[]"} {
			text := serverTLS + "  client_auth_type: " + auth + "\n  client_ca_file: ca.crt\n" +
				"  client_allowed_sans: " + names + "\n"
			for version, name := range map[uint16]string{tls.VersionTLS12: "TLS 1.2", tls.VersionTLS13: "TLS 1.3"} {
				t.Run(auth+" "+names+" "+name, func(t *testing.T) {
					core, logs := observer.New(zap.DebugLevel)
					scripts := serveBody("count 1\n", "x.stp")
					_, addr := startWith(t, scripts, dir, text, zap.New(core))
					code, err := statusOverTLS(addr, version)
					if err == nil || !strings.Contains(err.Error(), "bad certificate") {
						t.Errorf("without a certificate: %d, %v", code, err)
					}
					if len(scripts.requested()) > 0 {
						t.Error("a rejected client reached a script")
					}
					code, err = statusOverTLS(addr, version, cert)
					if allowed := names != "[]"; (code == 200) != allowed {
						t.Errorf("with a certificate: %d, %v", code, err)
					}
					if logs.FilterLevelExact(zap.ErrorLevel).Len() > 0 {
						t.Errorf("logged %v", logs.All())
					}
					eventually(t, "the reason is logged", func() bool {
						return strings.Contains(fmt.Sprint(logs.All()), "client sent no certificate")
					})
				})
			}
		}
	}
}

// statusOverTLS gets /x.stp with the given TLS version and client certificates.
func statusOverTLS(addr string, version uint16, certs ...tls.Certificate) (int, error) {
	client := &http.Client{
		Transport: &http.Transport{
			DisableKeepAlives: true,
			TLSClientConfig: &tls.Config{
				InsecureSkipVerify: true,
				MinVersion:         version,
				MaxVersion:         version,
				Certificates:       certs,
			},
		},
	}
	resp, err := client.Get("https://" + addr + "/x.stp")
	if err != nil {
		return 0, err
	}
	_ = resp.Body.Close()
	return resp.StatusCode, nil
}

// Plain HTTP to a TLS port gets a reply that explains it. A reload turns TLS on
// and off for new connections.
func TestPlainAndTLS(t *testing.T) {
	dir := t.TempDir()
	testpki.New(t, dir, "ca").Issue("server")
	s, addr := startWith(t, serveBody("count 1\n", "x.stp"), dir, serverTLS, nil)
	if got := get(t, addr, "GET", "/x.stp"); got.code != 400 || !strings.Contains(got.body, "https://") {
		t.Errorf("plain HTTP: %d %q", got.code, got.body)
	}
	if !s.TLS() {
		t.Error("TLS() is false")
	}
	testpki.WriteFile(t, filepath.Join(dir, "web.yml"), "{}\n")
	if err := s.ReloadWebConfig(); err != nil {
		t.Fatal(err)
	}
	if got := get(t, addr, "GET", "/x.stp"); got.code != 200 || s.TLS() {
		t.Errorf("without TLS: %d", got.code)
	}
	testpki.WriteFile(t, filepath.Join(dir, "web.yml"), serverTLS)
	if err := s.ReloadWebConfig(); err != nil {
		t.Fatal(err)
	}
	if code, out := curl(t, dir, addr, "--cacert", "ca.crt"); code != curlOK {
		t.Errorf("with TLS again: curl ended with %d %q", code, out)
	}
}

// A client that stops within its handshake delays neither others nor the
// shutdown at the test's end.
func TestSilentHandshake(t *testing.T) {
	dir := t.TempDir()
	testpki.New(t, dir, "ca").Issue("server")
	_, addr := startWith(t, serveBody("count 1\n", "x.stp"), dir, serverTLS, nil)
	_ = dial(t, addr)
	half := dial(t, addr)
	if _, err := half.Write([]byte{0x16, 0x03, 0x01, 0x02}); err != nil {
		t.Fatal(err)
	}
	if code, out := curl(t, dir, addr, "--cacert", "ca.crt"); code != curlOK {
		t.Errorf("curl ended with %d %q", code, out)
	}
}
