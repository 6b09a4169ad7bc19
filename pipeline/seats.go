package pipeline

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/pipeline/clock"
	"github.com/leatdev/leat/pipeline/eventstore"
)

// seat is something of a pipeline that one replica does at a time: a relay, a shard of one, the intake of a source that
// one alone may read. Whoever has the lease of its name sits on it, others stand by.
type seat struct {
	name  string
	given chan *tenure // told of a tenure that begins
	// until gives what ends every tenure softly.
	until func() context.Context

	// What follows is guarded by seats.mu.
	held    *tenure
	owner   string // who sits there, as far as is known
	retired bool   // this process has no more use for it
}

// await gives the next tenure, nil when ctx ends before one begins.
func (s *seat) await(ctx context.Context) *tenure {
	select {
	case t := <-s.given:
		return t
	default:
	}
	select {
	case t := <-s.given:
		return t
	case <-ctx.Done():
		return nil
	}
}

// seats takes and keeps the leases of a pipeline. Where several processes may have the store open, they share the seats
// evenly: who is to have which follows from who is there alone (see share), so that all come to the same answer.
type seats struct {
	p *pipe
	// replicas is nil where the store is one process's own: then all seats are its own, and one that is lost is a fault.
	replicas eventstore.Replicas
	me       eventstore.Replica
	specs    []eventstore.RelaySpec
	ttl      time.Duration
	all      []*seat

	mu     sync.Mutex
	roster eventstore.Roster
	joined time.Time // the last time that went through
	left   bool
	freed  chan struct{} // told when a seat was given up
}

func (p *pipe) newSeats() *seats {
	s := &seats{p: p, ttl: p.cfg.Lease, freed: make(chan struct{}, 1)}
	s.me = eventstore.Replica{Pipeline: p.cfg.Name, Owner: p.env.instance(p.store), Definition: p.definition()}
	s.replicas, _ = p.store.(eventstore.Replicas)
	return s
}

// definition is a hash over all that the pipeline's files say of it.
func (p *pipe) definition() string {
	text := config.Meaning(*p.cfg)
	for _, name := range slices.Sorted(maps.Keys(p.env.tables)) {
		if slices.ContainsFunc(config.AllSteps(p.cfg.Steps), func(s *config.Step) bool { return s.Project != nil && s.Project.Table == name }) {
			text += config.Meaning(*p.env.tables[name])
		}
	}
	return config.Hash(text)
}

func (s *seats) add(name string, until func() context.Context) *seat {
	x := &seat{name: name, given: make(chan *tenure, 1), until: until}
	s.all = append(s.all, x)
	return x
}

// join registers the pipeline's relays and says that this process runs it.
func (s *seats) join(ctx context.Context) error {
	if s.replicas == nil {
		_, err := s.p.store.SetRelays(ctx, s.me.Pipeline, s.specs)
		return err
	}
	r, err := s.replicas.Join(ctx, s.me, s.ttl, s.specs)
	if err != nil {
		return err
	}
	s.me.Generation = r.Generation
	s.joined = s.p.now()
	return s.look(ctx)
}

// look reads who is there.
func (s *seats) look(ctx context.Context) error {
	names := make([]string, len(s.all))
	for i, x := range s.all {
		names[i] = x.name
	}
	roster, err := s.replicas.Roster(ctx, s.me.Pipeline, names)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.roster = roster
	for _, x := range s.all {
		x.owner = ""
		if i := slices.IndexFunc(roster.Leases, func(l eventstore.Lease) bool { return l.Name == x.name }); i >= 0 {
			x.owner = roster.Leases[i].Owner
		}
	}
	return nil
}

// older reports whether daemons with a newer definition of the pipeline are there: they have its seats.
func (s *seats) older() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.replicas != nil && s.me.Generation < s.roster.Newest()
}

// outdated is older for a process that has not joined yet: its definition is known, and a newer one is there.
func (s *seats) outdated(ctx context.Context) bool {
	if s.replicas == nil {
		return false
	}
	r, err := s.replicas.Roster(ctx, s.me.Pipeline, nil)
	g, seen := r.Generations[s.me.Definition]
	return err == nil && seen && g < r.Newest()
}

// mine reports whether this process is to have a seat. The lock is held.
func (s *seats) mine(x *seat) bool {
	if x.retired {
		return false
	}
	if s.replicas == nil {
		return true
	}
	var owners []string
	newest := s.roster.Newest()
	for _, r := range s.roster.Replicas {
		if r.Generation == newest {
			owners = append(owners, r.Owner)
		}
	}
	names := make([]string, len(s.all))
	for i, y := range s.all {
		names[i] = y.name
	}
	return !s.left && share(names, owners)[x.name] == s.me.Owner
}

// due reports whether a seat is, or is to be, this process's.
func (s *seats) due(x *seat) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mine(x)
}

// retire says that this process needs a seat no more: its input has ended.
func (s *seats) retire(x *seat) {
	s.mu.Lock()
	defer s.mu.Unlock()
	x.retired = true
}

