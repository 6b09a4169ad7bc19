package pipeline

import (
	"errors"
	"sync"
	"time"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/pipeline/codec"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/steps"
	"github.com/leatdev/leat/pipeline/telemetry"
	"github.com/leatdev/leat/pipeline/trace"
)

// pipeTraces makes the spans of one pipeline, by OpenTelemetry's conventions for messaging:
//
//	receive     a batch as it came from the source; its links are the events' own spans
//	process     an event in the intake, below the span that sent it, until it has its outcome
//	step        a step that it went through, below process
//	commit      the commit that it was in, below process
//	relay       an event of the log on its way to a target, below its process span, be it days later
//	send        a call of a sink with it, below relay: what leaves carries this span
//
// The way from span to span is the event's metadata (package trace). Where a trace is not sampled only that is kept up to
// date, so that everybody behind decides as it was decided at first. A nil pipeTraces is off and costs one comparison.
type pipeTraces struct {
	t        *telemetry.Tracer
	pipeline string
	system   string // of the source
	process  string // the name of an event's span

	mu      sync.Mutex
	batches map[*event.Batch]*batchSpans
}

// batchSpans are the spans of a batch in the intake.
type batchSpans struct {
	receive *telemetry.Span
	mu      sync.Mutex
	spans   []*telemetry.Span // by index; nil: not begun
}

func newTraces(t *telemetry.Tracer, c *config.Pipeline) *pipeTraces {
	if t == nil {
		return nil
	}
	return &pipeTraces{t: t, pipeline: c.Name, system: systemOf(c.Source.Plugin.Name), process: "process " + c.Name, batches: map[*event.Batch]*batchSpans{}}
}

// systemOf gives messaging.system: OpenTelemetry's name of it, else the plugin's.
func systemOf(plugin string) string {
	switch plugin {
	case "sqs":
		return "aws_sqs"
	case "sns":
		return "aws.sns"
	case "eventbridge", "put_events":
		return "aws.eventbridge"
	}
	return plugin
}

// receive begins the span of a batch, and sees that the spans of its events end with them.
func (t *pipeTraces) receive(b *event.Batch) {
	if t == nil {
		return
	}
	var links []trace.Parent
	for i := range b.Events {
		if p, ok := trace.Of(&b.Events[i]); ok && p.Sampled && len(links) < maxLinks {
			links = append(links, p)
		}
	}
	s := t.t.Start(trace.Parent{}, "receive "+t.pipeline, telemetry.Client, links,
		telemetry.Text("messaging.system", t.system), telemetry.Text("messaging.operation.type", "receive"), telemetry.Text("messaging.operation.name", "receive"),
		telemetry.Text("leat.pipeline", t.pipeline), telemetry.Number("messaging.batch.message_count", int64(len(b.Events))))
	t.follow(b, s)
}

// maxLinks is how many links a span has at most, as many as the SDK keeps.
const maxLinks = 128

// follow ties spans to a batch.
func (t *pipeTraces) follow(b *event.Batch, receive *telemetry.Span) *batchSpans {
	in := &batchSpans{receive: receive, spans: make([]*telemetry.Span, len(b.Events))}
	t.mu.Lock()
	t.batches[b] = in
	t.mu.Unlock()
	settled, done := b.OnSettle, b.OnDone
	b.OnSettle = func(i int, o event.Outcome, err error) {
		in.mu.Lock()
		s := in.spans[i]
		in.mu.Unlock()
		s.Set(telemetry.Text("leat.outcome", o.String()))
		if o == event.Poisoned {
			fail(s, err)
		}
		s.End(nil)
		if settled != nil {
			settled(i, o, err)
		}
	}
	b.OnDone = func() {
		t.mu.Lock()
		delete(t.batches, b)
		t.mu.Unlock()
		receive.End(nil)
		if done != nil {
			done()
		}
	}
	return in
}

// fail marks a span with why its event failed.
func fail(s *telemetry.Span, err error) {
	if err == nil || !s.Recording() {
		return
	}
	if errors.Is(err, errAtSink) {
		s.Fail(event.CodeSink, err.Error())
		return
	}
	steps.Fail(s, err)
}

func (t *pipeTraces) of(b *event.Batch) *batchSpans {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.batches[b]
}

