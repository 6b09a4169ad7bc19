package admin

import (
	"cmp"
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
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
	page := huma.Operation{
		OperationID: "table", Method: http.MethodGet, Path: "/tables/{table}", Summary: "A page of a read model", Tags: []string{"tables"},
		Description: "For applications: rows as a JSON array, with the address of the next page. Parameters that name no column are refused.",
	}
	operate(s, Read, page, pageOfRows)
}

// maxRows bounds a page of a table.
const maxRows = 1000

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
	q, err := rowsQuery(in.Table, in.Where, in.Order)
	if err != nil {
		return nil, err
	}
	q.Limit, q.Skip = in.Limit, in.Skip
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

type pageIn struct {
	Table string   `path:"table"`
	Store string   `query:"store" doc:"name of the store; default: main, or the only one"`
	Where []string `query:"where,explode" doc:"column=value; may be repeated"`
	Order []string `query:"order,explode" doc:"column to sort by, -column for descending; may be repeated; default: the key"`
	Limit int      `query:"limit" minimum:"1" maximum:"1000" default:"100" doc:"rows on the page"`
	Skip  int      `query:"skip" minimum:"0" doc:"rows before it"`
}

// Rows is a page of a read model.
type Rows struct {
	Table   string            `json:"table"`
	Rows    []json.RawMessage `json:"rows"`
	HasMore bool              `json:"has_more"`
	Next    string            `json:"next,omitempty" doc:"where the next page is"`
}

func pageOfRows(ctx context.Context, d *Daemon, in *pageIn) (*Body[Rows], error) {
	st, err := d.store(cmp.Or(in.Store, d.fallback()))
	if err != nil {
		return nil, err
	}
	q, err := rowsQuery(in.Table, in.Where, in.Order)
	if err != nil {
		return nil, err
	}
	q.Limit, q.Skip = in.Limit+1, in.Skip
	def, found, err := st.Tables().Query(ctx, q)
	if err != nil {
		return nil, err
	}
	out := Rows{Table: def.Name, Rows: []json.RawMessage{}}
	for row, err := range found {
		if err != nil {
			return nil, err
		}
		if len(out.Rows) == in.Limit {
			out.HasMore = true
			v := url.Values{"where": in.Where, "order": in.Order, "limit": {strconv.Itoa(in.Limit)}, "skip": {strconv.Itoa(in.Skip + in.Limit)}}
			if in.Store != "" {
				v.Set("store", in.Store)
			}
			out.Next = "/tables/" + url.PathEscape(in.Table) + "?" + v.Encode()
			break
		}
		out.Rows = append(out.Rows, table.AppendRowJSON(nil, &def, row))
	}
	return &Body[Rows]{out}, nil
}

func rowsQuery(name string, where, order []string) (table.Query, error) {
	q := table.Query{Table: name, Order: order, Equal: map[string]string{}}
	for _, w := range where {
		column, value, ok := strings.Cut(w, "=")
		if !ok {
			return q, badRequest("where is column=value, not %q", w)
		}
		q.Equal[column] = value
	}
	return q, nil
}
