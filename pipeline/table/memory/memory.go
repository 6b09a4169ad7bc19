// Package memory keeps tables in memory, for tests and for the memory event store.
//
// It holds what every backend holds: a write is there with its checkpoint or not at all. Nothing survives the process.
package memory

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/leatdev/leat/pipeline/poison"
	"github.com/leatdev/leat/pipeline/table"
)

// Options of a store. The zero value is a store that stands alone.
type Options struct {
	// Now is the clock behind Info.Updated; nil: time.Now.
	Now func() time.Time
	// Lock guards the tables, together with what else its owner keeps under it; nil: a lock of the store's own.
	Lock sync.Locker
	// Park adds and removes parked entries, all or nothing; one that is gone is table.ErrGone. It is called with Lock
	// held. Nil: the tables do not lie beside an event store.
	Park func(park []poison.Entry, unpark []int64) error
}

// Store keeps tables in memory. It is safe for concurrent use.
type Store struct {
	o      Options
	lock   sync.Locker
	tables map[string]*pair // by the name in lower case
}

// pair is a table and the one that is being built in its place.
type pair struct{ live, building *data }

type data struct {
	def        table.Def
	definition string
	relay      string
	logID      string
	position   int64
	epoch      int64
	resent     int64
	updated    time.Time
	rows       map[string]table.Row // by table.AppendKey; rows are never changed, and may be short of new columns
}

var (
	_ table.Store   = (*Store)(nil)
	_ table.Renamer = (*Store)(nil)
)

// New makes an empty store.
func New(o Options) *Store {
	if o.Now == nil {
		o.Now = time.Now
	}
	s := &Store{o: o, lock: o.Lock, tables: map[string]*pair{}}
	if s.lock == nil {
		s.lock = &sync.Mutex{}
	}
	return s
}

// WithStore implements table.Store.
func (s *Store) WithStore() bool { return s.o.Park != nil }

// Ensure implements table.Store.
func (s *Store) Ensure(_ context.Context, d *table.Def, definition, relay, logID string) (table.Info, error) {
	s.lock.Lock()
	defer s.lock.Unlock()
	name := strings.ToLower(d.Name)
	p := s.tables[name]
	i, def, err := table.Admit(p.infos(), d, definition, relay, logID)
	if err != nil {
		return table.Info{}, err
	}
	t := &data{def: def, definition: definition, relay: relay, logID: logID, updated: s.o.Now(), rows: map[string]table.Row{}}
	switch {
	case i >= 0:
		t = p.at(i)
		t.def = def
	case p == nil:
		p = &pair{live: t}
		s.tables[name] = p
	default:
		p.building = t
	}
	return p.info(t), nil
}

// at gives the live table as 0 and the one that is being built as 1.
func (p *pair) at(i int) *data {
	if i == 0 {
		return p.live
	}
	return p.building
}

func (p *pair) infos() []table.Info {
	if p == nil {
		return nil
	}
	infos := []table.Info{p.info(p.live)}
	if p.building != nil {
		infos = append(infos, p.info(p.building))
	}
	return infos
}

func (p *pair) info(t *data) table.Info {
	i := table.Info{
		Def: t.def.Clone(), Definition: t.definition, Relay: t.relay, LogID: t.logID,
		Position: t.position, Epoch: t.epoch, Resent: t.resent, Rows: int64(len(t.rows)), Updated: t.updated,
	}
	i.Live = t == p.live
	if p.building != nil {
		i.Building = p.building.def.Version
	}
	return i
}

// find gives the table of d's name and version.
func (s *Store) find(d *table.Def) (*pair, *data, error) {
	p := s.tables[strings.ToLower(d.Name)]
	if p == nil {
		return nil, nil, &table.UnknownError{Kind: "table", Name: d.Name, Have: s.names()}
	}
	i, err := table.Find(p.infos(), d)
	if err != nil {
		return nil, nil, err
	}
	return p, p.at(i), nil
}

func (s *Store) names() []string {
	var names []string
	for _, p := range s.tables {
		names = append(names, p.live.def.Name)
	}
	slices.Sort(names)
	return names
}

