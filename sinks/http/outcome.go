package http

import (
	"context"
	"errors"
	"fmt"
	"io"
	nethttp "net/http"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/httpclient"
)

// maxDrained is how many bytes of an answer are read so that its connection can be used again.
const maxDrained = 64 << 10

// outcome maps an answer: 2xx is delivered; 408, 425, 429, 502, 503 and 504 are outages, which are waited out and no
// event's fault; other 5xx may be, so they count as attempts; redirects wait for people to mend the URL; any other 4xx
// poisons, as a repeat would fare no better.
func (s *Sink) outcome(res *nethttp.Response, events int) error {
	if res.StatusCode >= 200 && res.StatusCode < 300 {
		_, _ = io.CopyN(io.Discard, res.Body, maxDrained)
		return nil
	}
	text, _ := io.ReadAll(io.LimitReader(res.Body, httpclient.MaxQuoted+1))
	_, _ = io.CopyN(io.Discard, res.Body, maxDrained)
	err := fmt.Errorf("http: %s answered %d to %d events%s", res.Request.URL.Host, res.StatusCode, events, httpclient.Quoted(text))
	after, told := httpclient.RetryAfter(res.Header.Get("Retry-After"), s.now())
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

// unreachable is the error of a request without an answer: an outage, unless it was cancelled.
func (s *Sink) unreachable(ctx context.Context, err error, host string, events int) error {
	err = httpclient.Bare(err)
	if ctx.Err() == context.Canceled {
		return fmt.Errorf("http: send %d events to %s: %w", events, host, err)
	}
	if errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("no answer within %s", s.cfg.Timeout)
	}
	return event.Unavailable(0, fmt.Errorf("http: send %d events to %s: %w", events, host, err))
}
