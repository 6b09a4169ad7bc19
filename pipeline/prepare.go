package pipeline

import (
	"context"
	"fmt"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/table"
)

// PrepareTable makes a table in a store before the pipeline that writes it has run, just as that pipeline will want it,
// so that rows can be put into it. It gives nil where the table's pipeline has another store than the one that is called
// name, and an error where no pipeline writes it.
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
	return nil, fmt.Errorf("pipeline: no pipeline writes the table %s", tableName)
}
