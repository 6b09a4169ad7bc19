package admin_test

import (
	"bufio"
	"context"
	"errors"
	"iter"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/leatdev/leat/pipeline/admin"
	"github.com/leatdev/leat/pipeline/control"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore/wire"
	"github.com/leatdev/leat/pipeline/tap"
)

// operator is a daemon with one pipeline, p.
type operator struct {
	hub    tap.Hub
	pauses []control.Pause
	asked  []any
}

func (o *operator) begin(a any) (control.Work, error) {
	o.asked = append(o.asked, a)
	return control.Work{ID: "w-1", State: control.Running}, nil
}

func (o *operator) Rebuild(_ context.Context, a control.Rebuild) (control.Work, error) {
	if a.Table != "orders" {
		return control.Work{}, &control.UnknownError{Kind: "table", Name: a.Table, Have: []string{"orders"}}
	}
	return o.begin(a)
}

func (o *operator) Replay(_ context.Context, a control.Replay) (control.Work, error) {
	if len(o.asked) > 5 {
		return control.Work{}, &control.BusyError{Why: "one is under way"}
	}
	return o.begin(a)
}

func (o *operator) Works() []control.Work { return []control.Work{{ID: "w-1"}} }

func (o *operator) Work(id string) (control.Work, error) {
	if id != "w-1" {
		return control.Work{}, &control.UnknownError{Kind: "rebuild or replay", Name: id}
	}
	return control.Work{ID: id, State: control.Done}, nil
}

func (o *operator) CancelWork(_ context.Context, id string) (control.Work, error) {
	w, err := o.Work(id)
	w.State = control.Cancelled
	return w, err
}

func (o *operator) Pause(_ context.Context, a control.Pause) error {
	if a.Pipeline != "p" {
		return &control.UnknownError{Kind: "pipeline", Name: a.Pipeline, Have: []string{"p"}}
	}
	o.pauses = append(o.pauses, a)
	return nil
}

func (o *operator) Tap(ctx context.Context, pipeline string, opts tap.Options) (iter.Seq[tap.Sample], error) {
	if pipeline != "p" {
		return nil, &control.UnknownError{Kind: "pipeline", Name: pipeline, Have: []string{"p"}}
	}
	return o.hub.Listen(ctx, opts), nil
}

func operated(t *testing.T) (*running, *operator) {
	r, o := run(t), &operator{}
	r.Attach(&admin.Daemon{Operator: o})
	return r, o
}

func TestTapOverTheWire(t *testing.T) {
	r, o := operated(t)
	want := tap.Sample{At: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Pipeline: "p", Stage: tap.Step, Name: "filter", Relay: "r", Outcome: tap.Failed, Reason: "why"}
	e := event.Recorded{Event: event.Event{ID: "e-1", Type: "T", Data: []byte(`{"a":1}`)}, Stream: event.Stream{Type: "s", ID: "1"}, Position: 7}
	go func() {
		for !o.hub.On() && t.Context().Err() == nil {
			time.Sleep(time.Millisecond) // the server's listener is in another goroutine, beyond a socket
		}
		o.hub.Put(tap.Sample{Stage: tap.Source}, &e) // not asked for
		o.hub.Put(want, &e)
		o.hub.Put(tap.Sample{Stage: tap.Poison}, &event.Recorded{Event: event.Event{Raw: []byte("no json")}})
	}()
	var got []tap.Sample
	for s, err := range r.client.Tap(t.Context(), "p", tap.Options{Stages: []string{"step", "poison"}}) {
		if err != nil {
			t.Fatal(err)
		}
		if got = append(got, s); len(got) == 2 {
			break
		}
	}
	s := got[0]
	if s.Event.ID != "e-1" || s.Event.Stream != e.Stream || s.Event.Position != 7 || string(s.Event.Data) != `{"a":1}` {
		t.Errorf("the event came as %+v", s.Event)
	}
	s.Event = event.Recorded{}
	if diff := cmp.Diff(want, s, cmpopts.IgnoreFields(tap.Sample{}, "Event")); diff != "" {
		t.Errorf("the sample (-want +got):\n%s", diff)
	}
	if string(got[1].Event.Raw) != "no json" {
		t.Errorf("the body came as %q", got[1].Event.Raw)
	}
}

