package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestWatchedFiles changes what a pipeline file refers to: a folder of schemas, mounted as a ConfigMap is, and a file that a
// plugin reads. With --watch the daemon follows by itself, without it at SIGHUP; what is broken leaves what runs.
func TestWatchedFiles(t *testing.T) {
	for _, watched := range []bool{true, false} {
		t.Run(fmt.Sprintf("watch=%t", watched), func(t *testing.T) {
			dir, addr := t.TempDir(), freePort(t)
			must := func(err error) {
				t.Helper()
				if err != nil {
					t.Fatal(err)
				}
			}
			// swap lets the mount lead to another generation of schemas, in one step.
			swap := func(generation, schema string) {
				t.Helper()
				must(os.MkdirAll(filepath.Join(dir, ".."+generation, "Order"), 0o755))
				write(t, dir, ".."+generation+"/Order/1.json", schema)
				must(os.Symlink(".."+generation, filepath.Join(dir, "..new")))
				must(os.Rename(filepath.Join(dir, "..new"), filepath.Join(dir, "..data")))
			}
			must(os.MkdirAll(filepath.Join(dir, "mount"), 0o755))
			swap("1", `{"required":["a"]}`)
			must(os.Symlink("../..data/Order", filepath.Join(dir, "mount", "Order")))
			write(t, dir, "ca.pem", certificate(t))
			write(t, dir, "pipeline.yaml", fmt.Sprintf(`
server: { listen: "%s" }
pipelines:
  p:
    source: { http: { path: /in } }
    steps:
      - validate: { schema: mount, invalid: reject }
      - append: { stream: "p/{{ id }}" }
      - forward: { http: { url: "https://127.0.0.1:1/", allow_private: true, ca_file: "%s" } }
`, addr, filepath.Join(dir, "ca.pem")))
			args := []string{"run", "pipeline.yaml"}
			if watched {
				args = append(args, "--watch")
			}
			c := startLeat(t, dir, nil, args...)
			if !c.ready(t, addr) {
				t.Fatal(c.stderr.String())
			}
			again := func() {
				t.Helper()
				if !watched {
					must(c.cmd.Process.Signal(syscall.SIGHUP))
				}
			}
			n := 0
			takes := func(data string) bool {
				n++
				return post("http://"+addr+"/in", fmt.Sprintf(`{"id":"e-%d","source":"shop","detail-type":"Order","detail":%s}`, n, data)) < 300
			}
			reloads := func(result string) float64 {
				_, body := get("http://" + addr + "/metrics")
				return max(0, metric(body, `leat_config_reloads_total{result="`+result+`"}`))
			}
			if !takes(`{"a":1}`) || takes(`{"b":1}`) {
				t.Fatal("the first schema does not hold")
			}

			swap("2", `{"required":["b"]}`)
			again()
			poll(t, c, "the other schema", func() bool { return !takes(`{"a":1}`) && takes(`{"b":1}`) })

			failed := reloads("failed")
			swap("3", `{"required":"b"}`)
			again()
			poll(t, c, "the refusal", func() bool { return reloads("failed") == failed+1 })
			if !takes(`{"b":1}`) || takes(`{"a":1}`) {
				t.Error("a broken schema changed what runs")
			}
			if words := c.stderr.String(); !strings.Contains(words, "Order/1.json") || !strings.Contains(words, "what ran before goes on") {
				t.Errorf("the log does not say what is broken:\n%s", words)
			}

			swap("4", `{"required":["b"]}`)
			write(t, dir, "..4/Order/2.json", `{"required":["c"]}`) // the newest holds where an event says none
			again()
			poll(t, c, "the new version", func() bool { return takes(`{"c":1}`) && !takes(`{"b":1}`) })

			applied := reloads("applied")
			write(t, dir, "ca.new", certificate(t))
			must(os.Rename(filepath.Join(dir, "ca.new"), filepath.Join(dir, "ca.pem")))
			again()
			poll(t, c, "the certificates", func() bool { return reloads("applied") > applied })
			failed = reloads("failed")
			write(t, dir, "ca.new", "none")
			must(os.Rename(filepath.Join(dir, "ca.new"), filepath.Join(dir, "ca.pem")))
			again()
			poll(t, c, "that there is no certificate", func() bool { return reloads("failed") > failed })
			if !takes(`{"c":1}`) {
				t.Error("a broken file of a plugin changed what runs")
			}
			terminate(t, c)
		})
	}
}

// certificate makes one of an authority, PEM.
func certificate(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}
