package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/leatdev/leat/pipeline/control"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/poison"
)

// replayKey is the cursor under which a store keeps a replay; its id follows.
const replayKey = "$leat/replay "

// replayState is what a store keeps of a replay: it is its checkpoint.
type replayState struct {
	Ask    control.Replay `json:"ask"`
	Relay  string         `json:"relay"` // id
	After  int64          `json:"after"`
	To     int64          `json:"to"`
	At     int64          `json:"at"`
	Events int64          `json:"events"`
	Total  int64          `json:"total,omitempty"`
}

// replaying sends a part of the log once more through a forward: a relay for a time, with a range, a checkpoint and
// parked events of its own. The live relay does not know of it.
type replaying struct {
	*job
	state  replayState
	key    string
	shadow *relay
	// streams are wanted; types of streams are in the log's own filter.
	streams []string
	filter  eventstore.Filter
}

// keep writes the checkpoint, with what was parked or sent again.
func (b *replaying) keep(ctx context.Context, park []poison.Entry, unpark []int64) error {
	text, err := json.Marshal(b.state)
	if err != nil {
		return err
	}
	u := &eventstore.Unit{Pipeline: b.p.cfg.Name, Cursor: &event.Cursor{Key: b.key, Value: string(text)}, Park: park, Unpark: unpark}
	fence := b.shadow.term.Load().now()
	if err := b.p.store.Commit(ctx, []*eventstore.Unit{u}, eventstore.CommitOptions{Fence: &fence}); err != nil {
		return err
	}
	return u.Result.Err
}

// forwardOf finds a forward by its name, its id or its target.
func (p *pipe) forwardOf(name string) (*relayPlan, error) {
	unknown := &control.UnknownError{Kind: "forward", Name: name}
	for _, r := range p.plan.relays {
		if r.kind != kindForward {
			continue
		}
		if r.name == name || r.id == name {
			return r, nil
		}
		unknown.Have = append(unknown.Have, r.name)
	}
	return nil, unknown
}

// newReplaying plans a replay by what was asked, or by what the store kept of one.
func (p *pipe) newReplaying(ctx context.Context, a control.Replay, kept *replayState) (*replaying, error) {
	plan, err := p.forwardOf(a.Relay)
	if err != nil {
		return nil, err
	}
	if !p.plan.log {
		return nil, &control.RefusedError{Why: fmt.Sprintf("%s appends nothing: there is no log to replay from", p.cfg.Name)}
	}
	b := &replaying{job: p.newWork(control.ReplayWork, plan, a.Throttle)}
	b.now.DryRun = a.DryRun
	b.key = replayKey + b.now.ID
	if kept != nil {
		b.state = *kept
	} else {
		b.state = replayState{Ask: a, Relay: plan.id}
		if b.state.After, b.state.To, err = p.span(ctx, a); err != nil {
			return nil, err
		}
		b.state.At = b.state.After
	}
	b.begun = b.state.At - b.state.After
	b.now.Done, b.now.Total, b.now.Events = b.begun, b.state.To-b.state.After, b.state.Events
	rp := *plan
	rp.id, rp.name = plan.id+"#"+b.now.ID, plan.name+"#"+b.now.ID
	b.shadow = &relay{pipe: p, plan: &rp, wake: make(chan struct{}, 1), moved: make(chan struct{}, 1)}
	b.shadow.seen.Store(b.state.At)
	b.shadow.position.Store(b.state.At)
	b.filter = b.shadow.selects()
	b.filter.Types = narrowed(b.filter.Types, a.Types)
	var types []string
	for _, s := range a.Streams {
		typ, _, one := strings.Cut(s, "/")
		if one {
			b.streams = append(b.streams, s)
		}
		types = append(types, typ)
	}
	if b.streams != nil {
		for _, s := range a.Streams {
			if !strings.Contains(s, "/") {
				b.streams = append(b.streams, s)
			}
		}
	}
	b.filter.StreamTypes = narrowed(b.filter.StreamTypes, types)
	return b, nil
}

// narrowed gives what is in both of two selections, of which an empty one selects everything.
func narrowed(a, b []string) []string {
	if len(a) == 0 {
		return b
	}
	if len(b) == 0 {
		return a
	}
	var out []string
	for _, v := range b {
		if slices.Contains(a, v) {
			out = append(out, v)
		}
	}
	if out == nil {
		out = []string{""} // nothing is called so
	}
	return out
}

