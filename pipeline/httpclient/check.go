package httpclient

import (
	"context"
	"crypto/tls"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/leatdev/leat/pipeline/check"
)

// Check looks whether the host of a URL can be reached as a client made with these options would: the name is looked
// up, a connection is made, and for https the certificate is looked at. No request is sent. What stands behind the host
// may be a template.
func Check(ctx context.Context, text string, o Options) check.Finding {
	scheme, rest, _ := strings.Cut(text, "://")
	host := rest
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		host = rest[:i]
	}
	u, err := url.Parse(scheme + "://" + host)
	if err != nil || u.Hostname() == "" || strings.Contains(text, "${") && strings.Contains(host, "$") {
		return check.Problemf("%q names no host", host)
	}
	_, transport, err := New(o)
	if err != nil {
		return check.Error("the client of "+host, err)
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[scheme]
	}
	address := net.JoinHostPort(u.Hostname(), port)
	start := time.Now()
	conn, err := transport.DialContext(ctx, "tcp", address)
	if err != nil {
		return check.Unreachablef("%s cannot be reached: %v", address, err).With("see that the name is right, that the endpoint runs, and that nothing between keeps connections away")
	}
	defer conn.Close()
	if scheme != "https" {
		return check.Okf("%s answers, after %s", address, time.Since(start).Round(time.Millisecond))
	}
	conf := &tls.Config{MinVersion: tls.VersionTLS12}
	if transport.TLSClientConfig != nil {
		conf = transport.TLSClientConfig.Clone()
	}
	conf.ServerName = u.Hostname()
	conf.NextProtos = nil
	c := tls.Client(conn, conf)
	if err := c.HandshakeContext(ctx); err != nil {
		return check.Unreachablef("%s answers, and its certificate does not hold: %v", address, err).With("if its authority is one of your own, name it in ca_file")
	}
	if left := time.Until(c.ConnectionState().PeerCertificates[0].NotAfter); left < 14*24*time.Hour {
		return check.Warnf("the certificate of %s ends in %s", address, left.Round(time.Hour))
	}
	return check.Okf("%s answers, and its certificate holds", address)
}
