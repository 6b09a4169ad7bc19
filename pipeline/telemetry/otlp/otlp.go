// Package otlp sends spans to an OpenTelemetry collector: OTLP over HTTP in protobuf, the protocol's default form.
//
// It stands in for the exporter of the OpenTelemetry project, which brings gRPC and all of the protocol's generated types:
// 2.5 MB of the program. The encoding is by hand (encode.go) and is tested against those types. The standard variables
// OTEL_EXPORTER_OTLP_* say where to send and how (settings.go).
package otlp

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"

	sdk "go.opentelemetry.io/otel/sdk/trace"
	"google.golang.org/protobuf/encoding/protowire"
)

// Exporter sends batches of spans. It is safe for concurrent use.
type Exporter struct {
	s      Settings
	client *http.Client
	warn   func(error)
}

var _ sdk.SpanExporter = (*Exporter)(nil)

// New makes an exporter; it does not connect. Warn is told of batches that were lost, and of spans that the collector
// refused; ExportSpans itself returns nil then, as there is nobody else to tell.
func New(s Settings, warn func(error)) *Exporter {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.TLSClientConfig = s.TLS
	return &Exporter{s: s, client: &http.Client{Transport: t}, warn: warn}
}

// ExportSpans sends a batch, again while the collector asks for that, within the settings' timeout for all of it.
func (e *Exporter) ExportSpans(ctx context.Context, spans []sdk.ReadOnlySpan) error {
	if len(spans) == 0 {
		return nil
	}
	body, err := e.compress(encode(spans))
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, e.s.Timeout)
	defer cancel()
	pause := 300 * time.Millisecond
	var cause error // not merely that there is no time left, where an attempt before that says more
	for {
		after, err := e.send(ctx, body)
		if err == nil {
			return nil
		}
		if cause == nil || ctx.Err() == nil {
			cause = err
		}
		wait := max(after, time.Duration(float64(pause)*(0.5+rand.Float64())))
		if deadline, _ := ctx.Deadline(); after < 0 || ctx.Err() != nil || time.Until(deadline) < wait {
			e.warn(fmt.Errorf("otlp: %d spans are lost: %w", len(spans), cause))
			return nil
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
		}
		pause = min(2*pause, 5*time.Second)
	}
}

func (e *Exporter) compress(body []byte) ([]byte, error) {
	if !e.s.Gzip {
		return body, nil
	}
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, err := z.Write(body)
	if err = errors.Join(err, z.Close()); err != nil {
		return nil, fmt.Errorf("otlp: gzip: %w", err)
	}
	return b.Bytes(), nil
}

// send posts a batch once. After says how long to wait before it is tried again; negative: a repeat fares no better.
func (e *Exporter) send(ctx context.Context, body []byte) (after time.Duration, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, e.s.URL, bytes.NewReader(body))
	if err != nil {
		return -1, fmt.Errorf("request: %w", err)
	}
	for name, value := range e.s.Headers {
		req.Header.Set(name, value)
	}
	req.Header.Set("Content-Type", "application/x-protobuf")
	req.Header.Set("User-Agent", "leat")
	if e.s.Gzip {
		req.Header.Set("Content-Encoding", "gzip")
	}
	res, err := e.client.Do(req)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	answer, _ := io.ReadAll(io.LimitReader(res.Body, 64<<10))
	switch res.StatusCode {
	case http.StatusOK, http.StatusAccepted, http.StatusNoContent:
		if n, words := rejected(answer); n > 0 || words != "" {
			e.warn(fmt.Errorf("otlp: the collector refused %d spans: %.200q", n, words))
		}
		return 0, nil
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		if seconds, e := strconv.Atoi(res.Header.Get("Retry-After")); e == nil && seconds > 0 {
			after = time.Duration(seconds) * time.Second
		}
		return after, fmt.Errorf("the collector answers %s", res.Status)
	}
	return -1, fmt.Errorf("the collector answers %s: %.200q", res.Status, answer)
}

// rejected reads the answer's partial success.
func rejected(answer []byte) (n int64, words string) {
	fields(answer, func(number protowire.Number, _ uint64, partial []byte) {
		if number != 1 {
			return
		}
		fields(partial, func(number protowire.Number, v uint64, b []byte) {
			switch number {
			case 1:
				n = int64(v)
			case 2:
				words = string(b)
			}
		})
	})
	return n, words
}

// fields walks the varints and bytes of a message; what is no message ends the walk.
func fields(b []byte, f func(number protowire.Number, v uint64, bytes []byte)) {
	for len(b) > 0 {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return
		}
		b = b[n:]
		var v uint64
		var inner []byte
		switch kind {
		case protowire.VarintType:
			v, n = protowire.ConsumeVarint(b)
		case protowire.BytesType:
			inner, n = protowire.ConsumeBytes(b)
		default:
			n = protowire.ConsumeFieldValue(number, kind, b)
		}
		if n < 0 {
			return
		}
		f(number, v, inner)
		b = b[n:]
	}
}

// Shutdown lets go of idle connections.
func (e *Exporter) Shutdown(context.Context) error {
	e.client.CloseIdleConnections()
	return nil
}
