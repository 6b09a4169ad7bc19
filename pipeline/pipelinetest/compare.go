package pipelinetest

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/poison"
	"github.com/leatdev/leat/pipeline/table"
)

// given is what a step gave, and what is there after it.
type outcome struct {
	appended map[string][]event.Recorded // by stream
	order    []string                    // of streams
	sent     []sent
	settled  []*arrival
	waiting  []*arrival
	parked   []poison.Entry // those of this step that failed
	held     []poison.Entry
	unrouted int
}

// gather looks at what the step that was just played gave.
func (w *world) gather() (*outcome, error) {
	g := &outcome{appended: map[string][]event.Recorded{}}
	ctx := context.Background()
	w.mu.Lock()
	stores := make(map[string]eventstore.Store, len(w.stores))
	for name, st := range w.stores {
		stores[name] = st
	}
	g.sent = slices.Clone(w.sent[w.looked:])
	w.looked = len(w.sent)
	w.mu.Unlock()
	for name, st := range stores {
		for e, err := range st.ReadAll(ctx, eventstore.ReadOptions{From: w.heads[name] + 1}) {
			if err != nil {
				return nil, err
			}
			s := e.Stream.String()
			if g.appended[s] == nil {
				g.order = append(g.order, s)
			}
			c := *e
			c.Event = e.Clone()
			g.appended[s] = append(g.appended[s], c)
			w.heads[name] = max(w.heads[name], e.Position)
		}
		if w.parked[name] == nil {
			w.parked[name] = map[int64]poison.State{}
		}
		for e, err := range st.ListParked(ctx, poison.Filter{}) {
			if err != nil {
				return nil, err
			}
			if e.State == poison.Waiting || w.parked[name][e.ID] == e.State {
				continue
			}
			w.parked[name][e.ID] = e.State
			if e.State == poison.Held {
				g.held = append(g.held, e)
			} else {
				g.parked = append(g.parked, e)
			}
		}
	}
	for _, p := range w.daemon.Summary().Pipelines {
		g.unrouted += int(p.Unrouted)
	}
	w.unrouted, g.unrouted = g.unrouted, g.unrouted-w.unrouted
	for _, p := range w.under {
		g.settled = append(g.settled, w.feeds[p.Name].take()...)
		g.waiting = append(g.waiting, w.feeds[p.Name].waiting()...)
	}
	return g, nil
}

// compare gives what is not as the step expects. Last says that the test ends here.
func (w *world) compare(s *config.TestStep, last bool) ([]Failure, error) {
	g, err := w.gather()
	if err != nil {
		return nil, err
	}
	x := s.Expect
	pos := s.Pos
	if x == nil {
		x = &config.TestExpect{}
	} else {
		pos = x.Pos
	}
	c := &comparing{w: w, g: g}
	c.poisoned(x, pos)
	c.appended(x, pos)
	if err := c.tables(x); err != nil {
		return nil, err
	}
	c.forwarded(x, pos)
	c.count("committed", x.Committed, g.with(event.Committed))
	c.count("delivered", x.Delivered, g.with(event.Delivered))
	c.count("filtered", x.Filtered, g.with(event.Filtered))
	c.count("duplicate", x.Duplicate, g.with(event.Duplicate))
	c.count("dropped", x.Dropped, g.with(event.Dropped))
	if x.Unrouted.Given && x.Unrouted.N != g.unrouted {
		c.fail(&differ{first: x.Unrouted.Pos}, fmt.Sprintf("unrouted: %d, expected %d", g.unrouted, x.Unrouted.N))
	}
	c.count("waiting", x.Waiting, ids(g.waiting))
	if last && !x.Waiting.Given && len(g.waiting) > 0 && len(c.failures) == 0 {
		c.failures = append(c.failures, w.stuck(g.waiting, pos))
	}
	slices.SortStableFunc(c.failures, func(a, b Failure) int {
		return cmp.Or(strings.Compare(a.Pos.File, b.Pos.File), a.Pos.Line-b.Pos.Line, a.Pos.Col-b.Pos.Col)
	})
	return c.failures, nil
}

// stuck tells of events that never came to an end.
func (w *world) stuck(waiting []*arrival, pos config.Pos) Failure {
	f := Failure{Pos: pos, What: fmt.Sprintf("%s still in hand when the test ends: %s", are(len(waiting)), strings.Join(ids(waiting), ", "))}
	if at, ok := w.clock.Next(); ok && at.Sub(w.clock.Now()) < time.Hour {
		f.Notes = append(f.Notes, "they wait for another attempt, or for something that gives no answer: `after: 5m` moves the clock; `expect: { waiting: … }` says that it is meant so")
	} else {
		f.Notes = append(f.Notes, "nothing moves any more and nothing waits for the clock: a handler waits for something that never comes")
	}
	return f
}

