package cmd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/pipeline/eventstore/client"
	"github.com/leatdev/leat/pipeline/eventstore/wire"
	"github.com/leatdev/leat/pipeline/tap"
)

func (a *app) tailPipeline() *cobra.Command {
	var (
		t      tailing
		server string
	)
	c := &cobra.Command{
		Use:   "pipeline [NAME] [STAGE…]",
		Short: "Watch what passes the stages of a running pipeline",
		Long: `Show events as they pass a pipeline of a running daemon; without a name, all its pipelines. Stages
are source, step, append, relay and poison, alone or with a name (step/filter, relay/to-orders); * stands
for any text. Each sample says where it was taken and what became of the event.

The pipeline never waits: what comes faster than it is read is left out, with a count. The stream is
taken up again where the daemon is started anew.`,
		Example: `  leat tail pipeline orders
  leat tail pipeline orders source 'relay/*' --server 127.0.0.1:8087
  leat tail pipeline orders poison -o json | jq .reason`,
		RunE: func(c *cobra.Command, args []string) error {
			if err := t.prepare(a, true); err != nil {
				return err
			}
			var o tap.Options
			name := ""
			if len(args) > 0 {
				name, o.Stages = args[0], args[1:]
			}
			if err := o.Check(); err != nil {
				return usagef("%w", err)
			}
			daemon, err := a.connect(server)
			if err != nil {
				return err
			}
			defer daemon.Close()
			ctx, stop := a.untilHangup(c.Context())
			defer stop()
			names, err := pipelinesOf(ctx, daemon, name)
			if err != nil {
				return err
			}
			return a.follow(ctx, &t, func(ctx context.Context, show func(*tailed) error) error {
				return a.watchStages(ctx, daemon, names, o, show)
			})
		},
	}
	t.flags(c)
	noPast(c, "a running pipeline")
	c.Flags().StringVar(&server, "server", "", "address of the daemon, host:port (default $LEAT_SERVER, else "+defaultListen+")")
	return c
}

// pipelinesOf gives the pipelines to listen to: the one named, or all of the daemon.
func pipelinesOf(ctx context.Context, daemon *client.Client, name string) ([]string, error) {
	raw, err := daemon.Status(ctx)
	if err != nil {
		return nil, err
	}
	var status struct {
		Pipelines []struct {
			Name string `json:"name"`
		} `json:"pipelines"`
	}
	if err := json.Unmarshal(raw, &status); err != nil {
		return nil, fmt.Errorf("the daemon's status: %w", err)
	}
	var all []string
	for _, p := range status.Pipelines {
		if p.Name == name {
			return []string{name}, nil
		}
		all = append(all, p.Name)
	}
	switch near := config.Nearest(name, all); {
	case name == "" && len(all) > 0:
		return all, nil
	case len(all) == 0:
		return nil, usagef("the daemon runs no pipeline")
	case near != "":
		return nil, usagef("there is no pipeline %q; did you mean %q?", name, near)
	}
	return nil, usagef("there is no pipeline %q; there are %s", name, list(all))
}

// watchStages merges the samples of pipelines until ctx ends.
func (a *app) watchStages(ctx context.Context, daemon *client.Client, names []string, o tap.Options, show func(*tailed) error) error {
	ctx, cancel := context.WithCancel(ctx)
	var listeners sync.WaitGroup
	defer listeners.Wait()
	defer cancel()
	samples, failed := make(chan tap.Sample), make(chan error, len(names))
	for _, name := range names {
		listeners.Go(func() { failed <- a.listen(ctx, daemon, name, o, samples) })
	}
	for {
		select {
		case s := <-samples:
			if s.Lost > 0 {
				a.say("%s left out: they came faster than they were read", count(s.Lost, "sample"))
			}
			if err := show(ofStage(&s)); err != nil {
				return err
			}
		case err := <-failed:
			return err
		}
	}
}

// listen passes on the samples of one pipeline, and goes on with the next daemon where one ends.
func (a *app) listen(ctx context.Context, daemon *client.Client, name string, o tap.Options, to chan<- tap.Sample) error {
	said := false
	for {
		var failed error
		for s, err := range daemon.Tap(ctx, name, o) {
			if err != nil {
				failed = err
				break
			}
			if said {
				said = false
				a.say("pipeline %s: the daemon is back", name)
			}
			select {
			case to <- s:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		var answer *wire.Problem
		if errors.As(failed, &answer) && answer.Code != "unknown" && answer.Code != "unavailable" && answer.Code != "starting" {
			return failed
		}
		if !said {
			said = true
			a.say("pipeline %s: the daemon has ended its answer; waiting for the next one …", name)
		}
		if err := pause(ctx, time.Second); err != nil {
			return err
		}
	}
}

func ofStage(s *tap.Sample) *tailed {
	t := ofStore(&s.Event)
	stage := s.Stage
	if s.Name != "" {
		stage += "/" + s.Name
	}
	t.at = s.At
	t.title = append([]string{s.Pipeline + " " + stage + " " + s.Outcome}, t.title...)
	if s.Relay != "" && s.Relay != s.Name {
		t.facts = append([]fact{{"relay", s.Relay}}, t.facts...)
	}
	t.note = s.Reason
	if len(t.body) == 0 && len(s.Event.Raw) > 0 {
		t.body = s.Event.Raw
	}
	w := wire.SampleOf(s)
	t.json = func() (any, error) { return w, nil }
	return t
}