// span gives the range of a replay: behind one position, up to another.
func (p *pipe) span(ctx context.Context, a control.Replay) (after, to int64, err error) {
	head, err := p.reader.Head(ctx)
	if err != nil {
		return 0, 0, fmt.Errorf("store: %w", err)
	}
	to = head.Position
	for _, f := range []struct {
		name, value string
		set         func(eventstore.Place) error
	}{
		{"from", a.From, func(place eventstore.Place) error {
			after, err = place.After(ctx, p.reader)
			if place.Time.IsZero() && !place.Now && after > 0 {
				after-- // it is to be sent too
			}
			return err
		}},
		{"to", a.To, func(place eventstore.Place) error {
			at, err := place.Through(ctx, p.reader)
			to = min(at, head.Position)
			return err
		}},
	} {
		if f.value == "" {
			continue
		}
		place, err := eventstore.ParsePlace(f.value)
		if err != nil {
			return 0, 0, &control.RefusedError{Why: f.name + ": " + err.Error()}
		}
		if err := f.set(place); err != nil {
			return 0, 0, err
		}
	}
	if after > to {
		after = to
	}
	return after, to, nil
}

// wants reports whether an event is among the streams that were asked for.
func (b *replaying) wants(s event.Stream) bool {
	return b.streams == nil || slices.Contains(b.streams, s.String()) || slices.Contains(b.streams, s.Type)
}

// pages reads the range from where it stands.
func (b *replaying) pages(ctx context.Context, each func(page *eventstore.Page) error) error {
	if b.state.At >= b.state.To {
		return nil
	}
	o := eventstore.SubscribeOptions{After: b.state.At, Filter: b.filter, MaxEvents: b.pageSize(b.p.plan.relays[0].frame.Batch.Events), MaxBytes: 4 << 20}
	for page, err := range b.p.reader.Subscribe(ctx, o) {
		if err != nil {
			return fmt.Errorf("the log: %w", err)
		}
		page.Events = slices.DeleteFunc(page.Events, func(e event.Recorded) bool { return e.Position > b.state.To || !b.wants(e.Stream) })
		page.Through, page.Head = min(page.Through, b.state.To), b.state.To
		if err := b.slow(ctx, len(page.Events)); err != nil {
			return err
		}
		if err := each(&page); err != nil || page.Through >= b.state.To {
			return err
		}
	}
	return errStopped
}

// count is a dry run.
func (b *replaying) count(ctx context.Context) error {
	b.limiter = nil
	return b.pages(ctx, func(page *eventstore.Page) error {
		g, err := b.shadow.gather(page.Events, page.Through)
		if err != nil {
			return err
		}
		src := map[int]bool{}
		for i := range g.items {
			src[g.items[i].Src] = true
		}
		b.shadow.holding.restore(held{})
		b.at(func(s *control.Work) {
			s.Done, s.Events, s.Parked = page.Through-b.state.After, s.Events+int64(len(src)), s.Parked+int64(len(g.park))
		})
		return nil
	})
}

// run sends the range, then waits until nothing of it is parked any more; with stay false it leaves that to the next run.
func (b *replaying) run(ctx context.Context, sink *forwardTarget, stay bool) (err error) {
	p, r := b.p, b.shadow
	r.target = &replayTarget{forwardTarget: &forwardTarget{sink: sink.sink, shared: true}, replay: b}
	t, release, err := p.holdLease(ctx, r.plan.id)
	if err != nil {
		return err
	}
	defer release()
	ctx, end := under(ctx, t)
	defer end()
	defer func() {
		if overtaken(ctx, t, err) {
			err = errStopped // another replica, or the next run, goes on where the checkpoint is
		}
	}()
	r.term.Store(t)
	r.mine.Store(true)
	if err := b.keep(ctx, nil, nil); err != nil {
		return fmt.Errorf("store: %w", err)
	}
	for e, err := range p.store.ListParked(ctx, poison.Filter{Relay: r.plan.id}) {
		if err != nil {
			return fmt.Errorf("list parked events: %w", err)
		}
		r.holdAt(e.Stream, e.Position)
	}
	p.addReplay(r)
	defer p.dropReplay(r)
	defer func() {
		if errors.Is(context.Cause(ctx), errCancelled) || err == nil {
			err = errors.Join(err, b.strike(context.WithoutCancel(ctx)))
		}
	}()
	p.log.Info("replay begins", "work", b.now.ID, "relay", b.state.Ask.Relay, "after", b.state.At, "to", b.state.To)
	err = b.pages(ctx, func(page *eventstore.Page) error {
		select {
		case <-r.wake:
			if err := r.again(ctx); err != nil {
				return err
			}
		default:
		}
		if err := r.page(ctx, page); err != nil {
			return err
		}
		return r.target.commit(ctx, r, page.Through, nil, nil)
	})
	for err == nil {
		n, _, e := p.store.CountParked(ctx, poison.Filter{Relay: r.plan.id})
		if e != nil || n == 0 {
			return e
		}
		b.at(func(s *control.Work) { s.State = control.Waiting })
		if !stay {
			return ErrParkedReplay
		}
		select {
		case <-r.wake:
			err = r.again(ctx)
		case <-ctx.Done():
			err = errStopped
		}
	}
	return err
}

