package postgres

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/leatdev/leat/pipeline/table"
)

// reader reads rows through connections or a transaction.
type reader struct{ q Querier }

// each runs a query and hands its rows over, in memory that is used again.
func (r reader) each(ctx context.Context, query string, args []any, f func(raw [][]byte) (bool, error)) error {
	rows, err := r.q.Query(ctx, query, append([]any{pgx.QueryResultFormats{pgx.BinaryFormatCode}}, args...)...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if more, err := f(rows.RawValues()); err != nil || !more {
			return err
		}
	}
	return rows.Err()
}

// source gives the FROM item for arrays of the first columns: unnest(…) with their types.
func (sh *shape) source(width int, extra ...string) string {
	var b strings.Builder
	b.WriteString("unnest(")
	for i := range width {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, "$%d::%s", i+1, array(sh.kind(i)))
	}
	for i, t := range extra {
		fmt.Fprintf(&b, ",$%d::%s", width+i+1, t)
	}
	b.WriteByte(')')
	return b.String()
}

// cast gives a value of source in the type of its column.
func (sh *shape) cast(i int, value string) string {
	if k := sh.kind(i); k != "text" && k != "timestamptz" {
		return value + "::" + k
	}
	return value
}

func (r reader) load(ctx context.Context, d *table.Def, keys []table.Row) ([]table.Row, error) {
	rows := make([]table.Row, len(keys))
	if len(keys) == 0 {
		return rows, nil
	}
	sh, err := newShape(d)
	if err != nil {
		return nil, err
	}
	if keys, err = d.Fit(keys, len(d.Key)); err != nil {
		return nil, err
	}
	var names, on []string
	for i, k := range d.Key {
		names = append(names, "k"+strconv.Itoa(i))
		on = append(on, "p."+quote(k)+" = "+sh.cast(i, "q.k"+strconv.Itoa(i)))
	}
	// The subquery with OFFSET 0 leaves the planner one way: a look into the key's index for each of them.
	query := "SELECT q.n, t.* FROM " + sh.source(len(d.Key)) + " WITH ORDINALITY q (" + strings.Join(names, ",") + ",n) CROSS JOIN LATERAL (SELECT " +
		sh.columns + " FROM " + sh.place + " p WHERE " + strings.Join(on, " AND ") + " OFFSET 0) t"
	err = r.each(ctx, query, sh.arrays(keys, len(d.Key)), func(raw [][]byte) (bool, error) {
		row, err := sh.row(raw[1:])
		n := 0
		for _, c := range raw[0] {
			n = n<<8 | int(c)
		}
		rows[n-1] = row
		return true, err
	})
	return rows, err
}

func (r reader) scan(ctx context.Context, d *table.Def, equal map[string]table.Value, yield func(table.Row) bool) error {
	sh, err := newShape(d)
	if err != nil {
		return err
	}
	sel := selection{limit: -1, order: byKey(d)}
	for _, name := range slices.Sorted(maps.Keys(equal)) {
		i := d.Index(name)
		if i < 0 {
			return &table.UnknownError{Kind: "column", Name: name, Have: d.Names()}
		}
		v, err := table.Canonical(equal[name])
		if err != nil {
			return err
		}
		sel.among(sh, i, []table.Value{v})
	}
	return r.selectRows(ctx, sh, &sel, yield)
}

// terms gives what ORDER BY needs for a column. Its name is told from that in the result, where numbers are text.
func terms(d *table.Def, i int, direction string) string {
	column := "p." + quote(d.Columns[i].Name)
	switch {
	case d.Columns[i].Type == table.Any:
		return fmt.Sprintf("left(%[1]s, 1)%[2]s, CASE left(%[1]s, 1) WHEN 'n' THEN substr(%[1]s, 2)::numeric END%[2]s, %[1]s%[2]s", column, direction)
	case kind(d, i) == "json":
		return column + `::text COLLATE "C"` + direction
	}
	return column + direction
}

// byKey gives the key's order.
func byKey(d *table.Def) string {
	all := make([]string, len(d.Key))
	for i := range d.Key {
		all[i] = terms(d, i, "")
	}
	return strings.Join(all, ", ")
}

// selection is a SELECT's conditions in SQL, and what SQL cannot tell for sure in Go.
type selection struct {
	where       []string
	args        []any
	exact       []func(table.Row) bool
	order       string
	skip, limit int // limit -1: none
}

