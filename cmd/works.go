package cmd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/pipeline"
	"github.com/leatdev/leat/pipeline/control"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/eventstore/client"
	"github.com/leatdev/leat/pipeline/telemetry"
)

func (a *app) rebuildCommand() *cobra.Command {
	var (
		p   place
		ask control.Rebuild
	)
	c := &cobra.Command{
		Use:   "rebuild TABLE [FILE…]",
		Short: "Build a table anew from the log, beside the live one",
		Long: `Build a table anew from the beginning of the log, beside the live one, which goes on and is read
meanwhile; the two are swapped when the new one has caught up. Inline tables and the states of
aggregates are built so too; for their swap nobody appends for a moment. A running daemon is asked by --server;
without one the pipeline files say how (they must name the store too).

What is parked stays parked. Ctrl-C ends it: a daemon drops what was built; a kill in the middle makes
a daemon begin anew when it starts.`,
		Example: `  leat rebuild orders --server 127.0.0.1:8087
  leat rebuild orders pipeline.yaml --dry-run
  leat rebuild orders pipeline.yaml --throttle 5000`,
		RunE: func(c *cobra.Command, args []string) error {
			rest := p.take(args)
			if len(rest) != 1 {
				return usagef("rebuild takes the name of one table, not %d\nSee: %s --help", len(rest), c.CommandPath())
			}
			ask.Table = rest[0]
			if ask.Throttle < 0 {
				return usagef("--throttle is events a second, more than 0")
			}
			w, err := a.work(c.Context(), &p,
				func(ctx context.Context, c *client.Client) (control.Work, error) { return c.Rebuild(ctx, ask) },
				func(ctx context.Context, cfg *config.Config, o pipeline.Options, told func(control.Work)) (control.Work, error) {
					return pipeline.RebuildAtRest(ctx, cfg, o, ask, told)
				})
			if err != nil {
				return err
			}
			switch {
			case a.json:
			case ask.DryRun:
				a.say("dry run: %s would be applied to %s, %s fail in its steps; nothing was written", count(w.Events, "event"), w.Target, number(w.Parked))
			default:
				a.say("%s is built anew: %s", w.Target, count(w.Events, "event"))
				if w.Parked > 0 {
					a.say("%s failed that had not failed before, or had been dropped; they are parked: leat poison ls", count(w.Parked, "event"))
				}
			}
			return nil
		},
	}
	p.flags(c)
	c.Flags().Float64Var(&ask.Throttle, "throttle", 0, "at most so many events a second; 0: as fast as it goes")
	c.Flags().BoolVar(&ask.DryRun, "dry-run", false, "count what would be applied, and write nothing")
	return c
}

func (a *app) replayCommand() *cobra.Command {
	var (
		p   place
		ask control.Replay
		yes bool
	)
	c := &cobra.Command{
		Use:   "replay PIPELINE/RELAY [FILE…]",
		Short: "Send a part of the log once more through a forward",
		Long: `Send the events of a range once more through one forward of a pipeline, behind the steps above it. It
prints how many there are and wants --yes. The live relay does not know of it: its checkpoint stays,
new events go on as they come. What the target refuses is parked for the replay alone.

A running daemon is asked by --server; a stop or a kill in the middle is taken up when it starts.
Without a daemon the pipeline files say how; asking for the same again goes on where a kill was.`,
		Example: `  leat replay orders/to-bus --from 2026-01-31T08:00:00Z --server 127.0.0.1:8087 --dry-run
  leat replay orders/to-bus --from 1200 --to 1500 --type OrderPaid --yes pipeline.yaml`,
		RunE: func(c *cobra.Command, args []string) error {
			rest := p.take(args)
			if len(rest) != 1 {
				return usagef("replay takes one PIPELINE/RELAY, not %d\nSee: %s --help", len(rest), c.CommandPath())
			}
			var ok bool
			if ask.Pipeline, ask.Relay, ok = strings.Cut(rest[0], "/"); !ok || ask.Pipeline == "" || ask.Relay == "" {
				return usagef("%q is not PIPELINE/RELAY; leat status lists the relays", rest[0])
			}
			if ask.Throttle < 0 {
				return usagef("--throttle is events a second, more than 0")
			}
			if backwards(ask.From, ask.To) {
				return usagef("--to %s is before --from %s", ask.To, ask.From)
			}
			run := func(ask control.Replay) (control.Work, error) {
				return a.work(c.Context(), &p,
					func(ctx context.Context, c *client.Client) (control.Work, error) { return c.Replay(ctx, ask) },
					func(ctx context.Context, cfg *config.Config, o pipeline.Options, told func(control.Work)) (control.Work, error) {
						return pipeline.ReplayAtRest(ctx, cfg, o, ask, told)
					})
			}
			dry := ask
			dry.DryRun = true
			if !yes || ask.DryRun {
				w, err := run(dry)
				if err != nil {
					return err
				}
				if !a.json {
					a.say("%s would be sent to %s", count(w.Events, "event"), w.Target)
				}
				if ask.DryRun {
					return nil
				}
				return usagef("nothing was sent: say --yes to send them")
			}
			w, err := run(ask)
			if err != nil {
				return err
			}
			if !a.json {
				a.say("%s sent to %s", count(w.Events, "event"), w.Target)
				if w.Parked > 0 {
					a.say("%s parked: leat poison ls; the replay waits for them", count(w.Parked, "event"))
				}
			}
			return nil
		},
	}
	p.flags(c)
	f := c.Flags()
	f.StringVar(&ask.From, "from", "", "first position, or time (2026-01-31T08:00:00Z); default: the start")
	f.StringVar(&ask.To, "to", "", "last position, or time; default: the end as it is now")
	f.StringArrayVar(&ask.Types, "type", nil, "only events of this type; may be repeated")
	f.StringArrayVar(&ask.Streams, "stream", nil, "only events of this stream (order/o-1) or type of streams (order); may be repeated")
	f.Float64Var(&ask.Throttle, "throttle", 0, "at most so many events a second; 0: as fast as it goes")
	f.BoolVar(&ask.DryRun, "dry-run", false, "count what would be sent, and send nothing")
	f.BoolVar(&yes, "yes", false, "send them")
	return c
}

