package steps

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/filter"
	"github.com/leatdev/leat/pipeline/lru"
	"github.com/leatdev/leat/pipeline/rawjson"
	"github.com/leatdev/leat/pipeline/table"
)

// Lookup finds the row of a table whose columns have the values of key, as a JSON object; nil where there is none.
type Lookup func(ctx context.Context, key map[string]string) ([]byte, error)

// lookupStep puts a row of a table into the event. One of them serves the intake and all relays that have it above them.
type lookupStep struct {
	name  string
	cfg   *config.Lookup
	place []string
	keys  []lookupKey
	memo  *lookupMemo
}

type lookupKey struct {
	column string
	value  *filter.Program
}

// lookupMemo is what all copies of a step share: where the rows are, and those that are kept.
type lookupMemo struct {
	cfg  *config.Lookup
	name string
	find Lookup
	rows *lru.Cache[string, []byte] // nil rows among them
}

func (t *Tree) lookup(p *Program, n *node) (*lookupStep, error) {
	c := n.s.Lookup
	l := &lookupStep{name: n.name, cfg: c, place: strings.Split(c.Place(), ".")}
	for _, k := range c.Key {
		v, err := p.scope.Compile(k.Expr.Source, filter.Any)
		if err != nil {
			return nil, fmt.Errorf("key %s: %w", k.Name, err)
		}
		l.keys = append(l.keys, lookupKey{k.Name, v})
	}
	slices.SortFunc(l.keys, func(a, b lookupKey) int { return strings.Compare(a.column, b.column) })
	i := slices.IndexFunc(t.lookups, func(m *lookupMemo) bool { return m.name == n.name })
	if i < 0 {
		i = len(t.lookups)
		t.lookups = append(t.lookups, &lookupMemo{cfg: c, name: n.name})
	}
	l.memo = t.lookups[i]
	return l, nil
}

func (m *lookupMemo) open(env *Env) error {
	find, err := env.Lookup(m.name, m.cfg)
	if err != nil {
		return err
	}
	m.find = find
	m.rows = lru.New[string, []byte](m.cfg.Cache.Rows, m.cfg.Cache.TTL, env.Now)
	return nil
}

func (l *lookupStep) run(x *Exec) error {
	key := make(map[string]string, len(l.keys))
	var id strings.Builder
	known := true
	for _, k := range l.keys {
		v, err := k.value.Value(x.view)
		if err != nil {
			return event.PoisonAs(event.CodeExpression, fmt.Errorf("key %s: %w", k.column, err))
		}
		if v == nil {
			known = false // nothing equals null
			break
		}
		text, err := k.value.Text(x.view)
		if err != nil {
			return event.PoisonAs(event.CodeExpression, fmt.Errorf("key %s: %w", k.column, err))
		}
		key[k.column] = text
		id.Write(event.Quote(text))
	}
	var row []byte
	if known {
		var err error
		if row, err = l.row(x, id.String(), key); err != nil {
			return err
		}
	}
	if row == nil {
		err := fmt.Errorf("the table %s has no row for %s", l.cfg.Table, l.words(key))
		switch l.cfg.Missing {
		case "drop":
			return &dropError{err}
		case "retry":
			return event.WithCode(event.CodeLookup, err)
		case "null":
			row = []byte("null")
		default:
			return event.PoisonAs(event.CodeLookup, err)
		}
	}
	if err := assign(&x.ev.Event, l.place, row); err != nil {
		return event.PoisonAs(event.CodeExpression, fmt.Errorf("into %s: %w", l.cfg.Place(), err))
	}
	x.changed()
	return nil
}

func (l *lookupStep) row(x *Exec, id string, key map[string]string) ([]byte, error) {
	if row, ok := l.memo.rows.Get(id); ok {
		return row, nil
	}
	row, err := l.memo.find(x.ctx, key)
	if err != nil {
		if x.ctx.Err() != nil {
			return nil, ErrStopped
		}
		return nil, err
	}
	if row != nil && rawjson.KindOf(row) != rawjson.KindObject {
		return nil, event.PoisonAs(event.CodeLookup, fmt.Errorf("the row of %s is no JSON object", l.cfg.Table))
	}
	if row != nil || l.cfg.Missing != "retry" {
		l.memo.rows.Put(id, row) // that there is none may change by the next attempt
	}
	return row, nil
}

// words says which row was looked for.
func (l *lookupStep) words(key map[string]string) string {
	var out []string
	for _, k := range l.keys {
		v, ok := key[k.column]
		if !ok {
			v = "null"
		}
		out = append(out, fmt.Sprintf("%s %.60q", k.column, v))
	}
	return strings.Join(out, ", ")
}

// Rows is the Lookup that reads a table.
func Rows(tables table.Store, c *config.Lookup) Lookup {
	return func(ctx context.Context, key map[string]string) ([]byte, error) {
		def, rows, err := tables.Query(ctx, table.Query{Table: c.Table, Equal: key, Limit: 2})
		var unknown *table.UnknownError
		switch {
		case errors.As(err, &unknown) && unknown.Kind == "table":
			return nil, nil // it is made with its first row
		case errors.As(err, &unknown), errors.Is(err, table.ErrValue):
			return nil, event.PoisonAs(event.CodeLookup, err)
		case err != nil:
			return nil, outageOf(err)
		}
		var out []byte
		for row, err := range rows {
			if err != nil {
				return nil, outageOf(err)
			}
			if out != nil {
				return nil, event.PoisonAs(event.CodeLookup, fmt.Errorf("several rows of the table %s have these values: the key finds no single one", c.Table))
			}
			if out, err = rowJSON(&def, row, c.Columns); err != nil {
				return nil, event.PoisonAs(event.CodeLookup, err)
			}
		}
		return out, nil
	}
}

// rowJSON writes a row as a JSON object.
func rowJSON(def *table.Def, row table.Row, columns []string) ([]byte, error) {
	for _, c := range columns {
		if def.Index(c) < 0 {
			return nil, &table.UnknownError{Kind: "column", Name: c, Have: def.Names()}
		}
	}
	out := []byte{'{'}
	for i := range def.Columns {
		name := def.Columns[i].Name
		if len(columns) > 0 && !slices.Contains(columns, name) {
			continue
		}
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(rawjson.AppendQuote(out, name), ':')
		out = table.AppendJSON(out, row[i])
	}
	return append(out, '}'), nil
}