// status says who has a seat, and whether this process stands by for it.
func (s *seats) status(x *seat) (owner string, standby bool) {
	if s == nil || x == nil {
		return "", false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return x.owner, x.held == nil
}

// acquire takes the lease of a seat that is this process's; nil where another still has it.
func (s *seats) acquire(ctx context.Context, x *seat) (*tenure, error) {
	begun := s.p.now()
	l, err := s.p.store.Acquire(ctx, x.name, s.me.Owner, s.ttl)
	if err == nil && s.replicas != nil {
		// Whoever had it under the same name, perhaps a process that was started again, is fenced by a new epoch.
		if err = s.p.store.Release(ctx, l); err == nil {
			l, err = s.p.store.Acquire(ctx, x.name, s.me.Owner, s.ttl)
		}
	}
	switch {
	case errors.Is(err, eventstore.ErrHeld) && s.replicas != nil:
		return nil, nil
	case err != nil:
		return nil, err
	}
	t := &tenure{lease: l, renewed: begun}
	s.mu.Lock()
	defer s.mu.Unlock()
	x.held, x.owner = t, s.me.Owner
	return t, nil
}

// first is acquire as the pipeline is opened. Where a store is one process's own, a lease that another has is an error.
func (s *seats) first(ctx context.Context, x *seat) (*tenure, error) {
	s.mu.Lock()
	mine := s.mine(x) && (x.owner == "" || x.owner == s.me.Owner)
	s.mu.Unlock()
	if !mine {
		return nil, nil
	}
	return s.acquire(ctx, x)
}

// begin lets a tenure begin: now the pipeline runs.
func (s *seats) begin(x *seat, t *tenure) {
	var hard context.Context
	hard, t.endHard = context.WithCancelCause(s.p.hard)
	t.hard = hard
	t.stop, t.endStop = context.WithCancel(x.until())
	if s.replicas != nil {
		// By this machine's time from before the call on: it ends here before it ends in the database.
		t.deadline = s.p.clock.AfterFunc(s.ttl-s.p.now().Sub(t.renewed), func() {
			t.lose(fmt.Errorf("%w: the lease of %s could not be renewed for %s", eventstore.ErrFenced, x.name, s.ttl))
		})
	}
	x.given <- t
}

// start lets the tenures begin that were taken as the pipeline was opened.
func (s *seats) start() {
	for _, x := range s.all {
		if x.held != nil {
			s.begin(x, x.held)
		}
	}
}

// lose ends the tenure of a seat, if there is one.
func (s *seats) lose(x *seat, why error) {
	s.mu.Lock()
	t := x.held
	s.mu.Unlock()
	if t != nil {
		t.lose(why)
	}
}

// give ends a tenure whose work is over: the seat is free at once. Why says so in the log.
func (s *seats) give(x *seat, t *tenure) {
	var why error
	if t.endHard != nil { // it began
		why = t.lost()
		t.lose(context.Canceled)
	}
	if t.deadline != nil {
		t.deadline.Stop()
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := s.p.store.Release(ctx, t.now()); err != nil && !errors.Is(err, eventstore.ErrClosed) {
		s.p.log.Warn("a lease was not released; it will run out", "lease", x.name, "error", err)
	}
	s.mu.Lock()
	x.held = nil
	if x.owner == s.me.Owner {
		x.owner = ""
	}
	s.mu.Unlock()
	select {
	case s.freed <- struct{}{}:
	default:
	}
	switch {
	case t.endHard == nil, s.p.hard.Err() != nil || s.p.relaysStop.Err() != nil:
	case why != nil && s.replicas == nil:
		s.p.fail(fmt.Errorf("%s: %w", x.name, why))
	case why != nil:
		s.p.log.Warn("another replica takes over; standing by", "seat", x.name, "reason", why)
	case s.replicas == nil || s.p.soft.Err() != nil || s.isRetired(x):
		// The run, or its input, comes to its end: there is nobody to stand by.
	default:
		s.p.log.Info("given up to another replica; standing by", "seat", x.name)
	}
}

func (s *seats) isRetired(x *seat) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return x.retired
}

// every is how often leases are renewed and seats looked at.
func (s *seats) every() time.Duration {
	if s.replicas == nil {
		return s.ttl / 3
	}
	return min(s.ttl/3, time.Second) // so soon is a seat taken that another gave up
}

// showsTheDead reports whether a replica that was there at a moment may have been dead by then: it stays in the roster for
// as long as a lease runs.
func (s *seats) showsTheDead(at time.Time) bool {
	return s.replicas != nil && s.p.now().Sub(at) < s.ttl+2*s.every()
}

// keep holds and takes leases until the relays stop and all seats are given up.
func (s *seats) keep() {
	if len(s.all) == 0 && s.joined.IsZero() {
		return
	}
	tick := s.p.clock.NewTicker(s.every())
	defer tick.Stop()
	leave := s.p.soft.Done()
	for {
		select {
		case <-s.p.relaysStop.Done():
			s.leave()
			s.finish()
			return
		case <-leave:
			leave = nil
			s.leave()
			continue
		case <-tick.C:
		}
		s.round()
	}
}

// finish renews the leases of what is still under way after the relays were stopped.
func (s *seats) finish() {
	tick := s.p.clock.NewTicker(s.ttl / 3)
	defer tick.Stop()
	for s.p.hard.Err() == nil {
		s.mu.Lock()
		busy := slices.ContainsFunc(s.all, func(x *seat) bool { return x.held != nil })
		s.mu.Unlock()
		if !busy {
			return
		}
		select {
		case <-s.freed:
		case <-s.p.hard.Done():
			return
		case <-tick.C:
			s.renewAll()
		}
	}
}

// leave takes this process off the list, so that others take the seats as they become free.
func (s *seats) leave() {
	s.mu.Lock()
	gone := s.left
	s.left = true
	s.mu.Unlock()
	if gone || s.replicas == nil || s.joined.IsZero() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := s.replicas.Leave(ctx, s.me.Pipeline, s.me.Owner); err != nil && !errors.Is(err, eventstore.ErrClosed) {
		s.p.log.Warn("this replica could not be taken off the list; it will count as there for a while", "error", err)
	}
}

// round is one look at how things stand.
func (s *seats) round() {
	ctx, cancel := clock.WithTimeout(s.p.relaysStop, s.p.clock, max(s.ttl/3, time.Second))
	defer cancel()
	if s.replicas != nil {
		if err := s.present(ctx); err != nil {
			if s.p.relaysStop.Err() == nil {
				s.p.trouble.set("replicas", err)
				s.p.limited("replicas").Error("the store does not answer; the leases run out unless it does soon", "error", err)
			}
			return
		}
		s.p.trouble.clear("replicas")
	}
	for _, x := range s.all {
		s.mu.Lock()
		t, mine, owner := x.held, s.mine(x), x.owner
		s.mu.Unlock()
		switch {
		case t != nil && !mine:
			t.endStop()
		case t == nil && mine && (owner == "" || owner == s.me.Owner):
			t, err := s.acquire(ctx, x)
			if err != nil {
				if s.p.relaysStop.Err() == nil {
					s.p.limited("lease "+x.name).Error("a lease cannot be taken; trying again", "lease", x.name, "error", err)
				}
				continue
			}
			if t != nil {
				s.p.log.Info("taking over", "seat", x.name, "epoch", t.epoch())
				s.begin(x, t)
			}
		}
	}
	s.renewAll()
}

// present says that this process is there, and looks who else is.
func (s *seats) present(ctx context.Context) error {
	s.mu.Lock()
	_, listed := s.roster.Find(s.me.Owner)
	due := !s.left && (!listed || s.p.now().Sub(s.joined) >= s.ttl/3)
	s.mu.Unlock()
	if due {
		at := s.p.now()
		was := s.me.Generation
		r, err := s.replicas.Join(ctx, s.me, s.ttl, s.specs)
		if err != nil {
			return err
		}
		s.mu.Lock()
		s.me.Generation, s.joined = r.Generation, at
		s.mu.Unlock()
		s.p.trouble.clear("store")
		if r.Generation != was {
			s.p.log.Info("no replica has a newer definition of the pipeline any more", "generation", r.Generation)
		}
	}
	older := s.older()
	if err := s.look(ctx); err != nil {
		return err
	}
	if now := s.older(); now && !older {
		s.p.log.Warn("a replica has a newer definition of the pipeline: it takes over the relays, this one stands back")
	}
	return nil
}

// renewAll lengthens the leases that are held, those that are being handed over too, while something is under way.
func (s *seats) renewAll() {
	for _, x := range s.all {
		s.mu.Lock()
		t := x.held
		s.mu.Unlock()
		if t == nil || s.p.now().Sub(t.renewed) < s.ttl/3 {
			continue
		}
		s.renew(t)
	}
}

func (s *seats) renew(t *tenure) {
	ctx, cancel := clock.WithTimeout(s.p.hard, s.p.clock, max(s.ttl/3, time.Second))
	defer cancel()
	begun := s.p.now()
	l, err := s.p.store.Renew(ctx, t.now(), s.ttl)
	if errors.Is(err, eventstore.ErrFenced) {
		t.lose(err)
		return
	}
	if err != nil {
		return // the deadline runs
	}
	t.mu.Lock()
	t.lease, t.renewed = l, begun
	t.mu.Unlock()
	if t.deadline != nil {
		t.deadline.Reset(s.ttl - s.p.now().Sub(begun))
	}
}

// close gives up what was taken and never began, and takes this process off the list.
func (s *seats) close() {
	for _, x := range s.all {
		s.mu.Lock()
		t := x.held
		s.mu.Unlock()
		if t != nil {
			s.give(x, t)
		}
	}
	s.leave()
}
