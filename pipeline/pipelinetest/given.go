package pipelinetest

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/cockroachdb/apd/v3"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/pipeline"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/table"
)

// given puts into a store what is there before the pipelines start: streams into that of the pipeline under test, tables
// into that of the pipeline that writes them.
func (w *world) given(ctx context.Context, name string, st eventstore.Store) error {
	if name == w.under[0].Store {
		if err := w.streams(ctx, st); err != nil {
			return err
		}
	}
	for _, t := range w.test.Given.Tables {
		def, err := pipeline.PrepareTable(ctx, w.cfg, w.every, name, st, t.Name)
		if err != nil {
			return fmt.Errorf("given table %s: %w", t.Name, err)
		}
		if def == nil {
			continue // another store's
		}
		put := make([]table.Row, len(t.Value))
		for i := range t.Value {
			if put[i], err = rowOf(def, &t.Value[i]); err != nil {
				return fmt.Errorf("%s:%d: given table %s: %w", t.Value[i].Pos.File, t.Value[i].Pos.Line, t.Name, err)
			}
		}
		if err := st.Tables().Apply(ctx, &table.Write{Def: def, Put: put}); err != nil {
			return fmt.Errorf("given table %s: %w", t.Name, err)
		}
	}
	head, err := st.Head(ctx)
	w.mu.Lock()
	w.heads[name] = head.Position
	w.mu.Unlock()
	return err
}

func (w *world) streams(ctx context.Context, st eventstore.Store) error {
	for _, s := range w.test.Given.Streams {
		stream, err := event.ParseStream(s.Name)
		if err != nil {
			return err
		}
		u := &eventstore.Unit{}
		for i := range s.Value {
			e := w.made(&s.Value[i].TestEvent)
			if s.Value[i].ID == "" {
				e.ID = "given-" + e.ID
			}
			u.Appends = append(u.Appends, eventstore.Append{Stream: stream, Origin: s.Value[i].Origin, Events: []event.Event{e}})
		}
		if len(u.Appends) == 0 {
			continue
		}
		if err := st.Commit(ctx, []*eventstore.Unit{u}, eventstore.CommitOptions{}); err != nil {
			return fmt.Errorf("given stream %s: %w", s.Name, err)
		}
		if u.Result.Status == eventstore.Refused {
			return fmt.Errorf("given stream %s: %w", s.Name, u.Result.Err)
		}
	}
	return nil
}

// rowOf makes a row of a map of columns; what is not given is null.
func rowOf(def *table.Def, j *config.JSON) (table.Row, error) {
	row := make(table.Row, len(def.Columns))
	for i := range j.Fields {
		f := &j.Fields[i]
		at := def.Index(f.Name)
		if at < 0 {
			return nil, &table.UnknownError{Kind: "column", Name: f.Name, Have: def.Names()}
		}
		v, err := valueOf(def.Columns[at].Type, &f.Value)
		if err != nil {
			return nil, fmt.Errorf("column %s: %w", f.Name, err)
		}
		row[at] = v
	}
	return row, nil
}

func valueOf(t table.Type, j *config.JSON) (table.Value, error) {
	switch {
	case j.Kind == config.JSONNull || j.Kind == config.NotGiven:
		return nil, nil
	case t == table.JSON, j.Kind == config.JSONObject, j.Kind == config.JSONList:
		return table.Canonical(json.RawMessage(j.Append(nil)))
	case j.Kind == config.JSONBool:
		return j.Text == "true", nil
	case j.Kind == config.JSONNumber && t != table.Text:
		d, _, err := apd.NewFromString(j.Text)
		if err != nil {
			return nil, err
		}
		return table.Canonical(d)
	case t == table.Timestamp:
		at, err := time.Parse(time.RFC3339, j.Text)
		if err != nil {
			return nil, fmt.Errorf("%q is no time", j.Text)
		}
		return table.Canonical(at)
	}
	return table.Canonical(j.Text)
}
