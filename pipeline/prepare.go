package pipeline

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/table"
)

// PrepareTable makes a table in a store before the pipeline that writes it has run, just as that pipeline will want it,
// so that rows can be put into it. One that no pipeline writes is made as its columns say, if some pipeline looks rows up
// in it by a key. It gives nil where the table is in another store than the one that is called name.
func PrepareTable(ctx context.Context, cfg *config.Config, pipelines []*config.Pipeline, name string, st eventstore.Store, tableName string) (*table.Def, error) {
	for _, c := range pipelines {
		p, err := newPlan(c, func(string, error) {})
		if err != nil {
			return nil, fmt.Errorf("pipeline %s: %w", c.Name, err)
		}
		for _, r := range append(append([]*relayPlan{}, p.relays...), p.inline...) {
			if r.kind != kindProject || r.table != tableName {
				continue
			}
			if c.Store != name {
				return nil, nil
			}
			proj, err := compileProjection(r.projects, cfg.Tables[tableName])
			if err != nil {
				return nil, fmt.Errorf("pipeline %s: %w", c.Name, err)
			}
			head, err := st.Head(ctx)
			if err != nil {
				return nil, err
			}
			def := proj.Def()
			_, err = st.Tables().Ensure(ctx, &def, proj.Definition()+"/"+r.definition, r.id, head.LogID)
			return &def, err
		}
	}
	return prepareForeign(ctx, cfg, pipelines, name, st, tableName)
}

// prepareForeign makes a table that is only looked up.
func prepareForeign(ctx context.Context, cfg *config.Config, pipelines []*config.Pipeline, name string, st eventstore.Store, tableName string) (*table.Def, error) {
	c := cfg.Tables[tableName]
	for _, p := range pipelines {
		for _, s := range config.AllSteps(p.Steps) {
			if s.Lookup == nil || s.Lookup.Table != tableName || c == nil || len(c.Columns) == 0 {
				continue
			}
			if in := cmp.Or(s.Lookup.Store, p.Store); in != name {
				return nil, nil
			}
			def := table.Def{Name: tableName, Version: max(1, c.Version)}
			for _, k := range s.Lookup.Key {
				def.Key = append(def.Key, k.Name)
			}
			for _, key := range []bool{true, false} {
				for _, col := range c.Columns {
					if slices.Contains(def.Key, col.Name) == key {
						def.Columns = append(def.Columns, table.Column{Name: col.Name, Type: table.Type(col.Type)})
					}
				}
			}
			slices.SortStableFunc(def.Columns[:len(def.Key)], func(a, b table.Column) int {
				return slices.Index(def.Key, a.Name) - slices.Index(def.Key, b.Name)
			})
			head, err := st.Head(ctx)
			if err != nil {
				return nil, err
			}
			_, err = st.Tables().Ensure(ctx, &def, "given", "given", head.LogID)
			return &def, err
		}
	}
	return nil, fmt.Errorf("pipeline: no pipeline writes the table %s, and none looks it up by a key and with columns that are written down", tableName)
}
