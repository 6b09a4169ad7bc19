package admin

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/eventstore/wire"
)

const (
	// heartbeat is how often a quiet subscription sends something, so that a reader that has gone, or a connection that
	// has died, is noticed by both sides.
	heartbeat = 15 * time.Second
	// maxWait bounds a long poll, below the idle time-outs of usual proxies.
	maxWait = 55 * time.Second
	// maxPage bounds a page of a subscription.
	maxPage = 10_000
)

func (s *Server) routeSubscribe() {
	op := func(id, path, summary, words string) huma.Operation {
		return huma.Operation{OperationID: id, Method: http.MethodGet, Path: path, Summary: summary, Description: words, Tags: []string{"subscriptions"}}
	}
	follow := op("subscribe", "/subscribe", "Follow the log: what there is, then what comes",
		"To who accepts text/event-stream: server-sent events, each with the event's position as its id, so that a browser goes on where it was (Last-Event-ID); a comment every 15 s. "+
			"Else NDJSON, a page a line, and an empty line every 15 s. Through (as an id without data among server-sent events) passes events that the filter leaves out. "+
			"A reader that does not read for 30 s is cut off.")
	follow.Responses = lineResponse[wire.Page](s, "Pages of the log")
	onStore(s, Read, follow, func(ctx context.Context, st eventstore.Store, in *subscribeIn) (*Lines, error) {
		return s.subscribe(ctx, st, in)
	})
	poll := op("poll", "/poll", "Wait for what comes behind a position",
		"Answers at once where there is something, else when something comes or the time is over. The next poll goes on behind through.")
	poll.Metadata = map[string]any{patient: true}
	onStore(s, Read, poll, func(ctx context.Context, st eventstore.Store, in *pollIn) (*Body[wire.Page], error) {
		return s.poll(ctx, st, in)
	})
}

// Following is the part of an input that says where and how to follow the log.
type Following struct {
	OfStore
	Filtering
	After     string `query:"after" doc:"position, or now for what comes from here on; default: the log's beginning"`
	MaxEvents int    `query:"max_events" minimum:"0" maximum:"10000" doc:"events on a page; 0: 1000"`
	MaxBytes  int    `query:"max_bytes" minimum:"0" maximum:"67108864" doc:"bytes of events on a page, save for a single event; 0: 4 MiB"`
	Form      string `query:"form" enum:"plain,exact" default:"plain" doc:"exact: each event with all that the store has of it, for Go clients"`
}

func (f *Following) options(ctx context.Context, st eventstore.Store, last string) (eventstore.SubscribeOptions, error) {
	o := eventstore.SubscribeOptions{Filter: f.filter(), MaxEvents: f.MaxEvents, MaxBytes: f.MaxBytes}
	after := f.After
	if last != "" {
		after = last
	}
	switch after {
	case "", "start":
	case "now", "head":
		h, err := st.Head(ctx)
		if err != nil {
			return o, err
		}
		o.After = h.Position
	default:
		n, err := strconv.ParseInt(after, 10, 64)
		if err != nil || n < 0 {
			return o, badRequest("after is a position or now, not %q", after)
		}
		o.After = n
	}
	return o, nil
}

type subscribeIn struct {
	Following
	LastEventID string `header:"Last-Event-ID" doc:"position behind which server-sent events go on; before after"`
}

type pollIn struct {
	Following
	Wait string `query:"wait" doc:"how long to wait, for example 20s; at most 55s" default:"20s"`
}

func pageOf(p *eventstore.Page, form string) (wire.Page, error) {
	out := wire.Page{Through: p.Through, Head: p.Head, Events: make([]json.RawMessage, len(p.Events))}
	for i := range p.Events {
		var v any = wire.EventOf(&p.Events[i])
		if form == "exact" {
			v = wire.ExactOf(&p.Events[i])
		}
		b, err := wire.Line(v)
		if err != nil {
			return out, err
		}
		out.Events[i] = b[:len(b)-1]
	}
	return out, nil
}