// ErrParkedReplay says that everything was read, and something of it is parked.
var ErrParkedReplay = errors.New("pipeline: events of the replay are parked")

// strike forgets the replay, and what it has parked: the log has it still.
func (b *replaying) strike(ctx context.Context) error {
	n, err := b.p.store.DropParked(ctx, poison.Filter{Relay: b.shadow.plan.id})
	if err != nil {
		return fmt.Errorf("drop parked events: %w", err)
	}
	if n > 0 {
		b.p.log.Warn("events that the replay had parked are dropped with it; the log has them still", "work", b.now.ID, "events", n)
	}
	fence := b.shadow.term.Load().now()
	return b.p.keepWork(ctx, b.key, none, &fence)
}

// addReplay lets parked events of a replay be sent again.
func (p *pipe) addReplay(r *relay) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.replays = append(slices.Clone(p.replays), r)
}

func (p *pipe) dropReplay(r *relay) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.replays = slices.DeleteFunc(slices.Clone(p.replays), func(o *relay) bool { return o == r })
}

func (p *pipe) replaysNow() []*relay {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.replays
}

// Replay begins to send a part of the log once more. It goes on until it is done or cancelled, over stops and kills of
// the daemon; what is on its way at a kill is sent twice.
func (d *Daemon) Replay(ctx context.Context, a control.Replay) (control.Work, error) {
	x, err := d.postOf(a.Pipeline)
	if err != nil {
		return control.Work{}, err
	}
	x.turn.Lock()
	defer x.turn.Unlock()
	if d.pausedNow(x) == control.PausedAll {
		return control.Work{}, &control.BusyError{Why: fmt.Sprintf("the pipeline %s is paused: resume it first", a.Pipeline)}
	}
	b, err := x.pipe.newReplaying(ctx, a, nil)
	if err != nil {
		return control.Work{}, err
	}
	return d.beginReplay(b)
}

func (d *Daemon) beginReplay(b *replaying) (control.Work, error) {
	sink, err := b.p.sinkOf(b.state.Relay)
	if err != nil {
		return control.Work{}, err
	}
	err = d.begin(b.job, func(ctx context.Context) error {
		if b.now.DryRun {
			return b.count(ctx)
		}
		return b.run(ctx, sink, true)
	})
	return b.status(), err
}

// sinkOf gives the target of a running forward.
func (p *pipe) sinkOf(id string) (*forwardTarget, error) {
	for _, r := range p.relays {
		if t, ok := r.target.(*forwardTarget); ok && (r.plan.id == id || strings.HasPrefix(r.plan.id, id+"#")) {
			return t, nil
		}
	}
	return nil, &control.BusyError{Why: fmt.Sprintf("the relay %s does not run", id)}
}

// keptReplay is a replay as the store has it.
func (p *pipe) keptReplay(key, value string) (*replaying, error) {
	var s replayState
	if err := json.Unmarshal([]byte(value), &s); err != nil {
		return nil, err
	}
	a := s.Ask
	a.Relay = s.Relay
	b, err := p.newReplaying(p.hard, a, &s)
	if err != nil {
		return nil, err
	}
	id := strings.TrimPrefix(key, replayKey)
	was := b.now.ID
	b.now.ID, b.key = id, key
	b.shadow.plan.id = strings.TrimSuffix(b.shadow.plan.id, was) + id
	b.shadow.plan.name = strings.TrimSuffix(b.shadow.plan.name, was) + id
	return b, nil
}
