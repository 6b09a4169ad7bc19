package telemetry_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/pipeline/telemetry"
)

type pluginConfig struct {
	URL    string
	Token  config.Secret
	hidden config.Secret
}

func TestNoSecretReachesALog(t *testing.T) {
	cfg := &config.Config{Stores: map[string]config.Plugin{"main": {Config: pluginConfig{
		Token: config.NewSecret(`can"ary\one`), hidden: config.NewSecret("canary-two&x"),
	}}}}
	telemetry.HideSecrets(cfg)
	telemetry.HideSecrets(cfg) // twice is once

	leaks := []string{`can"ary\one`, `can\"ary`, "canary-two", "pa55w0rd", "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG", "eyJhbGciOiJIUzI1NiJ9", "dXNlcjpw"}
	secrets := []string{
		`can"ary\one`, "canary-two&x", "GET /?q=canary-two%26x",
		"postgres://app:pa55w0rd@db:5432/x?sslmode=off", "amqp://pa55w0rd@host", "http://u:p@pa55w0rd@host/x",
		"host=db user=app password=pa55w0rd dbname=x", `{"password": "pa55w0rd"}`,
		"Authorization: Bearer eyJhbGciOiJIUzI1NiJ9.e30.x", `Authorization: Basic dXNlcjpwYXNz`,
		"AKIAIOSFODNN7EXAMPLE", "aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
	}
	for _, format := range []string{"json", "text"} {
		var out bytes.Buffer
		log := telemetry.NewLogger(&out, "debug", format, false)
		for _, s := range secrets {
			log.Info(s)
			log.Info("m", "k", s, "err", fmt.Errorf("open: %w", errors.New(s)))
			log.With("a", s).WithGroup("g").Warn("m", slog.Group("h", "k", s))
			log.Error("m", "any", map[string]any{"x": []string{s}}, "cfg", pluginConfig{URL: s})
		}
		log.Error("m", "cfg", cfg.Stores["main"].Config)
		for line := range strings.Lines(out.String()) {
			for _, leak := range leaks {
				if strings.Contains(line, leak) {
					t.Errorf("%s: %q leaks in %s", format, leak, line)
				}
			}
			if format == "json" && !json.Valid([]byte(line)) {
				t.Errorf("redacting broke the line: %s", line)
			}
		}
	}
}

func TestRedactLeavesTheRest(t *testing.T) {
	for _, s := range []string{
		"https://example.com/a@b?c=d", "file:///tmp/x", "order/o-1", "the bearer of this", "mail a@b.example",
		"sqs: receive: queue orders is not there", "http://127.0.0.1:8087/metrics",
	} {
		if got := telemetry.Redact(s); got != s {
			t.Errorf("Redact(%q) = %q", s, got)
		}
	}
	telemetry.Hide("abc", "")
	if got := telemetry.Redact("abcdef"); got != "abcdef" {
		t.Errorf("a text of three bytes is hidden: %q", got)
	}
	telemetry.Hide("long-secret", "long-secret-and-more")
	if got := telemetry.Redact("x long-secret-and-more y"); got != "x *** y" {
		t.Errorf("the longer secret shows in part: %q", got)
	}
}

func TestText(t *testing.T) {
	var out bytes.Buffer
	log := telemetry.NewLogger(&out, "info", "text", false)
	log.Debug("not shown")
	log.With("pipeline", "orders").WithGroup("source").Info("started", "path", "a b", "n", 3, slog.Group("", "inline", true), "empty", "")
	log.Info("line\nbreak \x1b[31m", "k", "x\ny")
	got := out.String()
	lines := strings.Split(strings.TrimSpace(got), "\n")
	if len(lines) != 2 {
		t.Fatalf("%d lines: %s", len(lines), got)
	}
	if _, rest, _ := strings.Cut(lines[0], " "); rest != `INFO  started pipeline=orders source.path="a b" source.n=3 source.inline=true source.empty=""` {
		t.Errorf("line 1: %s", rest)
	}
	if _, rest, _ := strings.Cut(lines[1], " "); rest != `INFO  line\nbreak \x1b[31m k="x\ny"` {
		t.Errorf("line 2: %s", rest)
	}

	out.Reset()
	telemetry.NewLogger(&out, "warn", "text", true).Warn("m", "k", "v")
	if !strings.Contains(out.String(), "\x1b[33mWARN ") {
		t.Errorf("no colour: %q", out.String())
	}
}

func TestLevels(t *testing.T) {
	for level, n := range map[string]int{"debug": 4, "info": 3, "warn": 2, "error": 1, "nonsense": 3} {
		for _, format := range []string{"text", "json"} {
			var out bytes.Buffer
			log := telemetry.NewLogger(&out, level, format, false)
			log.Debug("m")
			log.Info("m")
			log.Warn("m")
			log.Error("m")
			if got := strings.Count(out.String(), "\n"); got != n {
				t.Errorf("%s %s: %d lines, want %d", format, level, got, n)
			}
		}
	}
}

func TestLimited(t *testing.T) {
	for name, logger := range map[string]func(*bytes.Buffer) *slog.Logger{
		"ours":    func(b *bytes.Buffer) *slog.Logger { return telemetry.NewLogger(b, "info", "json", false) },
		"foreign": func(b *bytes.Buffer) *slog.Logger { return slog.New(slog.NewJSONHandler(b, nil)) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var out bytes.Buffer
				log := logger(&out)
				limited := telemetry.Limited(log, "orders/filter", 10*time.Second)
				for range 5 {
					limited.Warn("wrong type")
				}
				log.Warn("unlimited")
				time.Sleep(10 * time.Second)
				limited.With("x", 1).Warn("wrong type")
				lines := strings.Split(strings.TrimSpace(out.String()), "\n")
				if len(lines) != 3 {
					t.Fatalf("%d lines: %s", len(lines), out.String())
				}
				if !strings.Contains(lines[2], `"suppressed":4`) || strings.Contains(lines[0], "suppressed") {
					t.Errorf("lines: %s", out.String())
				}
			})
		})
	}
	t.Run("shared by key", func(t *testing.T) {
		var out bytes.Buffer
		log := telemetry.NewLogger(&out, "info", "json", false)
		for range 3 {
			telemetry.Limited(log.With("a", 1), "k1", time.Hour).Info("m")
			telemetry.Limited(log, "k2", time.Hour).Info("m")
		}
		if got := strings.Count(out.String(), "\n"); got != 2 {
			t.Errorf("%d lines, want one for each key", got)
		}
	})
}
