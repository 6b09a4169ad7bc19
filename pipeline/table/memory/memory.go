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
	if err := d.Validate(); err != nil {
		return table.Info{}, err
	}
	s.lock.Lock()
	defer s.lock.Unlock()
	name := strings.ToLower(d.Name)
	p := s.tables[name]
	if p == nil {
		p = &pair{live: s.newData(d, definition, relay, logID)}
		s.tables[name] = p
		return p.info(p.live), nil
	}
	t, err := p.ensure(d, definition, relay)
	if err != nil {
		return table.Info{}, err
	}
	if t == nil {
		p.building = s.newData(d, definition, relay, logID)
		return p.info(p.building), nil
	}
	if t.logID != logID {
		return table.Info{}, fmt.Errorf("table %s: %w", d.Name, table.ErrForeignLog)
	}
	def, err := t.def.Extend(d)
	if err != nil {
		return table.Info{}, err
	}
	t.def = def
	return p.info(t), nil
}

// ensure gives the table of d's version, nil where it must be built beside the live one.
func (p *pair) ensure(d *table.Def, definition, relay string) (*data, error) {
	t := p.version(d.Version)
	if t == nil {
		newest := p.live.def.Version
		if p.building != nil {
			newest = p.building.def.Version
		}
		if d.Version < newest {
			return nil, &table.ChangedError{Table: d.Name, Version: d.Version, What: fmt.Sprintf("its stored version is %d already", newest)}
		}
		return nil, nil
	}
	if p.live.def.Name != d.Name {
		return nil, fmt.Errorf("%w: there is a table %q, which is one name with %q to some databases", table.ErrDef, p.live.def.Name, d.Name)
	}
	if t.relay != relay {
		return nil, fmt.Errorf("table %s: %w: it is %q, not %q", d.Name, table.ErrOwned, t.relay, relay)
	}
	if t.definition != definition {
		return nil, &table.ChangedError{Table: d.Name, Version: d.Version, What: "its projection has changed"}
	}
	return t, nil
}

func (s *Store) newData(d *table.Def, definition, relay, logID string) *data {
	return &data{def: d.Clone(), definition: definition, relay: relay, logID: logID, updated: s.o.Now(), rows: map[string]table.Row{}}
}

func (p *pair) version(v int) *data {
	for _, t := range []*data{p.live, p.building} {
		if t != nil && t.def.Version == v {
			return t
		}
	}
	return nil
}

func (p *pair) info(t *data) table.Info {
	i := table.Info{
		Def: t.def.Clone(), Definition: t.definition, Relay: t.relay, LogID: t.logID,
		Position: t.position, Epoch: t.epoch, Rows: int64(len(t.rows)), Updated: t.updated,
	}
	if p.building != nil {
		i.Building = p.building.def.Version
	}
	return i
}

// find gives the table of d's name and version. A version that was replaced is fenced: its owner has been overtaken.
func (s *Store) find(d *table.Def) (*pair, *data, error) {
	p := s.tables[strings.ToLower(d.Name)]
	if p == nil {
		return nil, nil, &table.UnknownError{Kind: "table", Name: d.Name, Have: s.names()}
	}
	t := p.version(d.Version)
	if t == nil {
		if d.Version < p.live.def.Version {
			return nil, nil, fmt.Errorf("table %s: version %d was replaced by %d: %w", d.Name, d.Version, p.live.def.Version, table.ErrFenced)
		}
		return nil, nil, fmt.Errorf("table: table %s has no version %d", d.Name, d.Version)
	}
	return p, t, nil
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
	_, t, err := s.find(w.Def)
	if err != nil {
		return err
	}
	if c := w.Checkpoint; c != nil {
		if err := t.check(c); err != nil {
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
		t.updated = s.o.Now()
	}
	return nil
}

func (t *data) check(c *table.Checkpoint) error {
	switch {
	case t.logID != c.LogID:
		return fmt.Errorf("table %s: %w", t.def.Name, table.ErrForeignLog)
	case t.relay != c.Relay:
		return fmt.Errorf("table %s: it is relay %q now: %w", t.def.Name, t.relay, table.ErrFenced)
	case t.epoch > c.Epoch:
		return fmt.Errorf("table %s: epoch %d, here %d: %w", t.def.Name, t.epoch, c.Epoch, table.ErrFenced)
	case t.position != c.From:
		return fmt.Errorf("table %s: it stands at %d, not %d: %w", t.def.Name, t.position, c.From, table.ErrFenced)
	case c.To < c.From:
		return fmt.Errorf("table %s: a checkpoint cannot go back from %d to %d", t.def.Name, c.From, c.To)
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

// Swap implements table.Store.
func (s *Store) Swap(_ context.Context, d *table.Def) error {
	s.lock.Lock()
	defer s.lock.Unlock()
	p, t, err := s.find(d)
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
	for _, p := range s.tables {
		for _, t := range []*data{p.live, p.building} {
			if t != nil && t.relay == was {
				t.relay = now
			}
		}
	}
	return nil
}

// Tables implements table.Store.
func (s *Store) Tables(context.Context) ([]table.Info, error) {
	s.lock.Lock()
	defer s.lock.Unlock()
	var infos []table.Info
	for _, name := range slices.Sorted(maps.Keys(s.tables)) {
		p := s.tables[name]
		infos = append(infos, p.info(p.live))
		if p.building != nil {
			infos = append(infos, p.info(p.building))
		}
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