// Apply implements table.Store.
func (s *Store) Apply(ctx context.Context, w *table.Write) error {
	s.lock.Lock()
	defer s.lock.Unlock()
	p, t, err := s.find(w.Def)
	if err != nil {
		return err
	}
	if c := w.Checkpoint; c != nil {
		now := p.info(t)
		if err := now.Check(c); err != nil {
			return err
		}
	}
	tx := s.Begin()
	if err := tx.Write(ctx, w.Def, w.Put, w.Delete); err != nil {
		return err
	}
	if len(w.Park)+len(w.Unpark) > 0 {
		if s.o.Park == nil {
			return fmt.Errorf("table %s: nothing can be parked beside it", w.Def.Name)
		}
		if err := s.o.Park(w.Park, w.Unpark); err != nil {
			return err
		}
	}
	tx.Commit()
	if c := w.Checkpoint; c != nil {
		t.position, t.epoch = c.To, c.Epoch
		if c.Resent > 0 {
			t.resent = c.Resent
		}
		t.updated = s.o.Now()
	}
	return nil
}

// Take implements table.Store.
func (s *Store) Take(_ context.Context, d *table.Def, relay string, epoch int64) (table.Info, error) {
	s.lock.Lock()
	defer s.lock.Unlock()
	p, t, err := s.find(d)
	if err != nil {
		return table.Info{}, err
	}
	if t.relay != relay || t.epoch > epoch {
		return table.Info{}, fmt.Errorf("table %s: relay %q has it under epoch %d: %w", d.Name, t.relay, t.epoch, table.ErrFenced)
	}
	t.epoch = epoch
	return p.info(t), nil
}

// Rebuild implements table.Store.
func (s *Store) Rebuild(_ context.Context, d *table.Def, relay string, epoch int64) (table.Info, error) {
	s.lock.Lock()
	defer s.lock.Unlock()
	p, _, err := s.find(d)
	if err != nil {
		return table.Info{}, err
	}
	def, err := table.AdmitRebuild(p.infos(), d, relay, epoch)
	if err != nil {
		return table.Info{}, err
	}
	p.building = &data{def: def, definition: p.live.definition, relay: relay, logID: p.live.logID, epoch: epoch, updated: s.o.Now(), rows: map[string]table.Row{}}
	return p.info(p.building), nil
}

// Abandon implements table.Store.
func (s *Store) Abandon(_ context.Context, d *table.Def) error {
	s.lock.Lock()
	defer s.lock.Unlock()
	if p := s.tables[strings.ToLower(d.Name)]; p != nil && table.AdmitAbandon(p.infos(), d) {
		p.building = nil
	}
	return nil
}

// Swap implements table.Store.
func (s *Store) Swap(_ context.Context, d *table.Def) error {
	s.lock.Lock()
	defer s.lock.Unlock()
	p, t, err := s.find(d)
	if err == nil {
		_, err = table.AdmitSwap(p.infos(), d)
	}
	if err != nil {
		return err
	}
	if t == p.building {
		p.live, p.building = t, nil
	}
	return nil
}

// RenameRelay implements table.Renamer.
func (s *Store) RenameRelay(_ context.Context, was, now string) error {
	s.lock.Lock()
	defer s.lock.Unlock()
	var mine []*data
	for _, p := range s.tables {
		for _, t := range []*data{p.live, p.building} {
			switch {
			case t == nil:
			case t.relay == now:
				return nil
			case t.relay == was:
				mine = append(mine, t)
			}
		}
	}
	for _, t := range mine {
		t.relay = now
	}
	return nil
}

// Tables implements table.Store.
func (s *Store) Tables(context.Context) ([]table.Info, error) {
	s.lock.Lock()
	defer s.lock.Unlock()
	var infos []table.Info
	for _, name := range slices.Sorted(maps.Keys(s.tables)) {
		infos = append(infos, s.tables[name].infos()...)
	}
	return infos, nil
}

// Load implements table.Reader.
func (s *Store) Load(ctx context.Context, d *table.Def, keys []table.Row) ([]table.Row, error) {
	s.lock.Lock()
	defer s.lock.Unlock()
	return s.Begin().Load(ctx, d, keys)
}

// Scan implements table.Reader. It gives the rows that stood there when the loop began.
func (s *Store) Scan(_ context.Context, d *table.Def, equal map[string]table.Value) iter.Seq2[table.Row, error] {
	return func(yield func(table.Row, error) bool) {
		s.lock.Lock()
		rows, err := s.Begin().scan(d, equal)
		s.lock.Unlock()
		yieldRows(rows, err, yield)
	}
}

func yieldRows(rows []table.Row, err error, yield func(table.Row, error) bool) {
	if err != nil {
		yield(nil, err)
		return
	}
	for _, r := range rows {
		if !yield(r, nil) {
			return
		}
	}
}
