package webconfig

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"

	"github.com/prometheus/exporter-toolkit/web"
	"go.uber.org/zap"
)

// certificates is the TLS part of a web config. Certificate, key and client CA
// follow their files: each handshake checks whether one of them was replaced.
type certificates struct {
	from   *web.TLSConfig
	log    *zap.Logger
	server *tls.Config // for tls.Server: calls latest in each handshake

	mu      sync.Mutex
	current *tls.Config
	stamps  [3]stamp // of the files that were read last, valid or not
}

// A stamp changes when a file does.
type stamp struct {
	inode       uint64
	size        int64
	mtime       syscall.Timespec
	ctime       syscall.Timespec
	unreachable bool
}

// newCertificates reads the files. Its errors are exporter-toolkit's.
func newCertificates(from *web.TLSConfig, log *zap.Logger) (*certificates, error) {
	c := &certificates{from: from, log: log, stamps: stampsOf(from)}
	c.server = &tls.Config{
		// without effect: the minimum of what latest returns counts
		MinVersion:         tls.VersionTLS12,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return c.latest() },
	}
	var err error
	c.current, err = c.build()
	return c, err
}

func (c *certificates) build() (*tls.Config, error) {
	cfg, err := web.ConfigToTLSConfig(c.from)
	if err != nil {
		return nil, err
	}
	if cfg.ClientCAs != nil && cfg.ClientCAs.Equal(x509.NewCertPool()) {
		return nil, errors.New("client CA: no certificate in it")
	}
	if cfg.ClientAuth >= tls.VerifyClientCertIfGiven && cfg.ClientCAs == nil {
		return nil, fmt.Errorf("invalid ClientAuth: %s needs client_ca_file or client_ca", c.from.ClientAuth)
	}
	// exporter-toolkit reads and parses the files in each handshake.
	cert, err := cfg.GetCertificate(nil)
	if err != nil {
		return nil, err
	}
	cfg.Certificates, cfg.GetCertificate = []tls.Certificate{*cert}, nil
	cfg.NextProtos = []string{"http/1.1"}
	// A resumed session would keep the client CA and the allowed names that it
	// began with.
	cfg.SessionTicketsDisabled = cfg.ClientAuth != tls.NoClientCert
	if check := cfg.VerifyPeerCertificate; check != nil {
		cfg.VerifyPeerCertificate = func(raw [][]byte, chains [][]*x509.Certificate) error {
			if len(raw) == 0 { // check panics without a certificate
				return errNoClientCertificate
			}
			return check(raw, chains)
		}
	}
	return cfg, nil
}

// errNoClientCertificate rejects a client without a certificate. Where
// client_auth_type makes certificates optional, client_allowed_sans does not.
var errNoClientCertificate = errors.New("client sent no certificate, and client_allowed_sans requires one")

// errNoClientCA rejects all clients while the file of the client CA is gone.
var errNoClientCA = errors.New("the file of the client CA cannot be read")

// latest returns what the files hold now. While they are invalid it returns
// what they held before: a renewal writes certificate and key one after the
// other. Without the file of the client CA it returns an error, which rejects
// the handshake: its clients are no longer trusted.
func (c *certificates) latest() (*tls.Config, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	stamps := stampsOf(c.from)
	noCA := stamps[2].unreachable
	if noCA && !c.stamps[2].unreachable {
		c.log.Warn("cannot read the client CA, rejecting all TLS clients", zap.String("file", c.from.ClientCAs))
	}
	if noCA {
		c.stamps, c.current = stamps, nil // its clients are not trusted again by accident
		return nil, errNoClientCA
	}
	if stamps == c.stamps {
		return c.usable()
	}
	c.stamps = stamps
	next, err := c.build()
	if err != nil {
		c.log.Warn("cannot use new certificate files, keeping the old ones", zap.Error(err))
		return c.usable()
	}
	c.current = next
	c.log.Info("certificate files reloaded")
	return c.current, nil
}

// usable returns the certificates in force. There are none from when the client
// CA's file was gone until all files can be used again.
func (c *certificates) usable() (*tls.Config, error) {
	if c.current == nil {
		return nil, errNoClientCA
	}
	return c.current, nil
}

func stampsOf(from *web.TLSConfig) (stamps [3]stamp) {
	for i, path := range []string{from.TLSCertPath, from.TLSKeyPath, from.ClientCAs} {
		if path == "" {
			continue
		}
		info, err := os.Stat(path)
		if err != nil {
			stamps[i].unreachable = true
			continue
		}
		st := info.Sys().(*syscall.Stat_t) // the type that os.Stat uses on Linux
		stamps[i] = stamp{
			inode: st.Ino,
			size:  st.Size,
			mtime: st.Mtim,
			ctime: st.Ctim,
		}
	}
	return stamps
}
