package pipeline

import (
	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/pipeline/project"
	"github.com/leatdev/leat/pipeline/table"
)

// compileProjection compiles the `project` steps into one table; c is the table's block, nil where there is none.
func compileProjection(steps []config.Project, c *config.Table) (*project.Projection, error) {
	specs := make([]project.Spec, len(steps))
	for i := range steps {
		s := &steps[i]
		specs[i] = project.Spec{
			Table: s.Table, Key: columns(s.Key), Where: s.Where.Source, Each: s.Each.Source,
			Ops: changes(&s.RowOps), ByType: map[string]project.Ops{},
		}
		for typ, ops := range s.ByType {
			specs[i].ByType[typ] = changes(&ops)
		}
	}
	if c == nil {
		return project.Compile(specs, nil)
	}
	def := &table.Def{Name: c.Name, Indexes: c.Indexes, Version: c.Version}
	for _, col := range c.Columns {
		def.Columns = append(def.Columns, table.Column{Name: col.Name, Type: table.Type(col.Type)})
	}
	return project.Compile(specs, def)
}

func changes(o *config.RowOps) project.Ops {
	return project.Ops{Set: columns(o.Set), Add: columns(o.Add), Append: columns(o.Append), Unset: o.Unset, Delete: o.Delete.Source}
}

func columns(exprs config.Exprs) []project.Field {
	out := make([]project.Field, len(exprs))
	for i := range exprs {
		out[i] = project.Field{Column: exprs[i].Name, Expr: exprs[i].Expr.Source}
	}
	return out
}