func TestTapAsServerSentEvents(t *testing.T) {
	r, o := operated(t)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, r.url+"/api/v1/pipelines/p/tap", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", "text/event-stream")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if kind := res.Header.Get("Content-Type"); kind != "text/event-stream" {
		t.Errorf("content type %q", kind)
	}
	o.hub.Put(tap.Sample{Stage: tap.Source}, &event.Recorded{Event: event.Event{ID: "e-1"}}) // it listens: the header came
	line, err := bufio.NewReader(res.Body).ReadString('\n')
	if err != nil || !strings.HasPrefix(line, `data: {"at":`) || !strings.Contains(line, `"e-1"`) {
		t.Errorf("%q, %v", line, err)
	}
}

func TestTapRefused(t *testing.T) {
	r, o := operated(t)
	for _, tt := range []struct {
		pipeline string
		stages   []string
		words    string
	}{
		{"q", nil, `there is no pipeline "q"`},
		{"p", []string{"steps"}, "names no stage"},
	} {
		for _, err := range r.client.Tap(t.Context(), tt.pipeline, tap.Options{Stages: tt.stages}) {
			var answer *wire.Problem
			if !errors.As(err, &answer) || !strings.Contains(err.Error(), tt.words) {
				t.Errorf("%v, want words %q", err, tt.words)
			}
		}
	}
	if o.hub.On() {
		t.Error("somebody listens")
	}
}

func TestWorksOverTheWire(t *testing.T) {
	r, o := operated(t)
	ctx := t.Context()
	if err := r.client.Pause(ctx, control.Pause{Pipeline: "p", Relay: "out", Resume: true}); err != nil {
		t.Fatal(err)
	}
	rebuild := control.Rebuild{Table: "orders", Throttle: 2.5, DryRun: true}
	replay := control.Replay{Pipeline: "p", Relay: "out", From: "1", To: "now", Types: []string{"A"}, Streams: []string{"order/1"}}
	if w, err := r.client.Rebuild(ctx, rebuild); err != nil || w.ID != "w-1" || w.State != control.Running {
		t.Errorf("Rebuild: %+v, %v", w, err)
	}
	if w, err := r.client.Replay(ctx, replay); err != nil || w.ID != "w-1" {
		t.Errorf("Replay: %+v, %v", w, err)
	}
	if diff := cmp.Diff([]any{rebuild, replay}, o.asked); diff != "" {
		t.Errorf("asked (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]control.Pause{{Pipeline: "p", Relay: "out", Resume: true}}, o.pauses); diff != "" {
		t.Errorf("paused (-want +got):\n%s", diff)
	}
	if w, err := r.client.Work(ctx, "w-1"); err != nil || w.State != control.Done {
		t.Errorf("Work: %+v, %v", w, err)
	}
	if w, err := r.client.CancelWork(ctx, "w-1"); err != nil || w.State != control.Cancelled {
		t.Errorf("CancelWork: %+v, %v", w, err)
	}
	if all, err := r.client.Works(ctx); err != nil || len(all) != 1 {
		t.Errorf("Works: %+v, %v", all, err)
	}
	_, err := r.client.Rebuild(ctx, control.Rebuild{Table: "order"})
	if err == nil || !strings.Contains(err.Error(), `did you mean "orders"?`) {
		t.Errorf("%v does not say which table was meant", err)
	}
	if _, err := r.client.Work(ctx, "w-2"); err == nil {
		t.Error("a work that is not there")
	}
	if err := r.client.Pause(ctx, control.Pause{Pipeline: "p", Relay: "out", Intake: true}); err == nil {
		t.Error("a relay and the intake at once")
	}
}
