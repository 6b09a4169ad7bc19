package dynamodb

import (
	"context"
	"errors"
	"iter"

	"github.com/leatdev/leat/pipeline/table"
)

// errNoTables says that read models do not live in this store.
var errNoTables = errors.New("dynamodb: this store keeps no tables: project into another database")

type noTables struct{}

func (noTables) Ensure(context.Context, *table.Def, string, string, string) (table.Info, error) {
	return table.Info{}, errNoTables
}
func (noTables) Apply(context.Context, *table.Write) error { return errNoTables }
func (noTables) Take(context.Context, *table.Def, string, int64) (table.Info, error) {
	return table.Info{}, errNoTables
}
func (noTables) Swap(context.Context, *table.Def) error { return errNoTables }

// Rebuild implements table.Store.
func (noTables) Rebuild(context.Context, *table.Def, string, int64) (table.Info, error) {
	return table.Info{}, errNoTables
}

// Abandon implements table.Store.
func (noTables) Abandon(context.Context, *table.Def) error    { return errNoTables }
func (noTables) Tables(context.Context) ([]table.Info, error) { return nil, nil }
func (noTables) WithStore() bool                              { return false }
func (noTables) Query(_ context.Context, q table.Query) (table.Def, iter.Seq2[table.Row, error], error) {
	return table.Def{}, nil, &table.UnknownError{Kind: "table", Name: q.Table}
}
func (noTables) Load(context.Context, *table.Def, []table.Row) ([]table.Row, error) {
	return nil, errNoTables
}
func (noTables) Scan(context.Context, *table.Def, map[string]table.Value) iter.Seq2[table.Row, error] {
	return func(yield func(table.Row, error) bool) { yield(nil, errNoTables) }
}
