package cmd

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/leatdev/leat/config"
)

// named gives names of a kind that a config defines; of is the command's first argument, "" where it has none.
type named func(cfg *config.Config, of string) []string

func pipelineNames(cfg *config.Config, _ string) (out []string) {
	for _, p := range cfg.Pipelines {
		out = append(out, p.Name)
	}
	return out
}

func relayNames(cfg *config.Config, of string) (out []string) {
	for _, r := range relaysOf(cfg) {
		if of == "" || isFile(of) || of == r.Of {
			out = append(out, r.Name)
		}
	}
	return out
}

// relayPaths names relays with their pipelines.
func relayPaths(cfg *config.Config, _ string) (out []string) {
	for _, r := range relaysOf(cfg) {
		out = append(out, r.Of+"/"+r.Name)
	}
	return out
}

func tableNames(cfg *config.Config, _ string) []string {
	names := slices.Collect(maps.Keys(cfg.Tables))
	for _, p := range cfg.Pipelines {
		for _, s := range config.AllSteps(p.Steps) {
			if s.Project != nil {
				names = append(names, s.Project.Table)
			}
		}
	}
	return names
}

func storeNames(cfg *config.Config, _ string) []string { return slices.Collect(maps.Keys(cfg.Stores)) }

func stepNames(cfg *config.Config, _ string) (out []string) {
	for _, p := range cfg.Pipelines {
		out = append(out, config.StepNames(p)...)
		for _, r := range relaysOf(cfg) {
			out = append(out, r.Name)
		}
	}
	return out
}

// argNames says what the first argument of commands is; others take pipeline files.
var argNames = map[string]named{
	"leat pause": pipelineNames, "leat resume": pipelineNames, "leat table": tableNames, "leat rebuild": tableNames, "leat replay": relayPaths,
	"leat tail pipeline": pipelineNames,
}

// flagNames says what flags name, wherever they stand.
var flagNames = map[string]named{"pipeline": pipelineNames, "relay": relayNames, "table": tableNames, "store": storeNames, "step": stepNames}

// fileCommands take pipeline files and nothing else.
var fileCommands = []string{"leat run", "leat validate", "leat test", "leat graph", "leat doctor", "leat config print"}

// completions gives the commands below root what they lack: names out of pipeline files, and the files themselves.
func (a *app) completions(c *cobra.Command) {
	path := c.CommandPath()
	if c.ValidArgsFunction == nil && c.ValidArgs == nil && !c.HasSubCommands() {
		if names, ok := argNames[path]; ok {
			c.ValidArgsFunction = func(c *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
				if len(args) > 0 {
					return []string{"yaml", "yml"}, cobra.ShellCompDirectiveFilterFileExt
				}
				return a.complete(c, args, names)
			}
		} else if slices.Contains(fileCommands, path) {
			c.ValidArgsFunction = func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
				return []string{"yaml", "yml"}, cobra.ShellCompDirectiveFilterFileExt
			}
		}
	}
	for flag, names := range flagNames {
		if c.Flags().Lookup(flag) == nil {
			continue
		}
		// It is taken where a command has said better itself.
		_ = c.RegisterFlagCompletionFunc(flag, func(c *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			return a.complete(c, args, names)
		})
	}
	for _, sub := range c.Commands() {
		a.completions(sub)
	}
}

// complete gives names out of the files on the command line, else of those in the present folder.
func (a *app) complete(c *cobra.Command, args []string, names named) ([]string, cobra.ShellCompDirective) {
	var files []string
	of := ""
	if len(args) > 0 {
		of = args[0]
	}
	for _, arg := range args {
		if isFile(arg) {
			files = append(files, arg)
		}
	}
	if f := c.Flags().Lookup("file"); f != nil {
		if more, err := c.Flags().GetStringArray("file"); err == nil {
			files = append(files, more...)
		}
	}
	if len(files) == 0 {
		for _, ext := range []string{"*.yaml", "*.yml"} {
			found, err := filepath.Glob(ext)
			if err == nil {
				files = append(files, found...)
			}
		}
	}
	out := map[string]bool{}
	for _, f := range files {
		// Each by itself: one with mistakes, or of something else, leaves the others alone.
		b, err := os.ReadFile(f)
		if err != nil || len(b) > 1<<20 {
			continue
		}
		cfg, _ := config.LoadBytes(f, b, config.Options{NoEnv: true})
		for _, name := range names(cfg, of) {
			out[name] = true
		}
	}
	list := slices.Sorted(maps.Keys(out))
	for i := range list {
		list[i] = strings.ReplaceAll(list[i], "\t", " ")
	}
	return list, cobra.ShellCompDirectiveNoFileComp
}
