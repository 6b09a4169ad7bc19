package admin

import (
	"context"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/eventstore/wire"
	"github.com/leatdev/leat/pipeline/table"
)

func (s *Server) routeTables() {
	list := huma.Operation{OperationID: "list-tables", Method: http.MethodGet, Path: "/tables", Summary: "Read models in the store's database", Tags: []string{"tables"}}
	list.Responses = lineResponse[wire.Table](s, "Tables by name")
	onStore(s, Read, list, listTables)
	rows := huma.Operation{OperationID: "stream-rows", Method: http.MethodGet, Path: "/tables/{table}", Summary: "All rows of a read model", Tags: []string{"tables"}}
	rows.Responses = lineResponse[map[string]any](s, "First the columns ({columns, key}), then the rows, each an object")
	onStore(s, Read, rows, streamRows)
}

func listTables(ctx context.Context, st eventstore.Store, _ *OfStore) (*Lines, error) {
	infos, err := st.Tables().Tables(ctx)
	if err != nil {
		return nil, err
	}
	return list(func(l *lines) error {
		for i := range infos {
			if err := l.encode(wire.TableOf(&infos[i])); err != nil {
				return err
			}
		}
		return nil
	})
}

type rowsIn struct {
	OfStore
	Table string   `path:"table"`
	Where []string `query:"where,explode" doc:"column=value; may be repeated"`
	Order []string `query:"order,explode" doc:"column to sort by, -column for descending; may be repeated; default: the key"`
	Limit int      `query:"limit" minimum:"0" doc:"at most so many rows; 0: all"`
	Skip  int      `query:"skip" minimum:"0" doc:"leave out so many rows first"`
}

func streamRows(ctx context.Context, st eventstore.Store, in *rowsIn) (*Lines, error) {
	q := table.Query{Table: in.Table, Order: in.Order, Limit: in.Limit, Skip: in.Skip, Equal: map[string]string{}}
	for _, w := range in.Where {
		column, value, ok := strings.Cut(w, "=")
		if !ok {
			return nil, badRequest("where is column=value, not %q", w)
		}
		q.Equal[column] = value
	}
	def, found, err := st.Tables().Query(ctx, q)
	if err != nil {
		return nil, err
	}
	return list(func(l *lines) error {
		if err := l.encode(wire.Columns{Columns: wire.ColumnsOf(&def), Key: def.Key}); err != nil {
			return err
		}
		var line []byte
		for row, err := range found {
			if err == nil {
				line = append(table.AppendRowJSON(line[:0], &def, row), '\n')
				err = l.write(line)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}