// among keeps rows whose column has one of the values; those that no value of the column can be are left out.
func (sel *selection) among(sh *shape, i int, values []table.Value) {
	or := []string{"false"}
	column := quote(sh.d.Columns[i].Name)
	if sh.kind(i) == "json" {
		column += "::text" // json itself has no equality
	}
	for _, v := range values {
		at, isTime := v.(time.Time)
		switch {
		case v == nil:
			or = append(or, column+" IS NULL")
			continue
		case sh.kind(i) == "timestamptz" && !isTime, sh.d.Columns[i].Type == table.Boolean && table.Kind(v) != table.Boolean,
			sh.kind(i) == "numeric" && table.Kind(v) != table.Numeric:
			continue
		case sh.kind(i) == "timestamptz":
			sel.args = append(sel.args, at.Truncate(time.Microsecond))
			or = append(or, fmt.Sprintf("%s = $%d::timestamptz", column, len(sel.args)))
			sel.exact = append(sel.exact, func(row table.Row) bool {
				return slices.ContainsFunc(values, func(v table.Value) bool { return table.Equal(v, row[i]) })
			})
			continue
		}
		sel.args = append(sel.args, sh.text(i, v))
		value := fmt.Sprintf("$%d::text", len(sel.args))
		if sh.kind(i) != "json" {
			value = sh.cast(i, value)
		}
		or = append(or, column+" = "+value)
	}
	sel.where = append(sel.where, "("+strings.Join(or, " OR ")+")")
}

// selectRows runs a selection over the rows of a table. It ends without an error where yield has had enough.
func (r reader) selectRows(ctx context.Context, sh *shape, sel *selection, yield func(table.Row) bool) error {
	q := "SELECT " + sh.columns + " FROM " + sh.place + " p"
	if len(sel.where) > 0 {
		q += " WHERE " + strings.Join(sel.where, " AND ")
	}
	q += " ORDER BY " + sel.order
	skip, left := sel.skip, sel.limit
	if len(sel.exact) == 0 {
		if left >= 0 {
			q += fmt.Sprintf(" LIMIT %d", left)
		}
		if skip > 0 {
			q += fmt.Sprintf(" OFFSET %d", skip)
		}
		skip, left = 0, -1
	}
	if left == 0 {
		return nil
	}
	return r.each(ctx, q, sel.args, func(raw [][]byte) (bool, error) {
		row, err := sh.row(raw)
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

// write puts and deletes rows in a transaction, in one round trip.
func (sh *shape) write(ctx context.Context, c Conn, e *encoded) error {
	b := &pgx.Batch{}
	if sh.queue(b, e); b.Len() == 0 {
		return nil
	}
	return c.SendBatch(ctx, b).Close()
}

func (sh *shape) queue(b *pgx.Batch, e *encoded) {
	if e.puts > 0 {
		b.Queue(sh.upsert(), e.put...)
	}
	if e.dels > 0 {
		b.Queue(sh.remove(), e.del...)
	}
}

func (sh *shape) upsert() string {
	var names, values, sets []string
	for i, c := range sh.d.Columns {
		names = append(names, "c"+strconv.Itoa(i))
		values = append(values, sh.cast(i, "c"+strconv.Itoa(i)))
		if i >= len(sh.d.Key) {
			sets = append(sets, quote(c.Name)+" = excluded."+quote(c.Name))
		}
	}
	sets = append(sets, table.TypesColumn+" = excluded."+table.TypesColumn)
	return "INSERT INTO " + sh.place + " (" + quoteAll(sh.d.Names()) + "," + table.TypesColumn + ") SELECT " + strings.Join(values, ",") + ",note FROM " +
		sh.source(len(sh.d.Columns), "text[]") + " u (" + strings.Join(names, ",") + ",note) ON CONFLICT (" + quoteAll(sh.d.Key) + ") DO UPDATE SET " + strings.Join(sets, ", ")
}

func (sh *shape) remove() string {
	var names, on []string
	for i, k := range sh.d.Key {
		names = append(names, "k"+strconv.Itoa(i))
		on = append(on, "p."+quote(k)+" = "+sh.cast(i, "q.k"+strconv.Itoa(i)))
	}
	return "DELETE FROM " + sh.place + " p USING " + sh.source(len(sh.d.Key)) + " q (" + strings.Join(names, ",") + ") WHERE " + strings.Join(on, " AND ")
}
