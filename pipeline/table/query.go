package table

import (
	"maps"
	"slices"
	"strings"
)

// Condition is met by rows whose value in a column is one of those meant.
type Condition struct {
	Column int
	Among  []Value
}

// Term is a part of an order.
type Term struct {
	Column     int
	Descending bool
}

// Conditions gives what Equal asks for, by column. A column that is not there is an *UnknownError.
func (q *Query) Conditions(d *Def) ([]Condition, error) {
	var all []Condition
	for _, name := range slices.Sorted(maps.Keys(q.Equal)) {
		i := d.Index(name)
		if i < 0 {
			return nil, &UnknownError{Kind: "column", Name: name, Have: d.Names()}
		}
		meant, err := ParseText(d.Columns[i].Type, q.Equal[name])
		if err != nil {
			return nil, err
		}
		all = append(all, Condition{i, meant})
	}
	return all, nil
}

// Terms gives what Order asks for; rows that are equal by it stand in the key's order. A column's own name may begin
// with the - that means descending.
func (q *Query) Terms(d *Def) ([]Term, error) {
	var all []Term
	for _, name := range q.Order {
		t := Term{Column: d.Index(name)}
		if rest, ok := strings.CutPrefix(name, "-"); ok && t.Column < 0 {
			t = Term{Column: d.Index(rest), Descending: true}
		}
		if t.Column < 0 {
			return nil, &UnknownError{Kind: "column", Name: strings.TrimPrefix(name, "-"), Have: d.Names()}
		}
		all = append(all, t)
	}
	return all, nil
}

// Choose gives the rows that are asked for, of all those of a table in its key's order: for backends whose databases have
// no queries. The rows are moved in place.
func (q *Query) Choose(d *Def, rows []Row) ([]Row, error) {
	conditions, err := q.Conditions(d)
	if err != nil {
		return nil, err
	}
	terms, err := q.Terms(d)
	if err != nil {
		return nil, err
	}
	for _, c := range conditions {
		rows = slices.DeleteFunc(rows, func(r Row) bool {
			return !slices.ContainsFunc(c.Among, func(v Value) bool { return Equal(v, r[c.Column]) })
		})
	}
	slices.SortStableFunc(rows, func(a, b Row) int {
		for _, t := range terms {
			c := Compare(a[t.Column], b[t.Column])
			if t.Descending {
				c = -c
			}
			if c != 0 {
				return c
			}
		}
		return 0
	})
	rows = rows[min(max(q.Skip, 0), len(rows)):]
	if q.Limit > 0 {
		rows = rows[:min(q.Limit, len(rows))]
	}
	return rows, nil
}
