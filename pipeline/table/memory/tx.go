package memory

import (
	"context"
	"iter"
	"slices"

	"github.com/leatdev/leat/pipeline/table"
)

// Tx is a transaction over the tables: what it writes is seen by itself alone until Commit, and dropped without it.
// Whoever holds Options.Lock may use it, and only while he does.
type Tx struct {
	s       *Store
	changes map[*data]map[string]table.Row // nil: deleted
}

var _ table.Tx = (*Tx)(nil)

// Begin opens a transaction. The caller holds Options.Lock, from here to Commit or to the last use. Letting go of the
// Tx without Commit drops what it wrote.
func (s *Store) Begin() *Tx { return &Tx{s: s} }

// Commit puts the writes in their place.
func (tx *Tx) Commit() {
	for t, changes := range tx.changes {
		for k, row := range changes {
			if row == nil {
				delete(t.rows, k)
			} else {
				t.rows[k] = row
			}
		}
	}
	tx.changes = nil
}

// Write implements table.Tx.
func (tx *Tx) Write(_ context.Context, d *table.Def, put, del []table.Row) error {
	_, t, err := tx.s.find(d)
	if err != nil {
		return err
	}
	puts, err := d.Fit(put, len(d.Columns))
	if err != nil {
		return err
	}
	dels, err := d.Fit(del, len(d.Key))
	if err != nil {
		return err
	}
	if tx.changes == nil {
		tx.changes = map[*data]map[string]table.Row{}
	}
	changes := tx.changes[t]
	if changes == nil {
		changes = map[string]table.Row{}
		tx.changes[t] = changes
	}
	places := t.places(d)
	for _, row := range puts {
		key := string(table.AppendKey(nil, row[:len(d.Key)]))
		stored := make(table.Row, len(t.def.Columns))
		copy(stored, tx.row(t, key)) // columns that d does not know keep what they have
		for i, at := range places {
			stored[at] = row[i]
		}
		changes[key] = stored
	}
	for _, key := range dels {
		changes[string(table.AppendKey(nil, key))] = nil
	}
	return nil
}

// places gives for each column of d its place in the stored rows.
func (t *data) places(d *table.Def) []int {
	places := make([]int, len(d.Columns))
	for i, c := range d.Columns {
		places[i] = t.def.Index(c.Name)
	}
	return places
}

func (tx *Tx) row(t *data, key string) table.Row {
	if row, ok := tx.changes[t][key]; ok {
		return row
	}
	return t.rows[key]
}

// view gives a stored row as d has its columns.
func view(row table.Row, places []int) table.Row {
	if row == nil {
		return nil
	}
	out := make(table.Row, len(places))
	for i, at := range places {
		if at >= 0 && at < len(row) {
			out[i] = row[at]
		}
	}
	return out
}

// Load implements table.Reader.
func (tx *Tx) Load(_ context.Context, d *table.Def, keys []table.Row) ([]table.Row, error) {
	_, t, err := tx.s.find(d)
	if err != nil {
		return nil, err
	}
	keys, err = d.Fit(keys, len(d.Key))
	if err != nil {
		return nil, err
	}
	places := t.places(d)
	rows := make([]table.Row, len(keys))
	for i, key := range keys {
		rows[i] = view(tx.row(t, string(table.AppendKey(nil, key))), places)
	}
	return rows, nil
}

// Scan implements table.Reader.
func (tx *Tx) Scan(_ context.Context, d *table.Def, equal map[string]table.Value) iter.Seq2[table.Row, error] {
	return func(yield func(table.Row, error) bool) {
		rows, err := tx.scan(d, equal)
		yieldRows(rows, err, yield)
	}
}

func (tx *Tx) scan(d *table.Def, equal map[string]table.Value) ([]table.Row, error) {
	_, t, err := tx.s.find(d)
	if err != nil {
		return nil, err
	}
	want := map[int]table.Value{}
	for name, v := range equal {
		i := d.Index(name)
		if i < 0 {
			return nil, &table.UnknownError{Kind: "column", Name: name, Have: d.Names()}
		}
		if want[i], err = table.Canonical(v); err != nil {
			return nil, err
		}
	}
	places := t.places(d)
	var rows []table.Row
	add := func(stored table.Row) {
		row := view(stored, places)
		for i, v := range want {
			if !table.Equal(row[i], v) {
				return
			}
		}
		rows = append(rows, row)
	}
	for key, row := range t.rows {
		if _, changed := tx.changes[t][key]; !changed {
			add(row)
		}
	}
	for _, row := range tx.changes[t] {
		if row != nil {
			add(row)
		}
	}
	n := len(d.Key)
	slices.SortFunc(rows, func(a, b table.Row) int { return table.CompareRows(a[:n], b[:n]) })
	return rows, nil
}
