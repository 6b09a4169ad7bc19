package cmd

import (
	"context"
	"iter"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/eventstore/wire"
)

// following is what of a log is watched.
type following struct {
	since   string
	last    int64
	filter  eventstore.Filter
	streams []*regexp.Regexp
}

func (a *app) tailStore() *cobra.Command {
	var (
		t tailing
		p place
		w following
	)
	c := &cobra.Command{
		Use:   "store [STREAM…] [FILE]",
		Short: "Follow an event store",
		Long: `Show events as they are committed: of the whole log, or of the streams named, where * stands for any
text ("order/*", "*/o-1"). --since starts at a position of the log or a time, --last with the last events.

As JSON an event has the form of "leat store read".`,
		Example: `  leat tail store pipeline.yaml
  leat tail store 'order/*' --since 2h --type OrderPaid
  leat tail store --since 1200 -n 10 --template '{{ position }} {{ stream }} {{ type }} {{ data.amount }}'`,
		RunE: func(c *cobra.Command, args []string) error {
			if err := t.prepare(a, true); err != nil {
				return err
			}
			if err := w.streamsOf(p.take(args)); err != nil {
				return err
			}
			if w.last < 0 || w.last > 0 && w.since != "" {
				return usagef("--last counts from 0 and does not go with --since")
			}
			from, at, err := w.start(a.now())
			if err != nil {
				return err
			}
			ctx, stop := a.untilHangup(c.Context())
			defer stop()
			st, err := a.open(ctx, &p, false)
			if err != nil {
				return err
			}
			defer st.Close()
			return a.follow(ctx, &t, func(ctx context.Context, show func(*tailed) error) error {
				return w.watch(ctx, st, from, at, show)
			})
		},
	}
	t.flags(c)
	p.flags(c)
	f := c.Flags()
	f.StringVar(&w.since, "since", "", "start at a position (1200), a time (2026-01-31T08:00:00Z, a date) or a span (2h, 3d); default: now")
	f.Int64Var(&w.last, "last", 0, "start with the last so many events")
	f.StringArrayVar(&w.filter.Types, "type", nil, "only events of this type; may be repeated")
	f.StringArrayVar(&w.filter.StreamTypes, "stream-type", nil, "only streams of this type; may be repeated")
	f.StringArrayVar(&w.filter.Origins, "origin", nil, "only what this pipeline appended; may be repeated")
	return c
}

// streamsOf reads the streams among the arguments: type/id, with * for any text.
func (w *following) streamsOf(args []string) error {
	types := map[string]bool{}
	for _, s := range args {
		typ, id, ok := strings.Cut(s, "/")
		if !ok || typ == "" || id == "" {
			return usagef("%q is no stream: a stream is written type/id, * stands for any text", s)
		}
		w.streams = append(w.streams, regexp.MustCompile(`(?s)\A`+strings.ReplaceAll(regexp.QuoteMeta(s), `\*`, `.*`)+`\z`))
		types[typ] = true
	}
	// The store selects by type where none has a star in it.
	if len(w.filter.StreamTypes) == 0 && !slices.ContainsFunc(args, func(s string) bool { typ, _, _ := strings.Cut(s, "/"); return strings.Contains(typ, "*") }) {
		for typ := range types {
			w.filter.StreamTypes = append(w.filter.StreamTypes, typ)
		}
	}
	return nil
}

// start reads --since: a position that is to be shown first, or a time.
func (w *following) start(now time.Time) (position int64, at time.Time, err error) {
	if n, e := strconv.ParseInt(w.since, 10, 64); e == nil {
		if n < 1 {
			return 0, at, usagef("--since: positions count from 1")
		}
		return n, at, nil
	}
	at, err = since(w.since, now)
	return 0, at, err
}

func (w *following) wants(e *event.Recorded) bool {
	if len(w.streams) == 0 {
		return true
	}
	name := e.Stream.String()
	return slices.ContainsFunc(w.streams, func(r *regexp.Regexp) bool { return r.MatchString(name) })
}

