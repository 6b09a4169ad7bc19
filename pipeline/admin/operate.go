package admin

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/leatdev/leat/pipeline/control"
	"github.com/leatdev/leat/pipeline/eventstore/wire"
	"github.com/leatdev/leat/pipeline/tap"
)

// Operator is the daemon as people steer it.
type Operator interface {
	// Tap gives samples of what passes a pipeline's stages until ctx ends.
	Tap(ctx context.Context, pipeline string, o tap.Options) (iter.Seq[tap.Sample], error)
	// Pause stops a pipeline, its intake or a relay, or lets it go on.
	Pause(ctx context.Context, a control.Pause) error
	// Rebuild and Replay begin a work and answer at once.
	Rebuild(ctx context.Context, a control.Rebuild) (control.Work, error)
	Replay(ctx context.Context, a control.Replay) (control.Work, error)
	Works() []control.Work
	Work(id string) (control.Work, error)
	CancelWork(ctx context.Context, id string) (control.Work, error)
}

// routeOperations lists the part of the API that steers the daemon.
func (s *Server) routeOperations() {
	tap := huma.Operation{
		OperationID: "tap", Method: http.MethodGet, Path: "/api/v1/pipelines/{pipeline}/tap", Tags: []string{"pipelines"},
		Summary:     "Samples of what passes a pipeline's stages",
		Description: "NDJSON, or server-sent events to who accepts text/event-stream. It ends when the reader goes.",
		Responses:   lineResponse[wire.Sample](s, "Samples"),
	}
	steer(s, Read, tap, tapped)
	s.routeWorks()
	pause := huma.Operation{
		OperationID: "pause", Method: http.MethodPost, Path: "/api/v1/pipelines/{pipeline}/pause", Tags: []string{"pipelines"},
		Summary:     "Pause or resume a pipeline, its intake or a relay",
		Description: "It answers when what is paused is drained. What is paused stays so over restarts.",
		RequestBody: jsonBody[control.Pause](s),
	}
	steer(s, Admin, pause, paused)
}

type pauseIn struct {
	Pipeline string `path:"pipeline"`
	RawBody  []byte
}

type pauseOut struct{ Body control.Pause }

func paused(ctx context.Context, o Operator, in *pauseIn) (*pauseOut, error) {
	var a control.Pause
	if err := decode(in.RawBody, &a); err != nil {
		return nil, err
	}
	if a.Pipeline == "" {
		a.Pipeline = in.Pipeline
	}
	if a.Pipeline != in.Pipeline {
		return nil, &wire.RequestError{Err: fmt.Errorf("the path names the pipeline %q, the body %q", in.Pipeline, a.Pipeline)}
	}
	if a.Intake && a.Relay != "" {
		return nil, &wire.RequestError{Err: errors.New("intake and relay exclude each other")}
	}
	if err := o.Pause(context.WithoutCancel(ctx), a); err != nil {
		return nil, err
	}
	return &pauseOut{a}, nil
}

// steer is operate for what the daemon's Operator does.
func steer[In, Out any](s *Server, scope Scope, op huma.Operation, h func(ctx context.Context, o Operator, in *In) (*Out, error)) {
	operate(s, scope, op, func(ctx context.Context, d *Daemon, in *In) (*Out, error) {
		if d.Operator == nil {
			return nil, wire.NewProblem(http.StatusNotFound, "unknown", "this daemon cannot be steered")
		}
		return h(ctx, d.Operator, in)
	})
}

// tapKeepAlive is how often a quiet stream sends an empty line (as server-sent events, a comment), so that a reader
// that has gone is noticed.
const tapKeepAlive = 10 * time.Second

type tapIn struct {
	Pipeline string   `path:"pipeline"`
	Stage    []string `query:"stage,explode" doc:"source, step, …; may be repeated; default: all"`
	Buffer   int      `query:"buffer" minimum:"0" maximum:"65536" doc:"samples that are kept for a slow reader"`
}

// tapped streams samples.
func tapped(ctx context.Context, o Operator, in *tapIn) (*Lines, error) {
	opts := tap.Options{Stages: in.Stage, Buffer: in.Buffer}
	if err := opts.Check(); err != nil {
		return nil, &wire.RequestError{Err: err}
	}
	ctx, stop := context.WithCancel(ctx)
	samples, err := o.Tap(ctx, in.Pipeline, opts)
	if err != nil {
		stop()
		return nil, err
	}
	return &Lines{func(w http.ResponseWriter, r *http.Request) {
		defer stop()
		send(ctx, r, newLines(w), samples)
	}}, nil
}

func send(ctx context.Context, r *http.Request, out *lines, samples iter.Seq[tap.Sample]) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
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
	before, quiet := "", "\n"
	if accepts(r, "text/event-stream") {
		before, quiet = "data: ", ": \n\n"
		out.kind = "text/event-stream"
	}
	out.start()
	_ = out.flush() // the reader sees that it listens
	alive := time.NewTicker(tapKeepAlive)
	defer alive.Stop()
	for {
		var err error
		select {
		case s, open := <-ch:
			if !open {
				return
			}
			var line []byte
			if line, err = wire.Line(wire.SampleOf(&s)); err == nil {
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
			return // the reader has gone
		}
		_ = out.flush()
	}
}
