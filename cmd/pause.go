package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/pipeline"
	"github.com/leatdev/leat/pipeline/control"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/eventstore/client"
	"github.com/leatdev/leat/pipeline/eventstore/wire"
)

func (a *app) pauseCommand() *cobra.Command {
	return a.pausing(false, &cobra.Command{
		Use:   "pause PIPELINE [FILE]",
		Short: "Stop a pipeline, its intake or a relay, until it is resumed",
		Long: `Drain and stop a pipeline, its intake alone (--intake) or one of its relays (--relay NAME). It
stays paused over restarts, until leat resume. A pipeline that is paused is listed so by leat status
and in the metrics; a daemon stays ready. A running daemon is asked by --server; without one the
store keeps it for the next start.`,
		Example: `  leat pause orders --server 127.0.0.1:8087
  leat pause orders --relay to-bus --server 127.0.0.1:8087
  leat pause orders pipeline.yaml`,
	})
}

func (a *app) resumeCommand() *cobra.Command {
	return a.pausing(true, &cobra.Command{
		Use:     "resume PIPELINE [FILE]",
		Short:   "Let go on what was paused",
		Long:    `Let a pipeline, its intake (--intake) or one of its relays (--relay NAME) go on after leat pause.`,
		Example: `  leat resume orders --server 127.0.0.1:8087`,
	})
}

func (a *app) pausing(resume bool, c *cobra.Command) *cobra.Command {
	var p place
	ask := control.Pause{Resume: resume}
	c.RunE = func(c *cobra.Command, args []string) error {
		rest := p.take(args)
		if len(rest) != 1 {
			return usagef("%s takes the name of one pipeline, not %d\nSee: %s --help", c.Name(), len(rest), c.CommandPath())
		}
		ask.Pipeline = rest[0]
		if ask.Intake && ask.Relay != "" {
			return usagef("--intake and --relay exclude each other")
		}
		if err := a.pause(c.Context(), &p, ask); err != nil {
			return asked(err)
		}
		what := "the pipeline " + ask.Pipeline
		switch {
		case ask.Intake:
			what = "the intake of " + ask.Pipeline
		case ask.Relay != "":
			what = fmt.Sprintf("the relay %s of %s", ask.Relay, ask.Pipeline)
		}
		if a.json {
			return writeLine(a.out, ask)
		}
		if resume {
			a.say("%s goes on", what)
		} else {
			a.say("%s is paused", what)
		}
		return nil
	}
	p.flags(c)
	c.Flags().BoolVar(&ask.Intake, "intake", false, "the intake alone: what is in the log is still delivered")
	c.Flags().StringVar(&ask.Relay, "relay", "", "one relay alone, by its name in leat status")
	return c
}

// asked gives an error the exit code of what was asked wrongly.
func asked(err error) error {
	var unknown *control.UnknownError
	var refused *control.RefusedError
	var problem *wire.Problem
	switch {
	case errors.As(err, &unknown), errors.As(err, &refused):
		return usagef("%w", err)
	case errors.As(err, &problem) && slices.Contains([]string{"unknown", "refused", "bad_request"}, problem.Code):
		return usagef("%w", err)
	}
	return err
}

func (a *app) pause(ctx context.Context, p *place, ask control.Pause) error {
	st, err := a.open(ctx, p, true)
	if err != nil {
		return err
	}
	defer func(c io.Closer) { _ = c.Close() }(st)
	switch st := st.(type) {
	case *client.Client:
		return st.Pause(ctx, ask)
	case atRest:
		return a.pauseAtRest(ctx, p, st.Store, ask)
	}
	return fmt.Errorf("pause: %T cannot be paused", st)
}

// pauseAtRest writes into the store what a daemon is to heed when it starts.
func (a *app) pauseAtRest(ctx context.Context, p *place, st eventstore.Store, ask control.Pause) error {
	relays, err := st.ListRelays(ctx, "")
	if err != nil {
		return err
	}
	unknown := &control.UnknownError{Kind: "pipeline", Name: ask.Pipeline}
	if len(p.files) > 0 {
		cfg, _ := config.Load(p.files, config.Options{Env: a.env}) // its stores were read without a fault
		for _, c := range cfg.Pipelines {
			unknown.Have = append(unknown.Have, c.Name)
		}
	} else {
		for _, r := range relays {
			if !slices.Contains(unknown.Have, r.Pipeline) {
				unknown.Have = append(unknown.Have, r.Pipeline)
			}
		}
	}
	if !slices.Contains(unknown.Have, ask.Pipeline) {
		return unknown
	}
	if ask.Relay == "" {
		return pipeline.KeepPause(ctx, st, ask)
	}
	unknown = &control.UnknownError{Kind: "relay", Name: ask.Relay}
	for _, r := range relays {
		if r.Pipeline != ask.Pipeline || r.Removed {
			continue
		}
		name := strings.TrimPrefix(r.ID, ask.Pipeline+"/")
		if name == ask.Relay || r.ID == ask.Relay {
			return st.PauseRelay(ctx, r.ID, !ask.Resume)
		}
		unknown.Have = append(unknown.Have, name)
	}
	return unknown
}
