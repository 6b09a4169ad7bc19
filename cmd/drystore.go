package cmd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"log/slog"
	"maps"
	"strings"
	"sync"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/table"
)

// dryStore is a store in memory on top of one that is only read: streams, rows, inbox marks and the places of sources come from
// below when they are first looked at, and what is written stays above. Positions are its own, and its log holds no event that relays would take
// for theirs: these see what the dry run appends.
type dryStore struct {
	eventstore.Store // in memory
	base             eventstore.Store
	tables           *dryTables

	mu      sync.Mutex
	fetched map[event.Stream]bool
	// until is the last position of events that were fetched, by stream: the report leaves them out.
	until map[event.Stream]int64
}

// fetchedFrom is the origin of events from below: no pipeline is called so.
const fetchedFrom = "$stored"

func newDryStore(memory, base eventstore.Store, tables table.Store, anew map[string]bool) *dryStore {
	return &dryStore{Store: memory, base: base, fetched: map[event.Stream]bool{}, until: map[event.Stream]int64{},
		tables: &dryTables{Store: memory.Tables(), base: tables, anew: anew, gone: map[string]bool{}}}
}

// openBase opens the store of a dry run for reading; nil with words where there is none to read.
func (a *app) openBase(ctx context.Context, name string, plugin config.Plugin) eventstore.Store {
	if plugin.Name == "memory" {
		return nil
	}
	base, err := eventstore.Open(ctx, plugin, eventstore.Env{Log: slog.New(slog.DiscardHandler), Now: a.now, ReadOnly: true})
	at := config.Summary(plugin)
	switch {
	case err == nil:
		a.say("leat: dry run: what is stored is read from %s (store %s); nothing is written to it", at, name)
		return base
	case errors.Is(err, fs.ErrNotExist):
		a.say("leat: dry run: the store %s is not there yet (%s): everything begins empty", name, at)
	default:
		a.say("leat: dry run: the store %s cannot be read, and is taken as empty: %v", name, err)
	}
	return nil
}

// Close implements eventstore.Store: the report still needs it.
func (s *dryStore) Close() error { return nil }

// Tables implements eventstore.Store.
func (s *dryStore) Tables() table.Store { return s.tables }

// Commit implements eventstore.Log.
func (s *dryStore) Commit(ctx context.Context, units []*eventstore.Unit, o eventstore.CommitOptions) error {
	written := make([]*dryTx, len(units))
	for i, u := range units {
		if err := s.mark(ctx, u); err != nil {
			return err
		}
		for j := range u.Appends {
			if err := s.fetch(ctx, u.Appends[j].Stream); err != nil {
				return err
			}
		}
		if within := u.Within; within != nil {
			u.Within = func(ctx context.Context, tx table.Tx, events []event.Recorded) error {
				written[i] = &dryTx{Tx: tx, tables: s.tables}
				return within(ctx, written[i], events)
			}
			defer func() { u.Within = within }()
		}
	}
	if err := s.Store.Commit(ctx, units, o); err != nil {
		return err
	}
	for i, tx := range written {
		if tx != nil && units[i].Result.Status == eventstore.Done {
			s.tables.forget(tx.deleted)
		}
	}
	return nil
}

// ours reports whether a place is the daemon's own note: a pause, a rebuild that is under way.
func ours(key string) bool { return strings.HasPrefix(key, "$leat/") }

// Cursor implements eventstore.Store.
func (s *dryStore) Cursor(ctx context.Context, pipeline, key string) (string, error) {
	if v, err := s.Store.Cursor(ctx, pipeline, key); v != "" || err != nil || ours(key) {
		return v, err
	}
	return s.base.Cursor(ctx, pipeline, key)
}

// Cursors implements eventstore.Store.
func (s *dryStore) Cursors(ctx context.Context, pipeline string) (map[string]string, error) {
	all, err := s.base.Cursors(ctx, pipeline)
	if err != nil {
		return nil, fmt.Errorf("dry run: places: %w", err)
	}
	out := map[string]string{}
	for key, v := range all {
		if !ours(key) {
			out[key] = v
		}
	}
	above, err := s.Store.Cursors(ctx, pipeline)
	maps.Copy(out, above)
	return out, err
}

