package admin_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/pipeline/admin"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/eventstore/client"
	"github.com/leatdev/leat/pipeline/eventstore/memory"
	"github.com/leatdev/leat/pipeline/telemetry"
)

const (
	readKey  = "read-0123456789abcdef"
	writeKey = "write-0123456789abcdef"
	adminKey = "admin-0123456789abcdef"
	fewKey   = "few-0123456789abcdef"
)

func guarded(t *testing.T, change func(*config.Server)) *admin.Server {
	t.Helper()
	sum := sha256.Sum256([]byte(adminKey))
	cfg := config.Server{Metrics: "read", MaxBody: 4 << 10, Auth: config.Auth{Keys: []config.Key{
		{Name: "reader", Key: config.NewSecret(readKey)},
		{Name: "writer", Key: config.NewSecret(writeKey), Scope: "write", MaxBody: 1 << 10},
		{Name: "ops", Hash: "sha256:" + hex.EncodeToString(sum[:]), Scope: "admin"},
		{Name: "few", Key: config.NewSecret(fewKey), Rate: &config.Rate{Requests: 0.01, Burst: 2}},
	}}}
	if change != nil {
		change(&cfg)
	}
	s := admin.New(admin.Options{Config: cfg, Metrics: telemetry.NewMetrics("test").Handler(), Version: "test"})
	store := memory.Open(memory.Options{})
	t.Cleanup(func() { _ = store.Close() })
	s.Attach(&admin.Daemon{
		Status: func() any { return "ok" },
		Store:  func(name string) (eventstore.Store, bool) { return store, name == "main" },
	})
	return s
}

func TestScopes(t *testing.T) {
	s := guarded(t, nil)
	for pattern, h := range map[string]http.Handler{"POST /hook": plain{}, "POST /own": keeper{}} {
		if _, err := s.Mount(pattern, h); err != nil {
			t.Fatal(err)
		}
	}
	srv := httptest.NewServer(s)
	defer srv.Close()
	const events, drop = "/api/v1/stores/main/events?stream=a/b", "/api/v1/stores/main/poison/drop"
	for _, tt := range []struct {
		method, path, body string
		// the status without a key, with a wrong one, and with one of each scope
		none, wrong, read, write, admin int
	}{
		{"GET", "/healthz", "", 200, 200, 200, 200, 200},
		{"GET", "/readyz", "", 200, 200, 200, 200, 200},
		{"GET", "/openapi.json", "", 200, 200, 200, 200, 200},
		{"GET", "/metrics", "", 401, 401, 200, 200, 200},
		{"GET", "/api/v1/status", "", 401, 401, 200, 200, 200},
		{"GET", "/api/v1/stores/main/events", "", 401, 401, 200, 200, 200},
		{"GET", "/api/v1/stores/other/events", "", 401, 401, 404, 404, 404},
		{"POST", events, `{"events":[{"type":"T"}]}`, 401, 401, 403, 200, 200},
		{"POST", events, `{"events":[{"type":"` + strings.Repeat("x", 2000) + `"}]}`, 401, 401, 403, 413, 200},
		{"POST", drop, `{"all":true}`, 401, 401, 403, 403, 200},
		{"GET", "/debug/pprof/cmdline", "", 401, 401, 403, 403, 200},
		{"POST", "/hook", "x", 401, 401, 403, 200, 200},
		{"POST", "/own", "x", 200, 200, 200, 200, 200},
	} {
		for _, c := range []struct {
			header, key string
			status      int
		}{
			{"", "", tt.none}, {"x-api-key", "wrong-0123456789abcdef", tt.wrong}, {"Authorization", "Bearer " + readKey, tt.read},
			{"x-api-key", readKey, tt.read}, {"authorization", "bearer " + writeKey, tt.write}, {"X-Api-Key", adminKey, tt.admin},
		} {
			req, err := http.NewRequestWithContext(t.Context(), tt.method, srv.URL+tt.path, strings.NewReader(tt.body))
			if err != nil {
				t.Fatal(err)
			}
			req.Host = "leat.example"
			if c.header != "" {
				req.Header.Set(c.header, c.key)
			}
			res, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			b, _ := io.ReadAll(res.Body)
			_ = res.Body.Close()
			if res.StatusCode != c.status {
				t.Errorf("%s %s with %q: %d, want %d: %.200s", tt.method, tt.path, c.key, res.StatusCode, c.status, b)
			}
			if c.key != "" && strings.Contains(string(b), strings.TrimPrefix(c.key, "Bearer ")) {
				t.Errorf("%s %s: the key comes back: %s", tt.method, tt.path, b)
			}
			if (res.StatusCode == 401) != (res.Header.Get("WWW-Authenticate") != "") {
				t.Errorf("%s %s: %d with %v", tt.method, tt.path, res.StatusCode, res.Header)
			}
		}
	}
}