func are(n int) string {
	if n == 1 {
		return "1 event is"
	}
	return fmt.Sprintf("%d events are", n)
}

func (g *outcome) with(o event.Outcome) []string {
	var out []string
	for _, a := range g.settled {
		if a.outcome == o {
			out = append(out, a.id)
		}
	}
	return out
}

func ids(list []*arrival) []string {
	var out []string
	for _, a := range list {
		out = append(out, a.id)
	}
	return out
}

// comparing gathers failures.
type comparing struct {
	w        *world
	g        *outcome
	failures []Failure
	said     bool // what went wrong inside
}

func (c *comparing) fail(d *differ, what string) {
	if d.first.Line == 0 {
		return
	}
	c.failures = append(c.failures, Failure{Pos: d.first, What: what, Diff: d.lines, Notes: c.why()})
}

// why lists what went wrong inside, which the diff does not show.
func (c *comparing) why() []string {
	if c.said {
		return nil // with the first
	}
	c.said = true
	out := c.w.notes()
	for i := range c.g.parked {
		if len(c.failures) > 0 {
			break // that is about them
		}
		e := &c.g.parked[i]
		out = append(out, fmt.Sprintf("event %s was poisoned in %s: %s: %s", e.EventID, e.Step, e.Code, firstLine(e.Reason)))
	}
	for _, o := range []event.Outcome{event.Filtered, event.Duplicate, event.Dropped, event.Released} {
		if list := c.g.with(o); len(list) > 0 {
			out = append(out, fmt.Sprintf("%s: %s", o, strings.Join(list, ", ")))
		}
	}
	return out
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}

func (c *comparing) appended(x *config.TestExpect, pos config.Pos) {
	if x.Appended != nil && len(x.Appended) == 0 && len(c.g.order) > 0 {
		d := &differ{first: pos}
		for _, s := range c.g.order {
			d.put('+', 0, s+":")
			for i := range c.g.appended[s] {
				d.put('+', 1, "- "+short(recordOf(&c.g.appended[s][i], nil)))
			}
		}
		c.fail(d, "nothing was to be appended")
	}
	for _, want := range x.Appended {
		got := c.g.appended[want.Name]
		d := &differ{}
		d.list(0, recordsOf(want.Value), values(got, want.Value), want.Pos)
		what := "appended to " + want.Name + " is something else"
		if len(got) == 0 && len(c.g.order) > 0 {
			what += "; the step appended to " + strings.Join(c.g.order, ", ")
		}
		c.fail(d, what)
	}
}

func (c *comparing) forwarded(x *config.TestExpect, pos config.Pos) {
	if x.Forwarded != nil && len(x.Forwarded) == 0 && len(c.g.sent) > 0 {
		d := &differ{first: pos}
		for i := range c.g.sent {
			d.put('+', 0, c.g.sent[i].relay+": "+short(recordOf(&c.g.sent[i].event, nil)))
		}
		c.fail(d, "nothing was to be forwarded")
	}
	for _, want := range x.Forwarded {
		pipeline, relay, _ := config.FindForward(c.w.under, want.Name)
		var got []event.Recorded
		for i := range c.g.sent {
			if s := &c.g.sent[i]; s.pipeline == pipeline && s.relay == relay {
				got = append(got, s.event)
			}
		}
		d := &differ{}
		d.list(0, recordsOf(want.Value), values(got, want.Value), want.Pos)
		c.fail(d, "forwarded by "+want.Name+" is something else")
	}
}

// recordsOf makes values of expected events.
func recordsOf(list []config.TestRecord) []config.JSON {
	out := make([]config.JSON, len(list))
	for i := range list {
		r := &list[i]
		j := config.JSON{Pos: r.Pos, Kind: config.JSONObject}
		for _, f := range []struct {
			name string
			v    config.JSON
		}{
			{"id", r.ID}, {"type", r.Type}, {"source", r.Source}, {"subject", r.Subject}, {"time", r.Time}, {"revision", r.Revision},
			{"data", r.Data}, {"metadata", r.Metadata}, {"body", r.Body},
		} {
			if !f.v.IsZero() {
				j.Fields = append(j.Fields, config.JSONField{Name: f.name, Pos: f.v.Pos, Value: f.v})
			}
		}
		out[i] = j
	}
	return out
}

func values(list []event.Recorded, want []config.TestRecord) []any {
	out := make([]any, len(list))
	for i := range list {
		out[i] = recordOf(&list[i], want)
	}
	return out
}

