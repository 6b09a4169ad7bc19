package sqlite

import (
	"context"
	"iter"
	"slices"
	"strconv"
	"strings"

	"github.com/leatdev/leat/pipeline/table"
)

// reader reads rows through connections or a transaction.
type reader struct{ q Querier }

// loadChunk is how many keys one statement asks for, writeChunk how many rows one writes. Beyond these, larger
// statements cost as much to prepare as they save (measured; SQLite's own bound is 32,766 parameters).
const (
	loadChunk  = 250
	writeChunk = 25
)

// Load implements table.Reader.
func (r reader) Load(ctx context.Context, d *table.Def, keys []table.Row) ([]table.Row, error) {
	rows := make([]table.Row, len(keys))
	if len(keys) == 0 {
		return rows, nil
	}
	sh, err := newShape(d)
	if err != nil {
		return nil, err
	}
	keys, err = d.Fit(keys, len(d.Key))
	if err != nil {
		return nil, err
	}
	for from := 0; from < len(keys); from += loadChunk {
		to := min(from+loadChunk, len(keys))
		if err := r.load(ctx, sh, keys[from:to], rows[from:to]); err != nil {
			return nil, wrap(d, diagnose(ctx, r.q, d, err))
		}
	}
	return rows, nil
}

func (r reader) load(ctx context.Context, sh *shape, keys, rows []table.Row) error {
	n := len(sh.d.Key)
	var b strings.Builder
	b.WriteString("WITH k(i")
	for i := range n {
		b.WriteString(",k" + strconv.Itoa(i))
	}
	b.WriteString(") AS (VALUES ")
	args := make([]any, 0, len(keys)*(n+1))
	for i, key := range keys {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString("(?" + strings.Repeat(",?", n) + ")")
		args = sh.encodeKey(append(args, int64(i)), key)
	}
	b.WriteString(") SELECT k.i," + sh.columns + " FROM k CROSS JOIN " + sh.place + " ON ")
	for i, c := range sh.d.Columns[:n] {
		if i > 0 {
			b.WriteString(" AND ")
		}
		b.WriteString(quote(c.Name) + "=k.k" + strconv.Itoa(i))
	}
	return r.each(ctx, len(sh.d.Columns)+2, b.String(), args, func(raw []any) (bool, error) {
		row, err := sh.decodeRow(raw[1:])
		rows[raw[0].(int64)] = row
		return true, err
	})
}

// each runs a query and hands its rows over, in memory that is used again.
func (r reader) each(ctx context.Context, width int, query string, args []any, f func(raw []any) (bool, error)) error {
	rows, err := r.q.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	raw := make([]any, width)
	into := make([]any, width)
	for i := range raw {
		into[i] = &raw[i]
	}
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return err
		}
		if more, err := f(raw); err != nil || !more {
			return err
		}
	}
	return rows.Err()
}

// Scan implements table.Reader.
func (r reader) Scan(ctx context.Context, d *table.Def, equal map[string]table.Value) iter.Seq2[table.Row, error] {
	return func(yield func(table.Row, error) bool) {
		sel := selection{skip: 0, limit: -1}
		sh, err := newShape(d)
		if err == nil {
			err = sel.equals(d, equal)
		}
		if err == nil {
			sel.order = quoteAll(d.Key)
			err = r.selectRows(ctx, sh, &sel, func(row table.Row) bool { return yield(row, nil) })
		}
		if err != nil {
			yield(nil, wrap(d, diagnose(context.WithoutCancel(ctx), r.q, d, err)))
		}
	}
}

// selection is a SELECT's conditions in SQL, and what SQL cannot tell for sure in Go.
type selection struct {
	where       []string
	args        []any
	exact       []func(table.Row) bool
	order       string
	skip, limit int // limit -1: none
}

func (sel *selection) equals(d *table.Def, equal map[string]table.Value) error {
	for name, v := range equal {
		i := d.Index(name)
		if i < 0 {
			return &table.UnknownError{Kind: "column", Name: name, Have: d.Names()}
		}
		v, err := table.Canonical(v)
		if err != nil {
			return err
		}
		sel.among(d, i, []table.Value{v})
	}
	return nil
}

