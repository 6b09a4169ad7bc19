package cmd

import (
	"runtime/debug"
	"slices"
	"strings"

	"github.com/leatdev/leat/cmd/skeleton"
	"github.com/leatdev/leat/config"
)

// moduleInfo is a module, besides leat's own, that plugins of this build come from.
type moduleInfo struct {
	Path    string `json:"path"`
	Version string `json:"version"`
	// Local: its sources came from a folder.
	Local   bool     `json:"local,omitempty"`
	Plugins []string `json:"plugins"`
}

// String writes it for people.
func (m moduleInfo) String() string {
	v := m.Version
	if m.Local {
		v = "from a folder"
	}
	return m.Path + " " + v + ": " + strings.Join(m.Plugins, ", ")
}

// pluginModules lists the modules of plugins that are not leat's, by path.
func pluginModules() []moduleInfo {
	b, ok := debug.ReadBuildInfo()
	if !ok {
		return nil
	}
	found := map[string]*moduleInfo{}
	for _, m := range append(b.Deps, &b.Main) {
		info := &moduleInfo{Path: m.Path, Version: m.Version}
		if m.Replace != nil {
			info.Version, info.Local = m.Replace.Version, m.Replace.Version == ""
		}
		if info.Version == "" || info.Version == "(devel)" || info.Version == skeleton.NoVersion {
			info.Version, info.Local = "devel", true
		}
		found[m.Path] = info
	}
	var out []moduleInfo
	for _, kind := range []config.Kind{config.KindSource, config.KindHandler, config.KindSink, config.KindStore} {
		for _, p := range config.Plugins(kind) {
			path := p.Config.PkgPath()
			for path != "" && found[path] == nil {
				i := strings.LastIndexByte(path, '/')
				path = path[:max(i, 0)]
			}
			if m := found[path]; m != nil && m.Path != skeleton.LeatModule {
				m.Plugins = append(m.Plugins, string(kind)+" "+p.Name)
			}
		}
	}
	for _, m := range found {
		if len(m.Plugins) > 0 {
			out = append(out, *m)
		}
	}
	slices.SortFunc(out, func(a, b moduleInfo) int { return strings.Compare(a.Path, b.Path) })
	return out
}