type plain struct{}

func (plain) ServeHTTP(http.ResponseWriter, *http.Request) {}

type keeper struct{ plain }

func (keeper) Authenticates() bool { return true }

func TestRateOfAKey(t *testing.T) {
	srv := httptest.NewServer(guarded(t, nil))
	defer srv.Close()
	get := func(key string) (status int, after string) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, srv.URL+"/api/v1/version", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("x-api-key", key)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		return res.StatusCode, res.Header.Get("Retry-After")
	}
	for i, want := range []int{200, 200, 429, 429} {
		if status, after := get(fewKey); status != want || (want == 429) != (after != "") {
			t.Errorf("request %d: %d, Retry-After %q", i, status, after)
		}
	}
	if status, _ := get(readKey); status != 200 {
		t.Errorf("another key: %d", status)
	}
}

// authority signs certificates for the tests.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

var serial int64

func newAuthority(t *testing.T, parent *authority, subject pkix.Name, uri string) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	serial++
	c := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: subject, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, BasicConstraintsValid: true, IsCA: parent == nil,
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if uri != "" {
		u, err := url.Parse(uri)
		if err != nil {
			t.Fatal(err)
		}
		c.URIs = []*url.URL{u}
	}
	a := &authority{key: key}
	if parent == nil {
		parent = &authority{cert: c, key: key}
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent.cert, &key.PublicKey, parent.key)
	if err != nil {
		t.Fatal(err)
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	a.pem = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return a
}

func (a *authority) keyPEM(t *testing.T) []byte {
	t.Helper()
	der, err := x509.MarshalECPrivateKey(a.key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der})
}