// among keeps rows whose column has one of the values.
func (sel *selection) among(d *table.Def, i int, values []table.Value) {
	c := d.Columns[i]
	var or []string
	for _, v := range values {
		arg, _ := encodeValue(v, c.Type, i < len(d.Key))
		or = append(or, quote(c.Name)+" IS ?")
		sel.args = append(sel.args, arg)
	}
	sel.where = append(sel.where, "("+strings.Join(or, " OR ")+")")
	if c.Type == table.Any && i >= len(d.Key) { // another type may be stored the same way
		sel.exact = append(sel.exact, func(row table.Row) bool {
			return slices.ContainsFunc(values, func(v table.Value) bool { return table.Equal(v, row[i]) })
		})
	}
}

// selectRows runs a selection over the rows of a table. It ends without an error where yield has had enough.
func (r reader) selectRows(ctx context.Context, sh *shape, sel *selection, yield func(table.Row) bool) error {
	q := "SELECT " + sh.columns + " FROM " + sh.place
	if len(sel.where) > 0 {
		q += " WHERE " + strings.Join(sel.where, " AND ")
	}
	q += " ORDER BY " + sel.order
	args, skip, left := sel.args, sel.skip, sel.limit
	if len(sel.exact) == 0 && (skip > 0 || left >= 0) {
		q += " LIMIT ? OFFSET ?"
		args = append(args, int64(left), int64(skip))
		skip, left = 0, -1
	}
	if left == 0 {
		return nil
	}
	return r.each(ctx, len(sh.d.Columns)+1, q, args, func(raw []any) (bool, error) {
		row, err := sh.decodeRow(raw)
		if err != nil {
			return false, err
		}
		for _, ok := range sel.exact {
			if !ok(row) {
				return true, nil
			}
		}
		if skip > 0 {
			skip--
			return true, nil
		}
		left--
		return yield(row) && left != 0, nil
	})
}

// encoded are rows ready to be bound.
type encoded struct {
	put, del []any // one row's arguments behind the other's
	puts     int
	dels     int
}

func (sh *shape) encode(put, del []table.Row) (*encoded, error) {
	put, err := sh.d.Fit(put, len(sh.d.Columns))
	if err != nil {
		return nil, err
	}
	del, err = sh.d.Fit(del, len(sh.d.Key))
	if err != nil {
		return nil, err
	}
	e := &encoded{puts: len(put), dels: len(del)}
	e.put = make([]any, 0, len(put)*(len(sh.d.Columns)+1))
	for _, row := range put {
		e.put = sh.encodeRow(e.put, row)
	}
	for _, key := range del {
		e.del = sh.encodeKey(e.del, key)
	}
	return e, nil
}

// write puts and deletes rows in a transaction.
func (sh *shape) write(ctx context.Context, c Conn, e *encoded) error {
	many := e.puts / writeChunk * writeChunk
	if err := run(ctx, c, sh.upsert(writeChunk), e.put[:many*(len(sh.d.Columns)+1)], many/writeChunk); err != nil {
		return err
	}
	if err := run(ctx, c, sh.upsert(1), e.put[many*(len(sh.d.Columns)+1):], e.puts-many); err != nil {
		return err
	}
	return run(ctx, c, sh.remove(), e.del, e.dels)
}

// run executes one statement n times, each with its share of the arguments.
func run(ctx context.Context, c Conn, query string, args []any, n int) error {
	if n == 0 {
		return nil
	}
	share := len(args) / n
	if n == 1 {
		_, err := c.ExecContext(ctx, query, args...)
		return err
	}
	st, err := c.PrepareContext(ctx, query)
	if err != nil {
		return err
	}
	defer st.Close()
	for i := range n {
		if _, err := st.ExecContext(ctx, args[i*share:(i+1)*share]...); err != nil {
			return err
		}
	}
	return nil
}

func (sh *shape) upsert(rows int) string {
	var b strings.Builder
	b.WriteString("INSERT INTO " + sh.place + " (" + sh.columns + ") VALUES ")
	one := "(?" + strings.Repeat(",?", len(sh.d.Columns)) + ")"
	b.WriteString(one + strings.Repeat(","+one, rows-1))
	b.WriteString(" ON CONFLICT (" + quoteAll(sh.d.Key) + ") DO UPDATE SET " + table.TypesColumn + "=excluded." + table.TypesColumn)
	for _, c := range sh.d.Columns[len(sh.d.Key):] {
		q := quote(c.Name)
		b.WriteString("," + q + "=excluded." + q)
	}
	return b.String()
}

func (sh *shape) remove() string {
	var b strings.Builder
	b.WriteString("DELETE FROM " + sh.place)
	for i, k := range sh.d.Key {
		b.WriteString([]string{" WHERE ", " AND "}[min(i, 1)] + quote(k) + "=?")
	}
	return b.String()
}
