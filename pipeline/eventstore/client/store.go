package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"time"

	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/eventstore/wire"
	"github.com/leatdev/leat/pipeline/poison"
	"github.com/leatdev/leat/pipeline/table"
)

// Store is the whole contract of an event store over a Client. Relays, leases and the writing of tables do not travel:
// they hold a pipeline together with its store, and their methods give errors.ErrUnsupported.
type Store struct{ *Client }

var _ eventstore.Store = Store{}

func unsupported(what string) error {
	return fmt.Errorf("client: %s do not travel: %w", what, errors.ErrUnsupported)
}

// Cursor implements eventstore.Store.
func (s Store) Cursor(ctx context.Context, pipeline, key string) (string, error) {
	all, err := s.Cursors(ctx, pipeline)
	return all[key], err
}

// Cursors implements eventstore.Store.
func (s Store) Cursors(ctx context.Context, pipeline string) (map[string]string, error) {
	var out map[string]string
	err := s.call(ctx, http.MethodGet, s.path("cursors/"+url.PathEscape(pipeline)), nil, nil, &out)
	return out, err
}

// Marks implements eventstore.Store.
func (s Store) Marks(ctx context.Context, pipeline, prefix string) iter.Seq2[eventstore.Mark, error] {
	q := url.Values{}
	put(q, "prefix", prefix)
	return each(ctx, s.Client, s.path("marks/"+url.PathEscape(pipeline)), q, func(line []byte) (eventstore.Mark, error) {
		var w wire.Mark
		if err := json.Unmarshal(line, &w); err != nil {
			return eventstore.Mark{}, err
		}
		return w.Back()
	})
}

// PruneMarks implements eventstore.Store.
func (s Store) PruneMarks(ctx context.Context, pipeline, prefix string, before time.Time) (int64, error) {
	in := wire.Prune{Pipeline: pipeline, Prefix: prefix}
	if !before.IsZero() {
		in.Before = before.UTC().Format(time.RFC3339Nano)
	}
	var n wire.Count
	err := s.call(ctx, http.MethodPost, s.path("marks/prune"), nil, in, &n)
	return n.N, err
}

// Park implements poison.Store.
func (s Store) Park(ctx context.Context, entries ...poison.Entry) error {
	var in wire.ParkRequest
	for i := range entries {
		in.Entries = append(in.Entries, wire.ParkedOf(&entries[i]))
	}
	return s.call(ctx, http.MethodPost, s.path("poison/park"), nil, in, &wire.Count{}, true)
}

// SetParked implements poison.Store.
func (s Store) SetParked(ctx context.Context, f poison.Filter, to poison.State) (int64, error) {
	in := wire.StateRequest{Selection: wire.SelectionOf(f), To: to}
	in.All = true // the caller has made up its mind
	var n wire.Count
	err := s.call(ctx, http.MethodPost, s.path("poison/state"), nil, in, &n)
	return n.N, err
}

// Tables gives the read models, for reading.
func (s Store) Tables() table.Store { return tables{s.Client} }

// SetRelays is unsupported.
func (Store) SetRelays(context.Context, string, []eventstore.RelaySpec) ([]eventstore.Relay, error) {
	return nil, unsupported("relays")
}

// ListRelays is unsupported.
func (Store) ListRelays(context.Context, string) ([]eventstore.Relay, error) {
	return nil, unsupported("relays")
}

// AdvanceRelay is unsupported.
func (Store) AdvanceRelay(context.Context, eventstore.Advance) error { return unsupported("relays") }

// PauseRelay is unsupported.
func (Store) PauseRelay(context.Context, string, bool) error { return unsupported("relays") }

// Acquire is unsupported.
func (Store) Acquire(context.Context, string, string, time.Duration) (eventstore.Lease, error) {
	return eventstore.Lease{}, unsupported("leases")
}

// Renew is unsupported.
func (Store) Renew(context.Context, eventstore.Lease, time.Duration) (eventstore.Lease, error) {
	return eventstore.Lease{}, unsupported("leases")
}

// Release is unsupported.
func (Store) Release(context.Context, eventstore.Lease) error { return unsupported("leases") }

// tables are the read models of a store elsewhere.
type tables struct{ c *Client }

// Tables implements table.Store.
func (t tables) Tables(ctx context.Context) ([]table.Info, error) { return t.c.ListTables(ctx) }

// Query implements table.Store.
func (t tables) Query(ctx context.Context, q table.Query) (table.Def, iter.Seq2[table.Row, error], error) {
	return t.c.QueryTable(ctx, q)
}

// WithStore implements table.Store.
func (tables) WithStore() bool { return false }

// Load is unsupported.
func (tables) Load(context.Context, *table.Def, []table.Row) ([]table.Row, error) {
	return nil, unsupported("writers of tables")
}

// Scan is unsupported.
func (tables) Scan(context.Context, *table.Def, map[string]table.Value) iter.Seq2[table.Row, error] {
	return func(yield func(table.Row, error) bool) { yield(nil, unsupported("writers of tables")) }
}

// Ensure is unsupported.
func (tables) Ensure(context.Context, *table.Def, string, string, string) (table.Info, error) {
	return table.Info{}, unsupported("writers of tables")
}

// Apply is unsupported.
func (tables) Apply(context.Context, *table.Write) error { return unsupported("writers of tables") }

// Take is unsupported.
func (tables) Take(context.Context, *table.Def, string, int64) (table.Info, error) {
	return table.Info{}, unsupported("writers of tables")
}

// Rebuild is unsupported.
func (tables) Rebuild(context.Context, *table.Def, string, int64) (table.Info, error) {
	return table.Info{}, unsupported("writers of tables")
}

// Abandon is unsupported.
func (tables) Abandon(context.Context, *table.Def) error { return unsupported("writers of tables") }

// Swap is unsupported.
func (tables) Swap(context.Context, *table.Def) error { return unsupported("writers of tables") }
