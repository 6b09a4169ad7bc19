package cmd

import (
	"bufio"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/pipeline/eventstore/wire"
	"github.com/leatdev/leat/pipeline/table"
)

// besides is a store together with the databases that a pipeline file keeps tables in.
type besides struct {
	access
	databases map[string]table.Database
	in        map[string]string // table → database
}

// openTables is open, with the databases that the pipeline files name.
func (a *app) openTables(ctx context.Context, p *place) (access, error) {
	st, err := a.open(ctx, p, false)
	if err != nil || p.server != "" || len(p.files) == 0 {
		return st, err
	}
	cfg, _ := config.Load(p.files, config.Options{Env: a.env}) // what is wrong with its stores has been said
	b := besides{access: st, databases: map[string]table.Database{}, in: map[string]string{}}
	for name, t := range cfg.Tables {
		plugin, ok := cfg.Databases[t.In]
		if !ok {
			continue
		}
		if b.in[name] = t.In; b.databases[t.In] != nil {
			continue
		}
		db, err := table.Open(ctx, plugin)
		if err != nil {
			return nil, errors.Join(environment(fmt.Errorf("database %s: %w", t.In, err)), b.Close())
		}
		b.databases[t.In] = db
	}
	return b, nil
}

// ListTables implements access: those of the store, then those of each database.
func (b besides) ListTables(ctx context.Context) ([]table.Info, error) {
	all, err := b.access.ListTables(ctx)
	for _, name := range slices.Sorted(maps.Keys(b.databases)) {
		more, e := b.databases[name].Tables(ctx)
		all, err = append(all, more...), errors.Join(err, e)
	}
	return all, err
}

// QueryTable implements access.
func (b besides) QueryTable(ctx context.Context, q table.Query) (table.Def, iter.Seq2[table.Row, error], error) {
	if db, ok := b.databases[b.in[q.Table]]; ok {
		return db.Query(ctx, q)
	}
	return b.access.QueryTable(ctx, q)
}

// Close implements access.
func (b besides) Close() error {
	err := b.access.Close()
	for _, db := range b.databases {
		err = errors.Join(err, db.Close())
	}
	return err
}

func (a *app) tableCommand() *cobra.Command {
	var (
		p     place
		q     table.Query
		where []string
		asCSV bool
	)
	c := &cobra.Command{
		Use:   "table [NAME] [FILE]",
		Short: "List the tables, or print the rows of one",
		Long: `Without a name: the tables that pipelines keep in the store, with rows and columns.
With one: its rows, aligned on a terminal, else one JSON object a line (--json), or as CSV.`,
		Example: `  leat table pipeline.yaml
  leat table orders pipeline.yaml --where status=open --order -total --limit 10
  leat table orders --data ./data --csv > orders.csv`,
		RunE: func(c *cobra.Command, args []string) error {
			rest := p.take(args)
			if len(rest) > 1 {
				return usagef("table takes one name, not %d\nSee: %s --help", len(rest), c.CommandPath())
			}
			if len(rest) == 0 && (len(where) > 0 || len(q.Order) > 0 || q.Limit != 0 || q.Skip != 0 || asCSV) {
				return usagef("which table? --where, --order, --limit, --skip and --csv are for the rows of one")
			}
			if q.Limit < 0 || q.Skip < 0 {
				return usagef("--limit and --skip count from 0")
			}
			q.Equal = map[string]string{}
			for _, w := range where {
				column, value, ok := strings.Cut(w, "=")
				if !ok {
					return usagef("--where is COLUMN=VALUE, not %q", w)
				}
				q.Equal[column] = value
			}
			st, err := a.openTables(c.Context(), &p)
			if err != nil {
				return err
			}
			defer st.Close()
			if len(rest) == 0 {
				return a.printTables(c.Context(), st)
			}
			q.Table = rest[0]
			def, rows, err := st.QueryTable(c.Context(), q)
			var unknown *table.UnknownError
			if errors.As(err, &unknown) {
				return usagef("%w", err)
			}
			if err != nil {
				return err
			}
			switch {
			case asCSV:
				return a.printCSV(&def, rows)
			case a.lines():
				return a.printRowLines(&def, rows)
			}
			return a.printRows(&def, rows)
		},
	}
	p.flags(c)
	c.Flags().StringArrayVar(&where, "where", nil, "only rows with COLUMN=VALUE; may be repeated")
	c.Flags().StringSliceVar(&q.Order, "order", nil, "columns to sort by, -COLUMN for descending; default: the key")
	c.Flags().IntVarP(&q.Limit, "limit", "n", 0, "at most so many rows; 0: all")
	c.Flags().IntVar(&q.Skip, "skip", 0, "leave out so many rows first")
	c.Flags().BoolVar(&asCSV, "csv", false, "rows as CSV with a head")
	return c
}