// watch shows what there is from the start on, then what comes.
func (w *following) watch(ctx context.Context, st access, from int64, at time.Time, show func(*tailed) error) error {
	h, err := st.Head(ctx)
	if err != nil {
		return err
	}
	after := h.Position
	switch {
	case from > 0:
		after = from - 1
	case !at.IsZero():
		// Times never go back along the log: the first event since then is where it starts.
		for e, err := range st.ReadAll(ctx, eventstore.ReadOptions{SinceTime: at, Max: 1}) {
			if err != nil {
				return err
			}
			after = e.Position - 1
		}
	case w.last > 0 && after > 0:
		if err := w.showLast(ctx, st, after, show); err != nil {
			return err
		}
	}
	for page, err := range pages(ctx, st, eventstore.SubscribeOptions{After: after, Filter: w.filter}) {
		if err != nil {
			return err
		}
		for i := range page.Events {
			if !w.wants(&page.Events[i]) {
				continue
			}
			if err := show(ofStore(&page.Events[i])); err != nil {
				return err
			}
		}
	}
	return ctx.Err()
}

// showLast shows the last events up to a position, the oldest first.
func (w *following) showLast(ctx context.Context, st access, head int64, show func(*tailed) error) error {
	var last []*event.Recorded
	for e, err := range st.ReadAll(ctx, eventstore.ReadOptions{From: head, Backwards: true, Filter: w.filter}) {
		if err != nil {
			return err
		}
		if !w.wants(e) {
			continue
		}
		own := *e
		own.Event = e.Clone()
		if last = append(last, &own); int64(len(last)) == w.last {
			break
		}
	}
	for _, e := range slices.Backward(last) {
		if err := show(ofStore(e)); err != nil {
			return err
		}
	}
	return nil
}

// pollEvery is how often a store that cannot be subscribed to is asked for its head.
const pollEvery = 500 * time.Millisecond

// pages follows a log: by the store's own subscription, or, over a daemon's API, by asking.
func pages(ctx context.Context, st access, o eventstore.SubscribeOptions) iter.Seq2[eventstore.Page, error] {
	if s, ok := st.(interface {
		Subscribe(context.Context, eventstore.SubscribeOptions) iter.Seq2[eventstore.Page, error]
	}); ok {
		return s.Subscribe(ctx, o)
	}
	return func(yield func(eventstore.Page, error) bool) {
		for after := o.After; ; {
			h, err := st.Head(ctx)
			if err != nil {
				yield(eventstore.Page{}, err)
				return
			}
			if h.Position > after {
				for e, err := range st.ReadAll(ctx, eventstore.ReadOptions{From: after + 1, To: h.Position, Filter: o.Filter}) {
					if err != nil {
						yield(eventstore.Page{}, err)
						return
					}
					if !yield(eventstore.Page{Events: []event.Recorded{*e}, Through: e.Position, Head: h.Position}, nil) {
						return
					}
				}
				after = h.Position
			}
			if pause(ctx, pollEvery) != nil {
				return
			}
		}
	}
}

func ofStore(e *event.Recorded) *tailed {
	at := e.Committed
	if at.IsZero() {
		at = e.Time
	}
	t := &tailed{ev: *e, decoded: true, at: at, title: []string{e.Type, e.Source}, body: e.Data, meta: e.Metadata}
	t.facts = []fact{{"subject", e.Subject}, {"id", e.ID}, {"origin", e.Origin}}
	if !e.Stream.IsZero() {
		t.facts = append([]fact{{"stream", e.Stream.String() + "@" + strconv.FormatInt(e.Revision, 10)}, {"position", strconv.FormatInt(e.Position, 10)}}, t.facts...)
	}
	t.json = func() (any, error) { return wire.EventOf(e), nil }
	return t
}