// mark fetches a source event's mark, so that a redelivered one shows as a duplicate.
func (s *dryStore) mark(ctx context.Context, u *eventstore.Unit) error {
	if u.Inbox == nil {
		return nil
	}
	for m, err := range s.base.Marks(ctx, u.Pipeline, u.Inbox.Key) {
		if err != nil {
			return fmt.Errorf("dry run: inbox: %w", err)
		}
		if m.Key == u.Inbox.Key {
			return s.Store.Commit(ctx, []*eventstore.Unit{{Pipeline: u.Pipeline, Inbox: &m}}, eventstore.CommitOptions{})
		}
	}
	return nil
}

// fetchPage is how many events of a stream are copied at a time.
const fetchPage = 1000

// fetch copies a stream from below, the first time.
func (s *dryStore) fetch(ctx context.Context, stream event.Stream) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fetched[stream] {
		return nil
	}
	var page []event.Event
	flush := func() error {
		if len(page) == 0 {
			return nil
		}
		u := &eventstore.Unit{Pipeline: fetchedFrom, Appends: []eventstore.Append{{Stream: stream, Origin: fetchedFrom, Events: page}}}
		if err := s.Store.Commit(ctx, []*eventstore.Unit{u}, eventstore.CommitOptions{}); err != nil {
			return err
		}
		if u.Result.Status == eventstore.Refused {
			return u.Result.Err
		}
		s.until[stream], page = u.Result.Written[0].Last, nil
		return nil
	}
	for e, err := range s.base.ReadStream(ctx, stream, eventstore.ReadOptions{}) {
		if err != nil {
			return fmt.Errorf("dry run: stream %s: %w", stream, err)
		}
		if page = append(page, e.Clone()); len(page) == fetchPage {
			if err := flush(); err != nil {
				return fmt.Errorf("dry run: stream %s: %w", stream, err)
			}
		}
	}
	if err := flush(); err != nil {
		return fmt.Errorf("dry run: stream %s: %w", stream, err)
	}
	s.fetched[stream] = true
	return nil
}

// wasThere reports whether an event of this store's log came from below.
func (s *dryStore) wasThere(e *event.Recorded) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return e.Revision <= s.until[e.Stream]
}

// ReadStream implements eventstore.Reader.
func (s *dryStore) ReadStream(ctx context.Context, stream event.Stream, o eventstore.ReadOptions) iter.Seq2[*event.Recorded, error] {
	if err := s.fetch(ctx, stream); err != nil {
		return func(yield func(*event.Recorded, error) bool) { yield(nil, err) }
	}
	return s.Store.ReadStream(ctx, stream, o)
}

// dryTables are tables in memory on top of those that are only read.
type dryTables struct {
	table.Store // in memory
	base        table.Store
	// anew are tables that the dry run computes from the log's beginning: their rows below hold the same events.
	anew map[string]bool

	mu   sync.Mutex
	gone map[string]bool // rows that were deleted above
}

func rowID(d *table.Def, key table.Row) string {
	id := []byte(d.Name)
	for _, v := range key[:len(d.Key)] {
		id = table.AppendText(append(id, 0), v)
	}
	return string(id)
}

func (t *dryTables) forget(ids []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, id := range ids {
		t.gone[id] = true
	}
}

func (t *dryTables) isGone(id string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.gone[id]
}

// below gives the rows of the table under d, in d's columns.
func (t *dryTables) below(ctx context.Context, d *table.Def, equal map[string]string) ([]table.Row, error) {
	def, rows, err := t.base.Query(ctx, table.Query{Table: d.Name, Equal: equal})
	if err != nil {
		var unknown *table.UnknownError
		if errors.As(err, &unknown) {
			return nil, nil // neither the table nor the column is there yet
		}
		return nil, fmt.Errorf("dry run: table %s: %w", d.Name, err)
	}
	var out []table.Row
	for row, err := range rows {
		if err != nil {
			return nil, fmt.Errorf("dry run: table %s: %w", d.Name, err)
		}
		mine := make(table.Row, len(d.Columns))
		for i := range d.Columns {
			if at := def.Index(d.Columns[i].Name); at >= 0 && at < len(row) {
				mine[i] = row[at]
			}
		}
		out = append(out, mine)
	}
	return out, nil
}

// fill completes what was loaded from above.
func (t *dryTables) fill(ctx context.Context, d *table.Def, keys, rows []table.Row) error {
	if t.anew[d.Name] {
		return nil
	}
	for i := range rows {
		if rows[i] != nil || t.isGone(rowID(d, keys[i])) {
			continue
		}
		equal := map[string]string{}
		for j, name := range d.Key {
			equal[name] = string(table.AppendText(nil, keys[i][j]))
		}
		found, err := t.below(ctx, d, equal)
		if err != nil {
			return err
		}
		if len(found) == 1 {
			rows[i] = found[0]
		}
	}
	return nil
}