func (a *app) printTables(ctx context.Context, st access) error {
	infos, err := st.ListTables(ctx)
	if err != nil {
		return err
	}
	if a.lines() {
		for i := range infos {
			if err := writeLine(a.out, wire.TableOf(&infos[i])); err != nil {
				return err
			}
		}
		return nil
	}
	if len(infos) == 0 {
		a.say("no tables")
	}
	g := newGrid(a.out, a.outColor(), "TABLE", ">ROWS", ">VERSION", ">POSITION", "KEY", "COLUMNS")
	for i := range infos {
		t := &infos[i]
		rows := number(t.Rows)
		if t.Rows < 0 {
			rows = "?"
		}
		var columns []string
		for _, c := range t.Def.Columns[min(len(t.Def.Key), len(t.Def.Columns)):] {
			columns = append(columns, c.Name)
		}
		name := t.Def.Name
		if t.Building > 0 {
			name += " (being rebuilt)"
		}
		if err := g.add(name, rows, number(int64(t.Def.Version)), number(t.Position), strings.Join(t.Def.Key, ", "), strings.Join(columns, ", ")); err != nil {
			return err
		}
	}
	return g.done()
}

func (a *app) printRowLines(def *table.Def, rows iter.Seq2[table.Row, error]) error {
	out := bufio.NewWriterSize(a.out, 64<<10)
	var line []byte
	for row, err := range rows {
		if err == nil {
			line = append(table.AppendRowJSON(line[:0], def, row), '\n')
			_, err = out.Write(line)
		}
		if err != nil {
			return errors.Join(err, out.Flush())
		}
	}
	return out.Flush()
}

func (a *app) printCSV(def *table.Def, rows iter.Seq2[table.Row, error]) error {
	out := csv.NewWriter(a.out)
	if err := out.Write(def.Names()); err != nil {
		return err
	}
	for row, err := range rows {
		if err == nil {
			err = out.Write(cells(row))
		}
		if err != nil {
			out.Flush()
			return err
		}
	}
	out.Flush()
	return out.Error()
}

func (a *app) printRows(def *table.Def, rows iter.Seq2[table.Row, error]) error {
	head := def.Names()
	for i, c := range def.Columns {
		if c.Type == table.Integer || c.Type == table.Numeric {
			head[i] = ">" + head[i]
		}
	}
	g := newGrid(a.out, a.outColor(), head...)
	n := int64(0)
	for row, err := range rows {
		if err == nil {
			n++
			row := cells(row)
			for i := range row {
				row[i] = cut(row[i], 60)
			}
			err = g.add(row...)
		}
		if err != nil {
			return errors.Join(g.done(), err)
		}
	}
	if err := g.done(); err != nil {
		return err
	}
	a.say("%s", count(n, "row"))
	return nil
}

func cells(row table.Row) []string {
	out := make([]string, len(row))
	for i, v := range row {
		out[i] = string(table.AppendText(nil, v))
	}
	return out
}