func (a *authority) pair(t *testing.T) tls.Certificate {
	t.Helper()
	c, err := tls.X509KeyPair(a.pem, a.keyPEM(t))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func write(t *testing.T, name string, b []byte) {
	t.Helper()
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestTLSAndClientCertificates(t *testing.T) {
	dir := t.TempDir()
	files := config.TLS{Cert: filepath.Join(dir, "tls.crt"), Key: filepath.Join(dir, "tls.key"), ClientCA: filepath.Join(dir, "ca.crt")}
	ca := newAuthority(t, nil, pkix.Name{CommonName: "ca"}, "")
	first := newAuthority(t, ca, pkix.Name{CommonName: "first"}, "")
	write(t, files.Cert, first.pem)
	write(t, files.Key, first.keyPEM(t))
	write(t, files.ClientCA, ca.pem)
	s := guarded(t, func(c *config.Server) {
		c.TLS = &files
		c.Connections = 8
		c.Auth.Clients = []config.Client{
			{Name: "billing", Subject: "CN=billing,O=Acme", Scope: "write"}, {Name: "short", Subject: "short"}, {Name: "mesh", Subject: "spiffe://acme/orders", Scope: "admin"},
		}
	})
	l, err := s.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- s.Serve(ctx, l) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	roots := x509.NewCertPool()
	roots.AddCert(ca.cert)
	open := func(own *authority, options ...client.Option) *client.Client {
		conf := &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
		if own != nil {
			conf.Certificates = []tls.Certificate{own.pair(t)}
		}
		c, err := client.Connect("https://"+l.Addr().String(), "main", append(options, client.WithTLS(conf))...)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	stranger := newAuthority(t, nil, pkix.Name{CommonName: "billing", Organization: []string{"Acme"}}, "")
	for _, tt := range []struct {
		name        string
		c           *client.Client
		read, admin int
	}{
		{"nobody", open(nil), 401, 401},
		{"a key", open(nil, client.WithKey(adminKey)), 200, 200},
		{"a subject", open(newAuthority(t, ca, pkix.Name{CommonName: "billing", Organization: []string{"Acme"}}, "")), 200, 403},
		{"a common name", open(newAuthority(t, ca, pkix.Name{CommonName: "short", Organization: []string{"Any"}}, "")), 200, 403},
		{"a URI", open(newAuthority(t, ca, pkix.Name{CommonName: "x"}, "spiffe://acme/orders")), 200, 200},
		{"another organization", open(newAuthority(t, ca, pkix.Name{CommonName: "billing", Organization: []string{"Other"}}, "")), 401, 401},
		{"another authority", open(stranger), 401, 401}, // which it does not even show,
	} {
		for path, want := range map[string]int{"/api/v1/version": tt.read, "/debug/pprof/cmdline": tt.admin} {
			if got, b, err := tt.c.Get(t.Context(), path); got != want || err != nil {
				t.Errorf("%s: %s answers %d, want %d: %s %v", tt.name, path, got, want, b, err)
			}
		}
	}

	// A new certificate is served without a restart; a broken one leaves the old in place.
	served := func() string {
		c, err := tls.Dial("tcp", l.Addr().String(), &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		return c.ConnectionState().PeerCertificates[0].Subject.CommonName
	}
	second := newAuthority(t, ca, pkix.Name{CommonName: "second"}, "")
	for _, step := range []struct {
		cert, key []byte
		want      string
	}{{[]byte("broken"), first.keyPEM(t), "first"}, {second.pem, second.keyPEM(t), "second"}} {
		write(t, files.Cert, step.cert)
		write(t, files.Key, step.key)
		admin.LookAgain(s)
		if got := served(); got != step.want {
			t.Errorf("served is %s, want %s", got, step.want)
		}
	}
	if _, err := admin.New(admin.Options{Config: config.Server{TLS: &config.TLS{Cert: "no", Key: "no"}}}).Listen("127.0.0.1:0"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a certificate that is not there: %v", err)
	}
}

func TestRekey(t *testing.T) {
	s := guarded(t, nil)
	srv := httptest.NewServer(s)
	defer srv.Close()
	r := &running{url: srv.URL}
	const fresh = "fresh-0123456789abcdef"
	for _, step := range []struct {
		auth       config.Auth
		done       bool
		old, fresh int
	}{
		{config.Auth{}, false, 200, 401}, // it does not open to everybody
		{config.Auth{Keys: []config.Key{{Name: "reader", Key: config.NewSecret(fresh)}}}, true, 401, 200},
	} {
		if done := s.Rekey(step.auth); done != step.done {
			t.Errorf("Rekey = %v", done)
		}
		for key, want := range map[string]int{readKey: step.old, fresh: step.fresh} {
			if got := r.do(t, "GET", "/api/v1/version", "", "x-api-key", key); got.status != want {
				t.Errorf("%s: %d, want %d", key, got.status, want)
			}
		}
	}
	if admin.New(admin.Options{}).Rekey(config.Auth{Keys: []config.Key{{Name: "a", Key: config.NewSecret(fresh)}}}) {
		t.Error("a listener that asks nobody has begun to")
	}
}

// Bodies without an end, announced or not, cost no more than their bound.
func TestEndlessBodies(t *testing.T) {
	r := run(t)
	for _, path := range []string{"/api/v1/stores/main/events?stream=a/b", "/api/v1/stores/main/append", "/api/v1/stores/main/commit", "/api/v1/stores/main/poison/drop", "/streams/t"} {
		read := &countReader{}
		read.left.Store(100 << 20)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, r.url+path, read)
		if err != nil {
			t.Fatal(err)
		}
		res, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			continue // the listener has hung up, which is right too
		}
		_ = res.Body.Close()
		if res.StatusCode != 413 {
			t.Errorf("%s: %d", path, res.StatusCode)
		}
		if left := read.left.Load(); left < 50<<20 {
			t.Errorf("%s: %d bytes were read", path, 100<<20-left)
		}
	}
}

type countReader struct{ left atomic.Int64 }

func (c *countReader) Read(p []byte) (int, error) {
	if c.left.Add(-int64(len(p))) <= 0 {
		return 0, io.EOF
	}
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

// A sender that dribbles its head is hung up on, and keeps nobody else out.
func TestSlowHead(t *testing.T) {
	defer admin.HeadWithin(time.Second)()
	s := guarded(t, func(c *config.Server) { c.Connections = 2 })
	l, err := s.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- s.Serve(ctx, l) }()
	defer func() { cancel(); <-done }()
	for range 2 { // all the connections that there are
		slow, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer slow.Close()
		if _, err := io.WriteString(slow, "GET /healthz HTTP/1.1\r\nHost: x\r\nX-"); err != nil {
			t.Fatal(err)
		}
		defer func() {
			_ = slow.SetReadDeadline(time.Now().Add(time.Minute))
			if b, err := io.ReadAll(slow); err != nil {
				t.Errorf("the connection is still open: %q, %v", b, err)
			}
		}()
	}
	c, err := client.Connect(l.Addr().String(), "main")
	if err != nil {
		t.Fatal(err)
	}
	if status, _, err := c.Get(t.Context(), "/healthz"); err != nil || status != 200 {
		t.Errorf("beside them: %d, %v", status, err)
	}
}
