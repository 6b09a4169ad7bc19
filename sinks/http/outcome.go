package http

import (
	"context"
	"errors"
	"fmt"
	"io"
	nethttp "net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/leatdev/leat/pipeline/event"
)

const (
	maxQuoted     = 200       // bytes of an answer that an error quotes
	maxDrained    = 64 << 10  // bytes of an answer that are read so that its connection can be used again
	maxRetryAfter = time.Hour // a receiver cannot stop us for longer
)

// outcome maps an answer: 2xx is delivered; 408, 425, 429, 502, 503 and 504 are outages, which are waited out and no
// event's fault; other 5xx may be, so they count as attempts; redirects wait for people to mend the URL; any other 4xx
// poisons, as a repeat would fare no better.
func (s *Sink) outcome(res *nethttp.Response, events int) error {
	if res.StatusCode >= 200 && res.StatusCode < 300 {
		_, _ = io.CopyN(io.Discard, res.Body, maxDrained)
		return nil
	}
	text, _ := io.ReadAll(io.LimitReader(res.Body, maxQuoted+1))
	_, _ = io.CopyN(io.Discard, res.Body, maxDrained)
	err := fmt.Errorf("http: %s answered %d to %d events%s", res.Request.URL.Host, res.StatusCode, events, quoted(text))
	after, told := s.retryAfter(res.Header.Get("Retry-After"))
	switch code := res.StatusCode; {
	case code == 408 || code == 425 || code == 429 || code == 502 || code == 503 || code == 504:
		return event.Unavailable(after, err)
	case code < 400:
		return event.Unavailable(after, fmt.Errorf("%w; redirects are not followed, set url to where they lead", err))
	case code >= 500 && told:
		return event.RetryAfter(after, event.WithCode(event.CodeSink, err))
	case code >= 500:
		return event.WithCode(event.CodeSink, err)
	}
	return event.PoisonAs(event.CodeSink, err)
}

// quoted gives the beginning of an answer's text.
func quoted(text []byte) string {
	s := strings.Join(strings.FieldsFunc(strings.ToValidUTF8(string(text), ""), func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }), " ")
	if s == "" {
		return ""
	}
	if len(text) > maxQuoted {
		s += "…"
	}
	return ": " + s
}

// retryAfter reads seconds, or a date.
func (s *Sink) retryAfter(value string) (time.Duration, bool) {
	if value == "" {
		return 0, false
	}
	if n, err := strconv.ParseUint(value, 10, 31); err == nil {
		return min(time.Duration(n)*time.Second, maxRetryAfter), true
	}
	at, err := nethttp.ParseTime(value)
	if err != nil {
		return 0, false
	}
	return min(max(at.Sub(s.now()), 0), maxRetryAfter), true
}

// unreachable is the error of a request without an answer: an outage, unless it was cancelled.
func (s *Sink) unreachable(ctx context.Context, err error, host string, events int) error {
	err = bare(err)
	if ctx.Err() == context.Canceled {
		return fmt.Errorf("http: send %d events to %s: %w", events, host, err)
	}
	if errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("no answer within %s", s.cfg.Timeout)
	}
	return event.Unavailable(0, fmt.Errorf("http: send %d events to %s: %w", events, host, err))
}

// bare takes the URL out of an error: its query may hold a secret.
func bare(err error) error {
	var e *url.Error
	if errors.As(err, &e) {
		return e.Err
	}
	return err
}
