package cmd

import (
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/pipeline/graph"
	"github.com/leatdev/leat/pipeline/telemetry"
)

// drawings are the formats of graph.
var drawings = []struct {
	name, ext string
	draw      func(*graph.Graph) []byte
}{
	{"mermaid", ".mmd", (*graph.Graph).Mermaid},
	{"dot", ".dot", (*graph.Graph).DOT},
	{"svg", ".svg", (*graph.Graph).SVG},
	{"text", ".txt", (*graph.Graph).Text},
}

func (a *app) graphCommand() *cobra.Command {
	var format, output, envFile string
	var resolve bool
	c := &cobra.Command{
		Use:   "graph FILE…",
		Short: "Draw what pipeline files come to",
		Long: `Draw sources, steps, streams, relays and tables, and the buses, queues and files that lead from one
pipeline to the next. Ways that lead back to where they started are marked as loops.
Nothing is opened or connected, and ${NAME} is drawn as it stands unless --resolve is given.

Formats: mermaid (GitHub and GitLab draw it within Markdown), dot (Graphviz), svg, text (for a terminal).`,
		Example: `  leat graph pipeline.yaml --format text
  leat graph pipelines/ -o pipelines.svg`,
		Args: usageArgs(cobra.MinimumNArgs(1)),
		RunE: func(_ *cobra.Command, args []string) error {
			draw, err := drawing(format, output)
			if err != nil {
				return err
			}
			cfg, diags := config.Load(args, config.Options{Env: a.env, EnvFile: envFile, NoEnv: !resolve && envFile == ""})
			telemetry.HideSecrets(cfg)
			if err := a.diagnose(diags); err != nil {
				return err
			}
			g := graph.Build(cfg, telemetry.Redact)
			picture := draw(g)
			if output == "" || output == "-" {
				_, err = a.out.Write(picture)
				return err
			}
			if err := os.WriteFile(output, picture, 0o644); err != nil { //nolint:gosec // a picture for everybody to see
				return environment(fmt.Errorf("write the picture: %w", err))
			}
			if n := g.Loops(); n > 0 {
				a.say("%s: %s marked as a loop", output, count(int64(n), "edge"))
			}
			return nil
		},
	}
	c.Flags().BoolVar(&resolve, "resolve", false, "look up ${NAME} and ${file:…}")
	c.Flags().StringVar(&envFile, "env-file", "", "as --resolve, and look in this file of NAME=value lines first")
	_ = c.MarkFlagFilename("env-file")
	c.Flags().StringVar(&format, "format", "", "mermaid, dot, svg or text (default by the ending of -o, else mermaid)")
	c.Flags().StringVarP(&output, "output", "o", "", "file to write, instead of stdout")
	_ = c.RegisterFlagCompletionFunc("format", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return drawingNames(), cobra.ShellCompDirectiveNoFileComp
	})
	return c
}

func drawingNames() []string {
	var out []string
	for _, d := range drawings {
		out = append(out, d.name)
	}
	return out
}

// drawing finds the format that the flags ask for.
func drawing(format, output string) (func(*graph.Graph) []byte, error) {
	if format == "" {
		format = "mermaid"
		for _, d := range drawings {
			if strings.HasSuffix(output, d.ext) {
				format = d.name
			}
		}
	}
	for _, d := range drawings {
		if d.name == format {
			return d.draw, nil
		}
	}
	hint := ""
	if best := config.Nearest(format, drawingNames()); best != "" {
		hint = fmt.Sprintf("; did you mean %q?", best)
	}
	return nil, usagef("--format is %s, not %q%s", list(drawingNames()), format, hint)
}