// Load implements table.Reader.
func (t *dryTables) Load(ctx context.Context, d *table.Def, keys []table.Row) ([]table.Row, error) {
	rows, err := t.Store.Load(ctx, d, keys)
	if err != nil {
		return nil, err
	}
	return rows, t.fill(ctx, d, keys, rows)
}

// merge gives the rows from above, and those from below that nothing above stands for.
func (t *dryTables) merge(ctx context.Context, d *table.Def, equal map[string]string, above iter.Seq2[table.Row, error], load func([]table.Row) ([]table.Row, error)) ([]table.Row, error) {
	var out []table.Row
	for row, err := range above {
		if err != nil {
			return nil, err
		}
		out = append(out, row)
	}
	if t.anew[d.Name] {
		return out, nil
	}
	under, err := t.below(ctx, d, equal)
	if err != nil {
		return nil, err
	}
	for _, row := range under {
		key := row[:len(d.Key)]
		if t.isGone(rowID(d, key)) {
			continue
		}
		same, err := load([]table.Row{key})
		if err != nil {
			return nil, err
		}
		if same[0] == nil { // else the row above is another by now
			out = append(out, row)
		}
	}
	return out, nil
}

func each(rows []table.Row, err error) iter.Seq2[table.Row, error] {
	return func(yield func(table.Row, error) bool) {
		if err != nil {
			yield(nil, err)
			return
		}
		for _, row := range rows {
			if !yield(row, nil) {
				return
			}
		}
	}
}

func texts(equal map[string]table.Value) map[string]string {
	out := map[string]string{}
	for name, v := range equal {
		out[name] = string(table.AppendText(nil, v))
	}
	return out
}

// Scan implements table.Reader.
func (t *dryTables) Scan(ctx context.Context, d *table.Def, equal map[string]table.Value) iter.Seq2[table.Row, error] {
	return each(t.merge(ctx, d, texts(equal), t.Store.Scan(ctx, d, equal), func(keys []table.Row) ([]table.Row, error) { return t.Store.Load(ctx, d, keys) }))
}

// Query implements table.Store.
func (t *dryTables) Query(ctx context.Context, q table.Query) (table.Def, iter.Seq2[table.Row, error], error) {
	def, rows, err := t.Store.Query(ctx, q)
	var unknown *table.UnknownError
	if errors.As(err, &unknown) || t.anew[q.Table] { // another pipeline's, or a column that nothing above has
		return t.base.Query(ctx, q)
	}
	if err != nil {
		return def, nil, err
	}
	merged, err := t.merge(ctx, &def, q.Equal, rows, func(keys []table.Row) ([]table.Row, error) { return t.Store.Load(ctx, &def, keys) })
	if q.Limit > 0 {
		merged = merged[:min(len(merged), q.Limit)]
	}
	return def, each(merged, nil), err
}

// Apply implements table.Store.
func (t *dryTables) Apply(ctx context.Context, w *table.Write) error {
	if err := t.Store.Apply(ctx, w); err != nil {
		return err
	}
	var ids []string
	for _, key := range w.Delete {
		ids = append(ids, rowID(w.Def, key))
	}
	t.forget(ids)
	return nil
}

// dryTx is a transaction in memory that sees what is below.
type dryTx struct {
	table.Tx
	tables  *dryTables
	deleted []string
}

// Load implements table.Reader.
func (x *dryTx) Load(ctx context.Context, d *table.Def, keys []table.Row) ([]table.Row, error) {
	rows, err := x.Tx.Load(ctx, d, keys)
	if err != nil {
		return nil, err
	}
	return rows, x.tables.fill(ctx, d, keys, rows)
}

// Scan implements table.Reader.
func (x *dryTx) Scan(ctx context.Context, d *table.Def, equal map[string]table.Value) iter.Seq2[table.Row, error] {
	return each(x.tables.merge(ctx, d, texts(equal), x.Tx.Scan(ctx, d, equal), func(keys []table.Row) ([]table.Row, error) { return x.Tx.Load(ctx, d, keys) }))
}

// Write implements table.Tx.
func (x *dryTx) Write(ctx context.Context, d *table.Def, put, del []table.Row) error {
	for _, key := range del {
		x.deleted = append(x.deleted, rowID(d, key))
	}
	return x.Tx.Write(ctx, d, put, del)
}
