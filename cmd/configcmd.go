package cmd

import (
	"github.com/spf13/cobra"
	"io"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/pipeline/telemetry"
)

func (a *app) configCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "config",
		Short: "The schema of pipeline files, and what a file comes to",
		Args:  usageArgs(cobra.NoArgs),
		RunE:  func(c *cobra.Command, _ []string) error { return needsVerb(c) },
	}
	c.AddCommand(a.configSchema(), a.configPrint())
	return c
}

func (a *app) configSchema() *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of pipeline files, for editors",
		Long: `Print the JSON Schema (draft 7) of pipeline files, with the plugins of this build. Write it to
leat.schema.json and put this on top of a pipeline file, so that editors complete and check it:

  # yaml-language-server: $schema=leat.schema.json`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			_, err := a.out.Write(append(config.Schema(), '\n'))
			return err
		},
	}
}

func (a *app) configPrint() *cobra.Command {
	var l loading
	c := &cobra.Command{
		Use:   "print FILE…",
		Short: "Print what the files come to: defaults filled in, secrets masked",
		Args:  usageArgs(cobra.MinimumNArgs(1)),
		RunE: func(_ *cobra.Command, args []string) error {
			cfg, diags := config.Load(args, l.options(a))
			telemetry.HideSecrets(cfg)
			if err := a.diagnose(diags); err != nil {
				return err
			}
			// A value that is a secret in one field may be part of another, as of a webhook's URL.
			_, err := io.WriteString(a.out, telemetry.Redact(string(config.Print(cfg))))
			return err
		},
	}
	l.flags(c)
	return c
}
