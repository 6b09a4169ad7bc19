package admin

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"time"

	"github.com/leatdev/leat/pipeline/tap"
)

// Operator is the daemon as people steer it.
type Operator interface {
	// Tap gives samples of what passes a pipeline's stages until ctx ends.
	Tap(ctx context.Context, pipeline string, o tap.Options) (iter.Seq[tap.Sample], error)
}

// routeOperations lists the part of the API that steers the daemon.
func (s *Server) routeOperations() {
	s.route("GET /api/v1/pipelines/{pipeline}/tap", s.operate(tapped))
}

// operate calls h with the daemon; an error that h returns becomes the answer.
func (s *Server) operate(h func(w http.ResponseWriter, r *http.Request, o Operator) error) http.Handler {
	return s.with(func(w http.ResponseWriter, r *http.Request, d *Daemon) {
		if d.Operator == nil {
			fail(w, http.StatusNotFound, "unknown", "this daemon cannot be steered")
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		if err := h(w, r, d.Operator); err != nil {
			status, p := answerErrorOf(err)
			fail(w, status, p.Code, p.Message)
		}
	})
}

// Sample is a tap.Sample as it is written, one a line.
type Sample struct {
	At       time.Time `json:"at"`
	Pipeline string    `json:"pipeline"`
	Stage    string    `json:"stage"`
	Name     string    `json:"name,omitempty"`
	Relay    string    `json:"relay,omitempty"`
	Outcome  string    `json:"outcome"`
	Reason   string    `json:"reason,omitempty"`
	// Lost counts samples that this reader lost before this one.
	Lost  int64 `json:"lost,omitempty"`
	Event Event `json:"event"`
	// Body is the body as it came, of a poisoned event whose fields could not be read.
	Body string `json:"body,omitempty"`
}

// SampleOf gives the form that is written.
func SampleOf(s *tap.Sample) Sample {
	w := Sample{At: s.At.UTC(), Pipeline: s.Pipeline, Stage: s.Stage, Name: s.Name, Relay: s.Relay, Outcome: s.Outcome, Reason: s.Reason, Lost: s.Lost, Event: EventOf(&s.Event)}
	if !json.Valid(w.Event.Data) {
		w.Event.Data = json.RawMessage("null")
	}
	if s.Stage == tap.Poison {
		w.Body = string(s.Event.Raw)
	}
	return w
}

// Back gives the sample.
func (w *Sample) Back() (tap.Sample, error) {
	e, err := w.Event.Back()
	if err != nil {
		return tap.Sample{}, err
	}
	s := tap.Sample{At: w.At, Pipeline: w.Pipeline, Stage: w.Stage, Name: w.Name, Relay: w.Relay, Outcome: w.Outcome, Reason: w.Reason, Lost: w.Lost, Event: *e}
	if w.Body != "" {
		s.Event.Raw = []byte(w.Body)
	}
	return s, nil
}

// tapKeepAlive is how often a quiet stream sends an empty line (as server-sent events, a comment), so that a reader
// that has gone is noticed.
const tapKeepAlive = 10 * time.Second

// tapped streams samples: as NDJSON, or as server-sent events to who accepts those. It ends when the reader goes.
func tapped(w http.ResponseWriter, r *http.Request, o Operator) error {
	q := query{Values: r.URL.Query()}
	opts := tap.Options{Stages: q.Values["stage"], Buffer: int(min(q.number("buffer"), 65536))}
	if err := q.done("stage", "buffer"); err != nil {
		return err
	}
	if err := opts.Check(); err != nil {
		return &requestError{err}
	}
	ctx, stop := context.WithCancel(r.Context())
	defer stop()
	samples, err := o.Tap(ctx, r.PathValue("pipeline"), opts)
	if err != nil {
		return err
	}
	ch := make(chan tap.Sample)
	go func() {
		defer close(ch)
		for s := range samples {
			select {
			case ch <- s:
			case <-ctx.Done():
				return
			}
		}
	}()
	out := newLines(w)
	before, quiet := "", "\n"
	if accepts(r, "text/event-stream") {
		before, quiet = "data: ", ": \n\n"
		out.kind = "text/event-stream"
	}
	out.start()
	out.flush() // the reader sees that it listens
	alive := time.NewTicker(tapKeepAlive)
	defer alive.Stop()
	for {
		var err error
		select {
		case s, open := <-ch:
			if !open {
				return nil
			}
			var line []byte
			if line, err = Line(SampleOf(&s)); err == nil {
				line = append([]byte(before), line...)
				if before != "" {
					line = append(line, '\n')
				}
				err = out.write(line)
			}
		case <-alive.C:
			err = out.write([]byte(quiet))
		}
		if err != nil {
			return nil //nolint:nilerr // the reader has gone
		}
		out.flush()
	}
}

// Tap gives samples of what passes a pipeline's stages, until ctx ends.
func (c *Client) Tap(ctx context.Context, pipeline string, o tap.Options) iter.Seq2[tap.Sample, error] {
	q := url.Values{"stage": o.Stages}
	putNumber(q, "buffer", int64(o.Buffer))
	return each(ctx, c, "/api/v1/pipelines/"+url.PathEscape(pipeline)+"/tap", q, func(line []byte) (tap.Sample, error) {
		var w Sample
		if err := json.Unmarshal(line, &w); err != nil {
			return tap.Sample{}, fmt.Errorf("sample: %w", err)
		}
		return w.Back()
	})
}
