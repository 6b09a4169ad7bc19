package cmd

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/leatdev/leat/config"
)

// version is set by the build: -ldflags "-X github.com/leatdev/leat/cmd.version=v1.2.3".
var version string

// Version gives the version that is running: that of the build, else of the module, else "dev".
func Version() string {
	if version != "" {
		return version
	}
	if b, ok := debug.ReadBuildInfo(); ok && b.Main.Version != "" && b.Main.Version != "(devel)" {
		return b.Main.Version
	}
	return "dev"
}

type versionInfo struct {
	Version  string              `json:"version"`
	Revision string              `json:"revision,omitempty"`
	Dirty    bool                `json:"dirty,omitempty"`
	Go       string              `json:"go"`
	Platform string              `json:"platform"`
	Plugins  map[string][]string `json:"plugins"`
	// Modules are those of plugins that do not come with leat.
	Modules []moduleInfo `json:"modules,omitempty"`
}

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version and the plugins of this build",
		Args:  usageArgs(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			v := versionInfo{Version: Version(), Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH, Plugins: map[string][]string{}}
			if b, ok := debug.ReadBuildInfo(); ok {
				for _, s := range b.Settings {
					switch s.Key {
					case "vcs.revision":
						v.Revision = s.Value
					case "vcs.modified":
						v.Dirty = s.Value == "true"
					}
				}
			}
			kinds := []config.Kind{config.KindSource, config.KindHandler, config.KindSink, config.KindStore, config.KindDatabase}
			for _, kind := range kinds {
				for _, r := range config.Plugins(kind) {
					v.Plugins[string(kind)] = append(v.Plugins[string(kind)], r.Name)
				}
			}
			v.Modules = pluginModules()
			if a.json {
				return writeLine(a.out, v)
			}
			fmt.Fprintf(a.out, "leat %s", v.Version)
			if v.Revision != "" {
				fmt.Fprintf(a.out, " (%.12s)", v.Revision)
			}
			fmt.Fprintf(a.out, " %s %s\n", v.Go, v.Platform)
			for _, kind := range kinds {
				if names := v.Plugins[string(kind)]; len(names) > 0 {
					fmt.Fprintf(a.out, "%-9s %s\n", string(kind)+"s", list(names))
				}
			}
			for _, m := range v.Modules {
				fmt.Fprintf(a.out, "with     %s\n", m)
			}
			return nil
		},
	}
}
