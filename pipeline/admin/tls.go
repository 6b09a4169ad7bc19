package admin

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/leatdev/leat/config"
)

// certificates are the listener's, read again when the files change. Where the new ones cannot be read, the old ones
// stay and the log says so.
type certificates struct {
	files config.TLS
	log   *slog.Logger

	mu      sync.Mutex
	looked  time.Time
	stamp   [3]time.Time
	current *tls.Config
}

// lookEvery is how often the files are looked at, at most.
const lookEvery = time.Second

func newCertificates(files config.TLS, log *slog.Logger) (*certificates, error) {
	c := &certificates{files: files, log: log}
	c.stamp = c.stamps()
	var err error
	c.current, err = c.read()
	return c, err
}

func (c *certificates) config() *tls.Config {
	return &tls.Config{
		MinVersion:         tls.VersionTLS12,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return c.fresh(time.Now()), nil },
	}
}

func (c *certificates) fresh(now time.Time) *tls.Config {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now.Sub(c.looked) < lookEvery {
		return c.current
	}
	c.looked = now
	stamp := c.stamps()
	if stamp == c.stamp {
		return c.current
	}
	next, err := c.read()
	if err != nil {
		c.log.Warn("the new certificate cannot be used, the old one stays", "error", err)
		return c.current // and looked at again: a certificate and its key are not written at once
	}
	c.stamp, c.current = stamp, next
	c.log.Info("the certificate was read anew", "file", c.files.Cert)
	return next
}

func (c *certificates) stamps() (out [3]time.Time) {
	for i, name := range [...]string{c.files.Cert, c.files.Key, c.files.ClientCA} {
		if info, err := os.Stat(name); name != "" && err == nil {
			out[i] = info.ModTime()
		}
	}
	return out
}

func (c *certificates) read() (*tls.Config, error) {
	cert, err := tls.LoadX509KeyPair(c.files.Cert, c.files.Key)
	if err != nil {
		return nil, fmt.Errorf("admin: tls: %w", err)
	}
	out := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{cert}, NextProtos: []string{"h2", "http/1.1"}}
	if c.files.ClientCA == "" {
		return out, nil
	}
	pem, err := os.ReadFile(c.files.ClientCA)
	if err != nil {
		return nil, fmt.Errorf("admin: tls: client_ca: %w", err)
	}
	out.ClientCAs = x509.NewCertPool()
	if !out.ClientCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("admin: tls: client_ca: %w", errors.New("there is no certificate in "+c.files.ClientCA))
	}
	// Given, not wanted: probes have none, and others may have keys.
	out.ClientAuth = tls.VerifyClientCertIfGiven
	return out, nil
}
