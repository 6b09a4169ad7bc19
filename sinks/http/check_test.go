package http

import (
	"encoding/pem"
	nethttp "net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/pipeline/check"
	"github.com/leatdev/leat/sinks"
)

func TestCheck(t *testing.T) {
	asked := false
	handler := nethttp.HandlerFunc(func(nethttp.ResponseWriter, *nethttp.Request) { asked = true })
	plain, secure := httptest.NewServer(handler), httptest.NewTLSServer(handler)
	defer plain.Close()
	defer secure.Close()
	secure.Config.ErrorLog = nil
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	gone := httptest.NewServer(handler)
	gone.Close()
	for _, tt := range []struct {
		name string
		cfg  Config
		want check.Severity
		word string
	}{
		{"plain", Config{URL: config.Text{Source: plain.URL + "/{{ data.x }}"}, AllowPrivate: true}, check.OK, "answers"},
		{"private and not allowed", Config{URL: config.Text{Source: plain.URL}}, check.Unreachable, "not public"},
		{"nobody listens", Config{URL: config.Text{Source: gone.URL}, AllowPrivate: true}, check.Unreachable, "refused"},
		{"a certificate of nobody", Config{URL: config.Text{Source: secure.URL}, AllowPrivate: true}, check.Unreachable, "certificate does not hold"},
		{"a certificate of ours", Config{URL: config.Text{Source: secure.URL}, AllowPrivate: true, CAFile: ca}, check.OK, "certificate holds"},
		{"no such file", Config{URL: config.Text{Source: secure.URL}, AllowPrivate: true, CAFile: ca + "x"}, check.Problem, "ca_file"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := tt.cfg.Check(t.Context(), sinks.Env{})
			if len(got) != 1 || got[0].Severity != tt.want || !strings.Contains(got[0].What, tt.word) {
				t.Errorf("%+v, want %s with %q", got, tt.want, tt.word)
			}
		})
	}
	if asked {
		t.Error("the endpoint got a request, which it would take for an event")
	}
}