func (s *Server) poll(ctx context.Context, st eventstore.Store, in *pollIn) (*Body[wire.Page], error) {
	wait, err := time.ParseDuration(in.Wait)
	if err != nil || wait < 0 {
		return nil, badRequest("wait is a time as 20s, not %q", in.Wait)
	}
	o, err := in.options(ctx, st, "")
	if err != nil {
		return nil, err
	}
	if h, err := st.Head(ctx); err != nil {
		return nil, err
	} else if wait == 0 && h.Position <= o.After {
		return &Body[wire.Page]{wire.Page{Events: []json.RawMessage{}, Through: o.After, Head: h.Position}}, nil
	}
	waiting, cancel := context.WithTimeout(ctx, min(max(wait, time.Second), maxWait))
	defer cancel()
	go func() { // a daemon that stops answers what it has
		select {
		case <-s.ending:
			cancel()
		case <-waiting.Done():
		}
	}()
	out := wire.Page{Events: []json.RawMessage{}, Through: o.After}
	for p, err := range st.Subscribe(waiting, o) {
		if err != nil {
			return nil, err
		}
		if out, err = pageOf(&p, in.Form); err != nil || len(p.Events) > 0 {
			return body(out, err)
		}
		if wait == 0 && p.Through == p.Head {
			break
		}
	}
	return &Body[wire.Page]{out}, nil
}

func (s *Server) subscribe(ctx context.Context, st eventstore.Store, in *subscribeIn) (*Lines, error) {
	o, err := in.options(ctx, st, in.LastEventID)
	if err != nil {
		return nil, err
	}
	return &Lines{func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithCancel(r.Context())
		defer cancel()
		out := newLines(w)
		form := follower{out: out, form: in.Form}
		if accepts(r, "text/event-stream") {
			out.kind = "text/event-stream"
			form.sent = true
			w.Header().Set("X-Accel-Buffering", "no") // nginx would keep events back
		}
		out.start()
		_ = out.flush() // the reader sees that it listens
		if err := s.follow(ctx, st.Subscribe(ctx, o), &form); err != nil {
			out.done(err)
		}
	}}, nil
}

// follower writes the pages of one subscription.
type follower struct {
	out  *lines
	form string
	sent bool // as server-sent events
}

func (f *follower) quiet() error {
	words := "\n"
	if f.sent {
		words = ":\n\n"
	}
	if err := f.out.write([]byte(words)); err != nil {
		return err
	}
	return f.out.flush()
}

func (f *follower) page(p *eventstore.Page) error {
	if !f.sent {
		v, err := pageOf(p, f.form)
		if err != nil {
			return err
		}
		if err := f.out.encode(v); err != nil {
			return err
		}
		return f.out.flush()
	}
	last := int64(0)
	for i := range p.Events {
		var v any = wire.EventOf(&p.Events[i])
		if f.form == "exact" {
			v = wire.ExactOf(&p.Events[i])
		}
		b, err := wire.Line(v)
		if err != nil {
			return err
		}
		last = p.Events[i].Position
		if err := f.out.write(fmt.Appendf(nil, "id: %d\ndata: %s\n", last, b)); err != nil {
			return err
		}
	}
	if last < p.Through {
		if err := f.out.write(fmt.Appendf(nil, "id: %d\n\n", p.Through)); err != nil {
			return err
		}
	}
	return f.out.flush()
}

// follow writes pages until the reader has gone or the listener ends. One page is held at a time: the log is not read
// on before the reader has taken it.
func (s *Server) follow(ctx context.Context, pages iter.Seq2[eventstore.Page, error], f *follower) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type item struct {
		page *eventstore.Page
		err  error
	}
	next, taken := make(chan item), make(chan struct{})
	go func() {
		defer close(next)
		for p, err := range pages {
			select {
			case next <- item{&p, err}:
			case <-ctx.Done():
				return
			}
			select {
			case <-taken:
			case <-ctx.Done():
				return
			}
		}
	}()
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	for {
		select {
		case i, open := <-next:
			if !open {
				return nil
			}
			if i.err != nil {
				return i.err
			}
			if f.page(i.page) != nil {
				return nil // the reader has gone
			}
			beat.Reset(heartbeat)
			select {
			case taken <- struct{}{}:
			case <-ctx.Done():
				return nil
			}
		case <-beat.C:
			if f.quiet() != nil {
				return nil // the reader has gone
			}
		case <-s.ending:
			return nil
		}
	}
}