// recordOf makes a value of an event. Metadata and body, which are long, are in it where one that is expected has them.
func recordOf(e *event.Recorded, want []config.TestRecord) any {
	body := slices.ContainsFunc(want, func(r config.TestRecord) bool { return !r.Body.IsZero() })
	metadata := slices.ContainsFunc(want, func(r config.TestRecord) bool { return !r.Metadata.IsZero() })
	m := map[string]any{"id": e.ID, "type": e.Type, "source": e.Source, "data": read(e.Data)}
	if e.Subject != "" {
		m["subject"] = e.Subject
	}
	if !e.Time.IsZero() {
		m["time"] = e.Time.UTC().Format(time.RFC3339Nano)
	}
	if e.Revision > 0 {
		m["revision"] = read(fmt.Appendf(nil, "%d", e.Revision))
	}
	if metadata && len(e.Metadata) > 0 {
		m["metadata"] = read(e.Metadata)
	}
	if body {
		m["body"] = read(e.Raw)
	}
	return m
}

func (c *comparing) tables(x *config.TestExpect) error {
	for _, want := range x.Tables {
		got, err := c.w.rows(want.Name)
		if err != nil {
			return err
		}
		d := &differ{}
		d.set(0, want.Value, got, want.Pos)
		c.fail(d, "the rows of "+want.Name+" are others")
	}
	return nil
}

// rows gives the rows of a table, wherever it is; none where there is no such table yet.
func (w *world) rows(name string) ([]any, error) {
	ctx := context.Background()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, st := range w.stores {
		infos, err := st.Tables().Tables(ctx)
		if err != nil {
			return nil, err
		}
		if !slices.ContainsFunc(infos, func(i table.Info) bool { return i.Def.Name == name }) {
			continue
		}
		def, rows, err := st.Tables().Query(ctx, table.Query{Table: name})
		if err != nil {
			return nil, err
		}
		var out []any
		for row, err := range rows {
			if err != nil {
				return nil, err
			}
			out = append(out, read(table.AppendRowJSON(nil, &def, row)))
		}
		return out, nil
	}
	return nil, nil
}

func (c *comparing) count(name string, want config.TestCount, got []string) {
	if !want.Given {
		return
	}
	if want.IDs == nil {
		if want.N == len(got) {
			return
		}
		what := fmt.Sprintf("%s: %d, expected %d", name, len(got), want.N)
		if len(got) > 0 {
			what += "; they are " + strings.Join(got, ", ")
		}
		d := &differ{first: want.Pos}
		c.fail(d, what)
		return
	}
	w, g := slices.Sorted(slices.Values(want.IDs)), slices.Sorted(slices.Values(got))
	if slices.Equal(w, g) {
		return
	}
	d := &differ{first: want.Pos}
	for _, id := range w {
		if slices.Contains(g, id) {
			d.put(' ', 0, "- "+id)
		} else {
			d.put('-', 0, "- "+id)
		}
	}
	for _, id := range g {
		if !slices.Contains(w, id) {
			d.put('+', 0, "- "+id)
		}
	}
	c.fail(d, name+" are others")
}

func (c *comparing) poisoned(x *config.TestExpect, pos config.Pos) {
	entries := c.g.parked
	if slices.ContainsFunc(x.Poisoned, func(p config.TestPoisoned) bool { return p.State == "held" }) {
		entries = append(slices.Clone(entries), c.g.held...)
	}
	got := make([]any, len(entries))
	for i := range entries {
		e := &entries[i]
		got[i] = map[string]any{"code": e.Code, "step": e.Step, "reason": firstLine(e.Reason), "id": e.EventID, "type": e.Type, "state": string(e.State)}
	}
	want := make([]config.JSON, len(x.Poisoned))
	for i := range x.Poisoned {
		want[i] = poisonedOf(&x.Poisoned[i], got)
	}
	d := &differ{}
	d.set(0, want, got, pos)
	if d.first.Line == 0 {
		return
	}
	what := "poisoned are other events"
	if len(want) == 0 {
		what = are(len(got)) + " poisoned, which the test does not expect"
	}
	c.failures = append(c.failures, Failure{Pos: d.first, What: what, Diff: d.lines})
}

// poisonedOf makes a value of an expected entry. A part of the reason stands for a whole one that holds it.
func poisonedOf(p *config.TestPoisoned, got []any) config.JSON {
	j := config.JSON{Pos: p.Pos, Kind: config.JSONObject}
	put := func(name, text string) {
		if text != "" {
			j.Fields = append(j.Fields, config.JSONField{Name: name, Pos: p.Pos, Value: config.JSON{Pos: p.Pos, Kind: config.JSONString, Text: text}})
		}
	}
	put("code", p.Code)
	put("step", p.Step)
	put("id", p.ID)
	put("type", p.Type)
	put("state", p.State)
	reason := p.Reason
	for _, g := range got {
		m, _ := g.(map[string]any)
		if s, _ := m["reason"].(string); reason != "" && strings.Contains(s, reason) && matches(&j, g) {
			reason = s
			break
		}
	}
	put("reason", reason)
	return j
}
