package config

import "fmt"

// checkMounts looks for two pipelines whose sources want one place on the listener.
func (l *loader) checkMounts() {
	first := map[string]*Pipeline{}
	for _, p := range l.cfg.Pipelines {
		m, ok := p.Source.Plugin.Config.(Mounted)
		if !ok || l.opts.NoEnv {
			continue // a path may stand in the environment
		}
		for _, place := range m.Mounts() {
			other := first[place]
			if other == nil {
				first[place] = p
				continue
			}
			at, there := p.Source.Plugin.Pos, other.Source.Plugin.Pos
			l.add(Diagnostic{File: at.File, f: l.sourceOf(at.File), Line: at.Line, Col: at.Col, EndCol: at.Col + len(p.Source.Plugin.Name), exact: true,
				Path: "pipelines." + p.Name + ".source." + p.Source.Plugin.Name, Code: CodeConflict, Severity: Error,
				Message: fmt.Sprintf("%s is taken by the pipeline %s", place, other.Name), Hint: "give each a path of its own; what is to be in both is read from the log, by `source: event_log`",
				Related: []Related{{there.File, there.Line, there.Col, "taken here"}}})
			break
		}
	}
}

func (l *loader) sourceOf(name string) *source {
	for _, f := range l.files {
		if f.name == name {
			return f
		}
	}
	return nil
}
