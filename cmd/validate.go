package cmd

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/pipeline/telemetry"
)

// loading is the flags of commands that read pipeline files.
type loading struct {
	envFile string
	noEnv   bool
}

func (l *loading) flags(c *cobra.Command) {
	c.Flags().StringVar(&l.envFile, "env-file", "", "file of NAME=value lines that ${NAME} is looked up in first")
	c.Flags().BoolVar(&l.noEnv, "no-env", false, "look up no variables: a ${NAME} satisfies any field")
	_ = c.MarkFlagFilename("env-file")
	c.MarkFlagsMutuallyExclusive("env-file", "no-env")
}

func (l *loading) options(a *app) config.Options {
	return config.Options{Env: a.env, EnvFile: l.envFile, NoEnv: l.noEnv}
}

// validation is what validate --json prints.
type validation struct {
	OK          bool               `json:"ok"`
	Errors      int                `json:"errors"`
	Warnings    int                `json:"warnings"`
	Files       []string           `json:"files"`
	Pipelines   []string           `json:"pipelines"`
	Diagnostics config.Diagnostics `json:"diagnostics"`
}

func (a *app) validateCommand() *cobra.Command {
	var l loading
	c := &cobra.Command{
		Use:   "validate FILE…",
		Short: "Check pipeline files without running them",
		Long: `Read the files as run would and report every mistake at once, with its place and what to write
instead. Nothing is opened or connected. Exit code 2 says that there are errors.`,
		Args: usageArgs(cobra.MinimumNArgs(1)),
		RunE: func(_ *cobra.Command, args []string) error {
			cfg, diags := config.Load(args, l.options(a))
			telemetry.HideSecrets(cfg)
			if !a.json {
				if err := a.diagnose(diags); err != nil {
					return err
				}
				_, warnings := diags.Count()
				words := "ok: " + count(int64(len(cfg.Pipelines)), "pipeline")
				if n := len(cfg.Tables); n > 0 {
					words += ", " + count(int64(n), "table")
				}
				if warnings > 0 {
					words += ", " + count(int64(warnings), "warning")
				}
				a.say("%s", words)
				return nil
			}
			v := validation{Files: cfg.Files, Diagnostics: diags, Pipelines: []string{}}
			if v.Diagnostics == nil {
				v.Diagnostics = config.Diagnostics{}
			}
			v.Errors, v.Warnings = diags.Count()
			v.OK = v.Errors == 0
			for _, p := range cfg.Pipelines {
				v.Pipelines = append(v.Pipelines, p.Name)
			}
			if err := writeLine(a.out, v); err != nil {
				return fmt.Errorf("write: %w", err)
			}
			if !v.OK {
				return exit(exitUsage)
			}
			return nil
		},
	}
	l.flags(c)
	return c
}