// begin starts the span of the event that x has in hand, or takes it up where it is run again, and writes it into the
// event's metadata, in the batch and in hand.
func (t *pipeTraces) begin(b *event.Batch, i int, x *steps.Exec, decoded bool) {
	if t == nil {
		return
	}
	in := t.of(b)
	if in == nil { // a parked event that is sent again
		in = t.follow(b, nil)
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.spans[i] == nil {
		e := &b.Events[i]
		if decoded {
			codec.FillMetadata(e) // an envelope may have the context
		}
		parent, _ := trace.Of(e)
		var links []trace.Parent
		if in.receive.Recording() {
			links = []trace.Parent{in.receive.Parent()}
		}
		s := t.t.Start(parent, t.process, telemetry.Consumer, links)
		if s.Recording() {
			s.Set(append(eventAttrs(e), telemetry.Text("messaging.system", t.system), telemetry.Text("messaging.operation.type", "process"),
				telemetry.Text("messaging.operation.name", "process"), telemetry.Text("leat.pipeline", t.pipeline))...)
		}
		trace.Carry(e, s.Parent())
		in.spans[i] = s
	}
	x.Trace(in.spans[i])
	x.Event().Metadata = b.Events[i].Metadata
}

// eventAttrs are what a span says of its event.
func eventAttrs(e *event.Event) []telemetry.Attr {
	return append(make([]telemetry.Attr, 0, 12),
		telemetry.Text("messaging.message.id", e.ID), telemetry.Text("cloudevents.event_id", e.ID), telemetry.Text("cloudevents.event_type", e.Type), telemetry.Text("cloudevents.event_source", e.Source))
}

// committed tells of a commit, which began then and has just ended, in the spans of the events in it.
func (t *pipeTraces) committed(ds []*pending, began time.Time, err error) {
	if t == nil {
		return
	}
	for _, d := range ds {
		in := t.of(d.b)
		if in == nil {
			continue
		}
		in.mu.Lock()
		s := in.spans[d.i]
		in.mu.Unlock()
		c := s.Child("commit "+t.pipeline, telemetry.Client, began, telemetry.Text("leat.pipeline", t.pipeline), telemetry.Number("leat.commit.units", int64(len(ds))))
		if r := &d.unit.Result; c != nil {
			if n := len(r.Written); n > 0 && n == len(d.unit.Appends) {
				w := &r.Written[n-1]
				c.Set(telemetry.Text("leat.stream", d.unit.Appends[n-1].Stream.String()), telemetry.Number("leat.revision", w.Last), telemetry.Number("leat.position", w.Position))
			}
			if r.Status == eventstore.Refused {
				fail(c, r.Err)
			}
			fail(c, err)
			c.End(nil)
		}
	}
}

// relay begins the span of an event of the log on its way to a target; nil where tracing is off.
func (t *pipeTraces) relay(r *relay, e *event.Recorded) *telemetry.Span {
	if t == nil {
		return nil
	}
	parent, _ := trace.Of(&e.Event)
	s := t.t.Start(parent, "relay "+r.plan.name, telemetry.Consumer, nil)
	if !s.Recording() {
		return s
	}
	attrs := append(eventAttrs(&e.Event), telemetry.Text("messaging.system", "leat"), telemetry.Text("messaging.operation.type", "process"),
		telemetry.Text("messaging.operation.name", "relay"), telemetry.Text("leat.pipeline", t.pipeline), telemetry.Text("leat.relay", r.plan.name))
	if e.Position > 0 {
		attrs = append(attrs, telemetry.Text("leat.stream", e.Stream.String()), telemetry.Number("leat.revision", e.Revision), telemetry.Number("leat.position", e.Position))
	}
	s.Set(attrs...)
	return s
}

// begin starts the span of an event that is gathered; its items carry it.
func (g *gathered) begin(r *relay, x *steps.Exec, e *event.Recorded) *telemetry.Span {
	s := r.pipe.traces.relay(r, e)
	if s != nil {
		g.spans = append(g.spans, s)
	}
	x.Trace(s)
	return s
}

// endSpans ends the spans of what was gathered.
func (g *gathered) endSpans() {
	for _, s := range g.spans {
		s.End(nil)
	}
}

// send begins the spans of a call with these events, and has what leaves carry them.
func (r *relay) send(wave []outgoing, batch []event.Recorded) (spans []*telemetry.Span) {
	if r.pipe.traces == nil {
		return nil
	}
	for i := range wave {
		up := wave[i].Span
		s := up.Child("send "+r.plan.name, telemetry.Producer, time.Time{},
			append(eventAttrs(&batch[i].Event), telemetry.Text("messaging.system", systemOf(r.plan.sink.Name)), telemetry.Text("messaging.operation.type", "send"),
				telemetry.Text("messaging.operation.name", "send"), telemetry.Text("messaging.destination.name", r.plan.target),
				telemetry.Text("leat.pipeline", r.pipe.cfg.Name), telemetry.Text("leat.relay", r.plan.name), telemetry.Number("messaging.batch.message_count", int64(len(batch))))...)
		carried := s
		if s == nil {
			carried = up // not sampled, which is worth saying
		}
		if p := carried.Parent(); p.Valid() {
			trace.Carry(&batch[i].Event, p)
		}
		spans = append(spans, s)
	}
	return spans
}

// endSend ends the spans of a call, each with what became of its event.
func endSend(spans []*telemetry.Span, failure error) {
	var partial *event.BatchError
	errors.As(failure, &partial)
	for i, s := range spans {
		err := failure
		if partial != nil {
			err = partial.Failed[i]
		}
		fail(s, err)
		s.End(nil)
	}
}
