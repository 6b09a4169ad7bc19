package pipeline

import (
	"context"
	"sync"
	"time"

	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/table"
)

// brokenStore is a store that fails when a test says so, and that stays open when a daemon closes it.
type brokenStore struct {
	eventstore.Store
	mu sync.Mutex
	// before is asked before a call, after when it went through: an error of it is an answer that was lost. The names
	// are commit, advance, apply, swap and, of what several replicas share, lease, join and roster.
	before, after func(call string) error
	commits       [][]*eventstore.Unit
	slow          time.Duration // what a commit takes
	logID         string        // what the log calls itself, "": as it does
	cut           int64         // where the log ends, 0: where it does
}

func (s *brokenStore) Head(ctx context.Context) (eventstore.Head, error) {
	h, err := s.Store.Head(ctx)
	if s.logID != "" {
		h.LogID = s.logID
	}
	if s.cut > 0 {
		h.Position = s.cut
	}
	return h, err
}

func (s *brokenStore) Close() error { return nil }

// breaks sets the faults; nil takes them away.
func (s *brokenStore) breaks(before, after func(call string) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.before, s.after = before, after
}

func (s *brokenStore) call(ctx context.Context, name string, do func() error) error {
	if err := s.ask(name, func() func(string) error { return s.before }); err != nil {
		return err
	}
	if err := do(); err != nil {
		return err
	}
	return s.ask(name, func() func(string) error { return s.after })
}

// ask runs a hook, one at a time.
func (s *brokenStore) ask(name string, hook func() func(string) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if h := hook(); h != nil {
		return h(name)
	}
	return nil
}

func (s *brokenStore) Commit(ctx context.Context, units []*eventstore.Unit, o eventstore.CommitOptions) error {
	return s.call(ctx, "commit", func() error {
		s.mu.Lock()
		s.commits = append(s.commits, units)
		s.mu.Unlock()
		time.Sleep(s.slow)
		return s.Store.Commit(ctx, units, o)
	})
}

func (s *brokenStore) AdvanceRelay(ctx context.Context, a eventstore.Advance) error {
	return s.call(ctx, "advance", func() error { return s.Store.AdvanceRelay(ctx, a) })
}

// SwapAtEnd implements eventstore.Swapper.
func (s *brokenStore) SwapAtEnd(ctx context.Context, d *table.Def, last func(ctx context.Context, head int64) error) error {
	return s.call(ctx, "swap", func() error { return s.Store.(eventstore.Swapper).SwapAtEnd(ctx, d, last) })
}

func (s *brokenStore) Tables() table.Store { return brokenTables{s.Store.Tables(), s} }

type brokenTables struct {
	table.Store
	s *brokenStore
}

func (t brokenTables) Apply(ctx context.Context, w *table.Write) error {
	return t.s.call(ctx, "apply", func() error { return t.Store.Apply(ctx, w) })
}

func (t brokenTables) RenameRelay(ctx context.Context, was, now string) error {
	return t.Store.(table.Renamer).RenameRelay(ctx, was, now)
}

// otherDatabase is one for tables besides the store's, which stays open when a daemon closes it.
type otherDatabase struct{ brokenTables }

func (otherDatabase) Close() error { return nil }

// sharedStore is a store that several daemons have open, each through a brokenStore of its own.
type sharedStore struct{ *brokenStore }

func (s sharedStore) Acquire(ctx context.Context, name, owner string, ttl time.Duration) (l eventstore.Lease, err error) {
	err = s.call(ctx, "lease", func() (err error) { l, err = s.Store.Acquire(ctx, name, owner, ttl); return err })
	return l, err
}

func (s sharedStore) Renew(ctx context.Context, l eventstore.Lease, ttl time.Duration) (out eventstore.Lease, err error) {
	err = s.call(ctx, "lease", func() (err error) { out, err = s.Store.Renew(ctx, l, ttl); return err })
	return out, err
}

func (s sharedStore) Release(ctx context.Context, l eventstore.Lease) error {
	return s.call(ctx, "lease", func() error { return s.Store.Release(ctx, l) })
}

func (s sharedStore) Join(ctx context.Context, r eventstore.Replica, ttl time.Duration, specs []eventstore.RelaySpec) (out eventstore.Replica, err error) {
	err = s.call(ctx, "join", func() (err error) { out, err = s.Store.(eventstore.Replicas).Join(ctx, r, ttl, specs); return err })
	return out, err
}

func (s sharedStore) Leave(ctx context.Context, pipeline, owner string) error {
	return s.call(ctx, "join", func() error { return s.Store.(eventstore.Replicas).Leave(ctx, pipeline, owner) })
}

func (s sharedStore) Roster(ctx context.Context, pipeline string, leases []string) (out eventstore.Roster, err error) {
	err = s.call(ctx, "roster", func() (err error) { out, err = s.Store.(eventstore.Replicas).Roster(ctx, pipeline, leases); return err })
	return out, err
}
