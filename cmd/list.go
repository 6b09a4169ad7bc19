package cmd

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/pipeline"
	"github.com/leatdev/leat/pipeline/telemetry"
	"github.com/leatdev/leat/sinks"
)

// item is a line of leat list.
type item struct {
	Kind string `json:"kind"`
	Name string `json:"name"`
	// Doc says what it is; for things of a file, what it is made of.
	Doc string `json:"doc,omitempty"`
	// Of is the pipeline of a relay or a step.
	Of      string `json:"pipeline,omitempty"`
	File    string `json:"file,omitempty"`
	Line    int    `json:"line,omitempty"`
	Package string `json:"package,omitempty"`
}

// parts are what files define, in the order in which it is listed.
var parts = []string{"pipelines", "relays", "tables", "stores", "tests"}

func (a *app) listCommand() *cobra.Command {
	var l loading
	c := &cobra.Command{
		Use:   "list [sources|steps|handlers|sinks|stores|frames] | [pipelines|relays|tables|stores|tests] FILE…",
		Short: "List the plugins of this build, or what pipeline files define",
		Long: `Without files: the plugins, steps and frames of this build, or one kind of them; leat describe NAME tells
the rest. With files: what they define, or one kind of that.`,
		Example: `  leat list
  leat list sinks
  leat list relays pipeline.yaml`,
		RunE: func(_ *cobra.Command, args []string) error { return a.list(args, &l) },
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return []string{"yaml", "yml"}, cobra.ShellCompDirectiveFilterFileExt
			}
			return append(plurals(), parts...), cobra.ShellCompDirectiveDefault
		},
	}
	l.flags(c)
	return c
}

func plurals() []string {
	var out []string
	for _, k := range config.SubjectKinds {
		out = append(out, k+"s")
	}
	return out
}

func (a *app) list(args []string, l *loading) error {
	kind, files := "", args
	if len(args) > 0 && !looksLikeFile(args[0]) {
		kind, files = args[0], args[1:]
		if k, ok := singular(kind); ok {
			kind = k + "s"
		} else if slices.Contains(parts, kind+"s") {
			kind += "s"
		}
	}
	all := plurals()
	switch {
	case kind != "" && !slices.Contains(all, kind) && !slices.Contains(parts, kind):
		hint := ""
		if best := config.Nearest(kind, append(all, parts...)); best != "" {
			hint = fmt.Sprintf("; did you mean %q?", best)
		}
		return usagef("there is no kind %q%s\nKinds: %s; of files: %s", kind, hint, strings.Join(all, ", "), strings.Join(parts, ", "))
	case len(files) == 0 && kind != "" && !slices.Contains(all, kind):
		return usagef("%s are defined by files: leat list %s FILE…", kind, kind)
	case len(files) > 0 && kind != "" && !slices.Contains(parts, kind):
		return usagef("%s come with the build and not from files: leat list %s", kind, kind)
	case len(files) > 0:
		return a.listFiles(kind, files, l)
	}
	var items []item
	for _, k := range config.SubjectKinds {
		if kind != "" && kind != k+"s" {
			continue
		}
		for _, s := range config.Subjects(k) {
			items = append(items, item{Kind: s.Kind, Name: s.Name, Doc: s.Doc, Package: s.Package})
		}
	}
	return a.items(items)
}

// looksLikeFile tells a path from the name of a kind.
func looksLikeFile(arg string) bool {
	if isFile(arg) || strings.ContainsAny(arg, `/\.`) {
		return true
	}
	_, kind := singular(arg)
	_, err := os.Stat(arg)
	return err == nil && !kind && !slices.Contains(parts, arg)
}

func (a *app) listFiles(kind string, files []string, l *loading) error {
	cfg, diags := config.Load(files, l.options(a))
	telemetry.HideSecrets(cfg)
	if err := a.diagnose(diags); err != nil {
		return err
	}
	var items []item
	add := func(k string, i item) {
		if kind == "" || kind == k+"s" {
			i.Kind = k
			i.Doc = telemetry.Redact(i.Doc)
			items = append(items, i)
		}
	}
	for _, p := range cfg.Pipelines {
		add("pipeline", item{Name: p.Name, File: p.Pos.File, Line: p.Pos.Line, Doc: fmt.Sprintf("from %s, %s, store %s", p.Source.Plugin.Name, count(int64(len(p.Steps)), "step"), p.Store)})
	}
	for _, r := range relaysOf(cfg) {
		add("relay", r)
	}
	for _, name := range slices.Sorted(maps.Keys(cfg.Tables)) {
		t := cfg.Tables[name]
		var columns []string
		for _, c := range t.Columns {
			columns = append(columns, c.Name)
		}
		add("table", item{Name: name, File: t.Pos.File, Line: t.Pos.Line, Doc: strings.TrimSpace(fmt.Sprintf("version %d  %s", t.Version, strings.Join(columns, ", ")))})
	}
	for _, name := range slices.Sorted(maps.Keys(cfg.Stores)) {
		s := cfg.Stores[name]
		doc := s.Name
		if t, ok := s.Config.(interface{ Target() string }); ok {
			doc += " " + t.Target()
		}
		add("store", item{Name: name, File: s.Pos.File, Line: s.Pos.Line, Doc: doc})
	}
	for _, t := range cfg.Tests {
		add("test", item{Name: t.Name, Of: t.Pipeline, File: t.Pos.File, Line: t.Pos.Line})
	}
	return a.items(items)
}

// relaysOf lists the relays of all pipelines in the order of the files, each once.
func relaysOf(cfg *config.Config) []item {
	var out []item
	seen := map[string]bool{}
	for _, p := range cfg.Pipelines {
		for _, s := range config.AllSteps(p.Steps) {
			if s.Project == nil && s.Forward == nil {
				continue
			}
			id := pipeline.RelayID(p.Name, s)
			if seen[id] {
				continue
			}
			seen[id] = true
			doc := ""
			if s.Project != nil {
				doc = "into table " + s.Project.Table
			} else {
				doc = "to " + sinks.TargetOf(s.Forward.Sink)
			}
			out = append(out, item{Kind: "relay", Name: strings.TrimPrefix(id, p.Name+"/"), Of: p.Name, Doc: doc, File: s.Pos.File, Line: s.Pos.Line})
		}
	}
	return out
}

func (a *app) items(items []item) error {
	if a.lines() {
		for _, i := range items {
			if err := writeLine(a.out, i); err != nil {
				return err
			}
		}
		return nil
	}
	g := newGrid(a.out, a.outColor(), "KIND", "NAME", "")
	for _, i := range items {
		name := i.Name
		if i.Of != "" {
			name = i.Of + "/" + name
		}
		if err := g.add(i.Kind, name, i.Doc); err != nil {
			return err
		}
	}
	return g.done()
}