// backwards reports whether the last of two places, both positions or both times, is before the first.
func backwards(from, to string) bool {
	a, errA := eventstore.ParsePlace(from)
	b, errB := eventstore.ParsePlace(to)
	switch {
	case errA != nil || errB != nil || from == "" || to == "":
		return false
	case !a.Time.IsZero() && !b.Time.IsZero():
		return b.Time.Before(a.Time)
	}
	return a.Position > 0 && b.Position > 0 && b.Position < a.Position
}

// work lets a daemon do something long, or does it at rest, and shows how it goes: a bar on a terminal, with --json a
// line each time. It returns when the work is over, or waits for parked events.
func (a *app) work(ctx context.Context, p *place, ask func(context.Context, *client.Client) (control.Work, error),
	atRest func(context.Context, *config.Config, pipeline.Options, func(control.Work)) (control.Work, error),
) (control.Work, error) {
	shown := a.workShown()
	server := p.server
	if v, ok := a.env("LEAT_SERVER"); ok && server == "" && p.data == "" && len(p.files) == 0 {
		server = v
	}
	if server == "" {
		return a.workAtRest(ctx, p, atRest, shown)
	}
	st, err := a.open(ctx, p, true)
	if err != nil {
		return control.Work{}, err
	}
	defer st.Close()
	c, ok := st.(*client.Client)
	if !ok {
		return control.Work{}, usagef("--server ADDRESS of a running daemon is needed")
	}
	w, err := ask(ctx, c)
	if err != nil {
		return w, asked(err)
	}
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	for !w.Over() && w.State != control.Waiting {
		shown(w, false)
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
			defer cancel()
			w, err = c.CancelWork(last, w.ID)
			shown(w, true)
			if err == nil {
				err = errors.New("cancelled")
			}
			return w, &exitError{code: exitFailed, err: err}
		case <-tick.C:
		}
		if w, err = c.Work(ctx, w.ID); err != nil && ctx.Err() == nil {
			shown(w, true)
			return w, fmt.Errorf("%w\nThe daemon goes on with it; leat status shows it", err)
		}
	}
	shown(w, true)
	if w.State != control.Done && w.State != control.Waiting {
		return w, &exitError{code: exitFailed, err: fmt.Errorf("%s of %s %s: %s", w.Kind, w.Target, w.State, w.Error)}
	}
	return w, nil
}

func (a *app) workAtRest(ctx context.Context, p *place, do func(context.Context, *config.Config, pipeline.Options, func(control.Work)) (control.Work, error), shown func(control.Work, bool)) (control.Work, error) {
	if len(p.files) == 0 {
		return control.Work{}, usagef("name the pipeline file that says how, or --server of the daemon that runs it")
	}
	cfg, diags := config.Load(p.files, config.Options{Env: a.env})
	telemetry.HideSecrets(cfg)
	if err := a.diagnose(diags); err != nil {
		return control.Work{}, err
	}
	if p.data != "" {
		plugin, err := a.dataStore(p.data)
		if err != nil {
			return control.Work{}, err
		}
		cfg.Stores["main"] = plugin
	}
	ctx, _, _, stop := stopOnSignals(ctx, time.Now)
	defer stop()
	o := pipeline.Options{Log: slog.New(slog.DiscardHandler), Now: a.now, Stdout: a.out}
	w, err := do(ctx, cfg, o, func(w control.Work) { shown(w, false) })
	shown(w, true)
	switch {
	case errors.Is(err, pipeline.ErrParkedReplay):
		return w, nil
	case ctx.Err() != nil && err != nil:
		return w, &exitError{code: exitFailed, err: errors.New("interrupted; asking for the same again begins anew, or goes on")}
	case err != nil:
		var wrong *exitError
		var busy *control.BusyError
		if e := asked(err); errors.As(e, &wrong) || errors.As(e, &busy) || w.ID != "" {
			return w, e
		}
		return w, openFailed(err, true)
	}
	return w, nil
}

// workShown gives what shows a work: at most four times a second, and at its end.
func (a *app) workShown() func(w control.Work, last bool) {
	line := &statusLine{w: a.err}
	var at time.Time
	return func(w control.Work, last bool) {
		now := time.Now()
		if !last && now.Sub(at) < 250*time.Millisecond {
			return
		}
		at = now
		switch {
		case a.json:
			if w.ID != "" {
				_ = writeLine(a.out, w)
			}
		case a.errTTY && !a.quiet:
			if last {
				line.show("")
			} else {
				line.show(bar(&w))
			}
		}
	}
}

// bar draws how far a work has come.
func bar(w *control.Work) string {
	const width = 24
	share := 1.0
	if w.Total > 0 {
		share = min(1, float64(w.Done)/float64(w.Total))
	}
	full := int(share * width)
	s := fmt.Sprintf("%s [%s%s] %3.0f%%  %s of %s", w.Target, strings.Repeat("█", full), strings.Repeat("░", width-full), share*100, number(w.Done), number(w.Total))
	if w.Rate > 0 {
		s += fmt.Sprintf("  %s/s  %s left", number(int64(w.Rate)), time.Duration(w.Left*float64(time.Second)).Round(time.Second))
	}
	if w.Parked > 0 {
		s += "  parked " + number(w.Parked)
	}
	return s
}
