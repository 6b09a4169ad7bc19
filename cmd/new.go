package cmd

import (
	"errors"
	"fmt"
	"path/filepath"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"

	"github.com/leatdev/leat/cmd/skeleton"
	"github.com/leatdev/leat/config"
)

func (a *app) newCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "new",
		Short: "Begin a pipeline, or a plugin in Go, with tests that pass",
		Args:  usageArgs(cobra.NoArgs),
		RunE:  func(c *cobra.Command, _ []string) error { return needsVerb(c) },
	}
	c.AddCommand(a.newPipeline())
	for _, kind := range pluginKinds {
		c.AddCommand(a.newPlugin(kind))
	}
	return c
}

// pluginKinds are the kinds of plugins that new can begin.
var pluginKinds = []config.Kind{config.KindHandler, config.KindSource, config.KindSink}

func (a *app) newPipeline() *cobra.Command {
	var dir string
	var p skeleton.Pipeline
	c := &cobra.Command{
		Use:   "pipeline NAME",
		Short: "Write a folder with a pipeline, its tests, and data to try it on",
		Long: `Write NAME/pipeline.yaml: a pipeline from a source over the event store into a table and to a sink, with
tests that pass as it stands. Nothing is asked, and nothing that is there is overwritten.
Secrets that a plugin needs come from the environment.`,
		Example: `  leat new pipeline orders
  leat new pipeline orders --source sqs --sink http --store postgres`,
		Args: usageArgs(cobra.ExactArgs(1)),
		RunE: func(_ *cobra.Command, args []string) error {
			p.Name, p.Dir = args[0], first(dir, args[0])
			f, err := p.Files()
			if err != nil {
				return usagef("%w", err)
			}
			file := filepath.Join(p.Dir, "pipeline.yaml")
			return a.wrote(f, p.Dir, []string{"leat test " + file, "leat run " + file})
		},
	}
	f := c.Flags()
	f.StringVar(&p.Source, "source", "file", "plugin that the events come from (leat list sources)")
	f.StringVar(&p.Sink, "sink", "stdout", "plugin that they are sent on to (leat list sinks)")
	f.StringVar(&p.Store, "store", "sqlite", "event store (leat list stores)")
	f.StringVarP(&dir, "output", "o", "", "folder to write (default NAME)")
	_ = c.MarkFlagDirname("output")
	for flag, kind := range map[string]string{"source": "source", "sink": "sink", "store": "store"} {
		_ = c.RegisterFlagCompletionFunc(flag, completePlugins(kind))
	}
	return c
}

func (a *app) newPlugin(kind config.Kind) *cobra.Command {
	var dir, module, replace string
	c := &cobra.Command{
		Use:   string(kind) + " NAME",
		Short: "Write a Go module with a " + string(kind) + ", its tests, a main and a pipeline",
		Long: `Write a folder NAME with a Go module: the ` + string(kind) + ` and its tests, a main that builds leat with it, a
pipeline that uses it, and a Dockerfile. It builds and its tests pass as it stands.
Nothing is asked, and nothing that is there is overwritten.`,
		Example: fmt.Sprintf("  leat new %s archive --module example.com/team/archive", kind),
		Args:    usageArgs(cobra.ExactArgs(1)),
		RunE: func(_ *cobra.Command, args []string) error {
			p := skeleton.Plugin{Kind: string(kind), Name: args[0], Module: first(module, "example.com/"+args[0]), Go: goVersion()}
			dir := first(dir, args[0])
			next := []string{"cd " + dir, "go test ./...", "go build -o bin/leat ./cmd/leat"}
			if replace == "" {
				var ok bool
				if p.Leat, ok = leatVersion(); !ok {
					return usagef("this leat is no released version, so a module cannot require it: --replace FOLDER names leat's sources")
				}
				next = append(next[:1:1], append([]string{"go mod tidy"}, next[1:]...)...)
			} else {
				local, err := skeleton.OpenLocal(replace)
				if err != nil {
					return usagef("--replace: %w", err)
				}
				p.Local, p.Replace = &local, local.Dir
				if abs, err := filepath.Abs(dir); err == nil && !filepath.IsAbs(replace) {
					if rel, err := filepath.Rel(abs, local.Dir); err == nil {
						p.Replace = filepath.ToSlash(rel)
					}
				}
			}
			f, err := p.Files()
			if err != nil {
				return usagef("%w", err)
			}
			return a.wrote(f, dir, next)
		},
	}
	c.Flags().StringVar(&module, "module", "", "path of the module (default example.com/NAME)")
	c.Flags().StringVar(&replace, "replace", "", "folder with leat's sources, instead of this leat's version from the network")
	c.Flags().StringVarP(&dir, "output", "o", "", "folder to write (default NAME)")
	_ = c.MarkFlagDirname("output")
	_ = c.MarkFlagDirname("replace")
	return c
}

// wrote writes files and tells what there is now, and what to do next.
func (a *app) wrote(f skeleton.Files, dir string, next []string) error {
	switch err := f.Write(dir); {
	case errors.Is(err, skeleton.ErrExists):
		return usagef("%w", err)
	case err != nil:
		return environment(err)
	}
	for _, name := range f.Names() {
		path := filepath.Join(dir, name)
		if a.json {
			if err := writeLine(a.out, map[string]string{"file": path}); err != nil {
				return err
			}
			continue
		}
		fmt.Fprintln(a.out, path)
	}
	a.say("Next:  %s", strings.Join(next, "\n       "))
	return nil
}

// leatVersion gives the version of leat's module that is running, and whether it can be had from the network.
func leatVersion() (string, bool) {
	v := Version()
	if b, ok := debug.ReadBuildInfo(); ok && b.Main.Path != skeleton.LeatModule {
		for _, d := range b.Deps {
			if d.Path == skeleton.LeatModule && d.Replace == nil {
				v = d.Version
			}
		}
	}
	return v, strings.HasPrefix(v, "v") && !strings.Contains(v, "dirty") && v != skeleton.NoVersion && strings.Count(strings.SplitN(v, "-", 2)[0], ".") == 2
}

// goVersion is the version of the Go language that a new module asks for.
func goVersion() string {
	if b, ok := debug.ReadBuildInfo(); ok {
		if v := strings.SplitN(strings.TrimPrefix(b.GoVersion, "go"), ".", 3); len(v) >= 2 {
			return v[0] + "." + v[1]
		}
	}
	return "1.26"
}
