package webconfig

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"stap-exporter/httpfront/internal/testpki"
)

// A panic in a callback rejects its handshake and is logged.
func TestPanicInHandshake(t *testing.T) {
	dir := t.TempDir()
	testpki.New(t, dir, "ca").Issue("server")
	cert, err := tls.LoadX509KeyPair(filepath.Join(dir, "server.crt"), filepath.Join(dir, "server.key"))
	if err != nil {
		t.Fatal(err)
	}
	for name, cfg := range map[string]*tls.Config{
		"GetConfigForClient": {
			GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { panic("boom") },
		},
		"GetCertificate": {
			GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { panic("boom") },
		},
		"VerifyPeerCertificate": {
			Certificates:          []tls.Certificate{cert},
			ClientAuth:            tls.RequestClientCert,
			VerifyPeerCertificate: func([][]byte, [][]*x509.Certificate) error { panic("boom") },
		},
		"VerifyConnection": {
			Certificates:     []tls.Certificate{cert},
			VerifyConnection: func(tls.ConnectionState) error { panic("boom") },
		},
	} {
		t.Run(name, func(t *testing.T) {
			core, logs := observer.New(zap.DebugLevel)
			(&certificates{log: zap.New(core)}).guard(cfg)
			err := handshake(t, cfg)
			if err == nil || !strings.Contains(err.Error(), "panic in a TLS handshake: boom") {
				t.Errorf("got %v", err)
			}
			if n := logs.FilterLevelExact(zap.ErrorLevel).FilterField(zap.Any("panic", "boom")).Len(); n != 1 {
				t.Errorf("logged %d times: %v", n, logs.All())
			}
		})
	}
}

// handshake returns the server's result of a handshake with cfg.
func handshake(t *testing.T, cfg *tls.Config) error {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	conn, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		// the server's result counts
		_ = tls.Client(conn, &tls.Config{InsecureSkipVerify: true}).Handshake()
	}()
	defer func() {
		<-ended
		_ = conn.Close()
	}()
	server, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = server.Close() }()
	return tls.Server(server, cfg).Handshake()
}
