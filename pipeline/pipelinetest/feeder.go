package pipelinetest

import (
	"context"
	"fmt"
	"reflect"
	"sync"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/pipeline/codec"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/pattern"
	"github.com/leatdev/leat/pipeline/rawjson"
	"github.com/leatdev/leat/sources"
)

// feeder stands where a pipeline's source would: it gives what the test says. Beside it may run the real source, where
// that reads nothing but the clock and the store.
type feeder struct {
	real sources.Source // nil: none
	// pattern is the rule in front of the source: what does not match never reaches leat.
	pattern  *pattern.Pattern
	envelope event.Envelope
	in       chan *message.Message

	mu   sync.Mutex
	came []*arrival
}

// arrival is a source event and what became of it.
type arrival struct {
	id      string
	outcome event.Outcome
	err     error
	told    bool // counted in an earlier step
}

func newFeeder(p *config.Pipeline) (*feeder, error) {
	f := &feeder{in: make(chan *message.Message), envelope: p.Source.EnvelopeOf()}
	if rule := patternOf(p.Source.Plugin.Config); len(rule) > 0 {
		var err error
		if f.pattern, err = pattern.Compile(rule); err != nil {
			return nil, fmt.Errorf("pipeline %s: source: %w", p.Name, err)
		}
	}
	return f, nil
}

// patternOf gives the pattern that a source's config holds, as those have that sit behind a rule of a bus.
func patternOf(cfg any) []byte {
	v := reflect.ValueOf(cfg)
	if v.Kind() != reflect.Struct {
		return nil
	}
	if p := v.FieldByName("Pattern"); p.IsValid() {
		if x, is := p.Interface().(config.Pattern); is {
			return x.JSON
		}
	}
	return nil
}

// Traits implements sources.Described.
func (f *feeder) Traits() sources.Traits {
	if f.real != nil {
		return sources.TraitsOf(f.real)
	}
	return sources.Traits{}
}

// Subscribe implements sources.Source.
func (f *feeder) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	var more <-chan *message.Message
	if f.real != nil {
		var err error
		if more, err = f.real.Subscribe(ctx, topic); err != nil {
			return nil, err
		}
	}
	out := make(chan *message.Message)
	go func() {
		defer close(out)
		for {
			var m *message.Message
			select {
			case m = <-f.in:
			case next, ok := <-more:
				if !ok {
					more = nil
					continue
				}
				m = next
				f.watch(event.FromMessage(m))
			case <-ctx.Done():
				drain(more)
				return
			}
			select {
			case out <- m:
			case <-ctx.Done():
				drain(more)
				return
			}
		}
	}()
	return out, nil
}

// drain waits until a source that was told to stop has stopped.
func drain(more <-chan *message.Message) {
	if more == nil {
		return
	}
	for range more {
	}
}

// Close implements sources.Source.
func (f *feeder) Close() error {
	if f.real != nil {
		return f.real.Close()
	}
	return nil
}

// watch notes the outcomes of a batch.
func (f *feeder) watch(b *event.Batch) {
	came := make([]*arrival, len(b.Events))
	for i := range came {
		came[i] = &arrival{}
	}
	f.mu.Lock()
	f.came = append(f.came, came...)
	f.mu.Unlock()
	before := b.OnSettle
	b.OnSettle = func(i int, o event.Outcome, err error) {
		if before != nil {
			before(i, o, err)
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		came[i].id = b.Events[i].ID
		came[i].outcome, came[i].err = o, err
	}
}

// comes reports whether the rule in front of the source lets a body through; a bus drops what is no event.
func (f *feeder) comes(body []byte) bool {
	if f.pattern == nil {
		return true
	}
	ok, err := f.pattern.Match(body)
	return ok && err == nil
}

// send gives one body to the pipeline; id is what the test calls it. It does not wait for its end.
func (f *feeder) send(ctx context.Context, id, key string, body, metadata []byte) error {
	if !f.comes(body) {
		f.mu.Lock()
		f.came = append(f.came, &arrival{id: id, outcome: event.Filtered})
		f.mu.Unlock()
		return nil
	}
	b := &event.Batch{Events: []event.Event{{Raw: body, Metadata: metadata}}, Key: func(int) string { return key }}
	f.watch(b)
	f.mu.Lock()
	f.came[len(f.came)-1].id = id
	f.mu.Unlock()
	select {
	case f.in <- b.Message(context.WithoutCancel(ctx)):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// encode makes the body of an event as the source's envelope has it.
func (f *feeder) encode(e *event.Event) ([]byte, error) {
	e.Changed = true // the metadata is what the test says
	switch f.envelope {
	case event.Plain:
		return codec.Encode(nil, e, event.DataOnly)
	case event.CloudEvents:
		return codec.Encode(nil, e, event.CloudEvents)
	case event.SNS:
		inner, err := f.shaped(e)
		if err != nil {
			return nil, err
		}
		out := rawjson.AppendQuote([]byte(`{"Type":"Notification","MessageId":`), "sns-"+e.ID)
		out = rawjson.AppendQuote(append(out, `,"TopicArn":"arn:aws:sns:eu-west-1:123456789012:test","Message":`...), string(inner))
		return append(out, '}'), nil
	}
	return f.shaped(e)
}

// shaped writes an event as EventBridge would; what that cannot carry becomes a CloudEvent.
func (f *feeder) shaped(e *event.Event) ([]byte, error) {
	if k := rawjson.KindOf(e.Data); f.envelope != event.EventBridge && len(e.Data) > 0 && k != rawjson.KindObject {
		return codec.Encode(nil, e, event.CloudEvents)
	}
	return codec.Encode(nil, e, event.EventBridge)
}

// waiting gives the source events that have no outcome yet.
func (f *feeder) waiting() []*arrival {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []*arrival
	for _, a := range f.came {
		if a.outcome == event.Pending {
			out = append(out, a)
		}
	}
	return out
}

// take gives what became of the source events since it was last asked.
func (f *feeder) take() []*arrival {
	f.mu.Lock()
	defer f.mu.Unlock()
	var settled []*arrival
	for _, a := range f.came {
		if a.outcome != event.Pending && !a.told {
			a.told = true
			settled = append(settled, a)
		}
	}
	return settled
}
