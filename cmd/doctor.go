package cmd

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/pipeline/check"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/telemetry"
	"github.com/leatdev/leat/sinks"
	"github.com/leatdev/leat/sources"
)

// examined is one finding with what it is about: a line of doctor --json.
type examined struct {
	Subject string `json:"subject"`
	check.Finding
}

// patient is one thing that doctor looks at.
type patient struct {
	subject string
	look    func(ctx context.Context) []check.Finding
	found   []check.Finding
}

func (a *app) doctorCommand() *cobra.Command {
	var envFile string
	var wait time.Duration
	c := &cobra.Command{
		Use:   "doctor FILE…",
		Short: "Check the surroundings that pipeline files need, without running them",
		Long: `Look at everything outside that the files name: stores (reachable, writable, of a version that fits), what
sources read and sinks write, the listener's address, disks, clocks, and the limits of this process. Nothing is
changed and no event is taken. Findings come with what to do about them.

Exit codes: 0 all is well, or warnings only; 1 a problem; 2 the files have errors; 3 something cannot be reached.`,
		Example: `  leat doctor pipeline.yaml
  leat doctor pipelines/ --json`,
		Args: usageArgs(cobra.MinimumNArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			cfg, diags := config.Load(args, config.Options{Env: a.env, EnvFile: envFile})
			telemetry.HideSecrets(cfg)
			if err := a.diagnose(diags); err != nil {
				return err
			}
			return a.examine(c.Context(), cfg, wait)
		},
	}
	c.Flags().StringVar(&envFile, "env-file", "", "file of NAME=value lines that ${NAME} is looked up in first")
	_ = c.MarkFlagFilename("env-file")
	c.Flags().DurationVar(&wait, "timeout", 15*time.Second, "how long one check may take")
	return c
}

// examine looks at everything at the same time, and tells it in the order of the files.
func (a *app) examine(ctx context.Context, cfg *config.Config, wait time.Duration) error {
	all := a.patients(cfg)
	var wg sync.WaitGroup
	for i := range all {
		wg.Go(func() { all[i].found = within(ctx, wait, all[i].look) })
	}
	wg.Wait()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	worst := check.OK
	number := map[check.Severity]int64{}
	for _, p := range all {
		for _, f := range p.found {
			f.What, f.Mend = telemetry.Redact(f.What), telemetry.Redact(f.Mend)
			if f.Severity.Worse(worst) {
				worst = f.Severity
			}
			number[f.Severity]++
			if err := a.finding(examined{p.subject, f}); err != nil {
				return err
			}
		}
	}
	a.say("%s, %s, %s", count(number[check.OK], "check")+" well", count(number[check.Warning], "warning"), count(number[check.Problem]+number[check.Unreachable], "problem"))
	switch worst {
	case check.Unreachable:
		return exit(exitEnvironment)
	case check.Problem:
		return exit(exitFailed)
	}
	return nil
}

// within runs a check that may hang: it is left behind when its time is over.
func within(ctx context.Context, wait time.Duration, look func(context.Context) []check.Finding) []check.Finding {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	done := make(chan []check.Finding, 1)
	go func() {
		defer func() {
			if r := recover(); r != nil {
				done <- []check.Finding{check.Problemf("the check panicked: %v", r)}
			}
		}()
		done <- look(ctx)
	}()
	// A check that heeds its context knows more of why it hung than we do.
	patience := time.NewTimer(wait + wait/10 + 100*time.Millisecond)
	defer patience.Stop()
	select {
	case f := <-done:
		return f
	case <-patience.C:
		return []check.Finding{check.Unreachablef("no answer within %s", wait)}
	}
}

var marks = map[check.Severity][2]string{
	check.OK: {"ok", "\x1b[32m"}, check.Warning: {"warning", "\x1b[33m"}, check.Problem: {"problem", "\x1b[31m"}, check.Unreachable: {"unreachable", "\x1b[31m"},
}

func (a *app) finding(e examined) error {
	if a.lines() {
		return writeLine(a.out, e)
	}
	if e.Severity == check.OK && a.quiet {
		return nil
	}
	mark := marks[e.Severity]
	word := fmt.Sprintf("%-11s", mark[0])
	if a.outColor() {
		word = mark[1] + word + "\x1b[0m"
	}
	_, err := fmt.Fprintf(a.out, "%s  %s: %s\n", word, visible(e.Subject), visible(e.What))
	if err == nil && e.Mend != "" {
		_, err = fmt.Fprintf(a.out, "             → %s\n", visible(e.Mend))
	}
	return err
}

// patients lists what a config names outside: stores by name, then each pipeline's source, sinks and copies, then what
// the process needs.
func (a *app) patients(cfg *config.Config) []patient {
	var all []patient
	add := func(subject string, look func(ctx context.Context) []check.Finding) {
		all = append(all, patient{subject: subject, look: look})
	}
	log := slog.New(slog.DiscardHandler)
	used := map[string]bool{}
	for _, p := range cfg.Pipelines {
		used[p.Store] = true
		if l, ok := p.LogSelection(); ok {
			used[l.Store] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(cfg.Stores)) {
		s := cfg.Stores[name]
		if c, ok := s.Config.(eventstore.Checker); ok && (used[name] || s.Pos.Line > 0) {
			add("store "+name, func(ctx context.Context) []check.Finding {
				return c.Check(ctx, eventstore.Env{Log: log, Now: a.now})
			})
		}
	}
	shared := sharedValues()
	for _, p := range cfg.Pipelines {
		if c, ok := p.Source.Plugin.Config.(sources.Checker); ok {
			add("source of "+p.Name, func(ctx context.Context) []check.Finding {
				return c.Check(ctx, sources.Env{Pipeline: p.Name, Log: log, Now: a.now, MaxEvents: p.Source.Limits.Events, MaxBytes: int(p.Source.Limits.Bytes), MaxEventSize: int(p.Limits.EventSize), Shared: shared})
			})
		}
		seen := map[string]bool{}
		for _, s := range sinksOf(p) {
			c, ok := s.plugin.Config.(sinks.Checker)
			if key := sinks.TargetOf(s.plugin) + "\x00" + fmt.Sprint(s.plugin.Pos); !ok || seen[key] {
				continue
			} else {
				seen[key] = true
			}
			add(s.what, func(ctx context.Context) []check.Finding {
				return c.Check(ctx, sinks.Env{Pipeline: p.Name, Relay: s.relay, Log: log, Now: a.now, Stdout: a.out, Shared: shared})
			})
		}
	}
	add("listener", func(ctx context.Context) []check.Finding { return a.checkListener(ctx, cfg) })
	add("process", func(context.Context) []check.Finding { return a.checkProcess(cfg) })
	return all
}

// sharedValues is what plugins share while doctor runs.
func sharedValues() func(key string, make func() any) any {
	var mu sync.Mutex
	values := map[string]any{}
	return func(key string, make func() any) any {
		mu.Lock()
		defer mu.Unlock()
		if _, ok := values[key]; !ok {
			values[key] = make()
		}
		return values[key]
	}
}

// outlet is a sink of a pipeline.
type outlet struct {
	what, relay string
	plugin      config.Plugin
}

// sinksOf lists the sinks of a pipeline in the order of its steps, and where copies of poisoned events go.
func sinksOf(p *config.Pipeline) (out []outlet) {
	for _, s := range forwardsOf(p.Steps) {
		name := s.Name
		if name == "" {
			name = "forward to " + s.Forward.Sink.Name
		}
		out = append(out, outlet{what: name + " of " + p.Name, relay: name, plugin: s.Forward.Sink})
	}
	if c := p.Poison.Copy; c != nil {
		out = append(out, outlet{what: "poison.copy of " + p.Name, relay: "poison", plugin: *c})
	}
	return out
}

// forwardsOf lists the forward steps, those in cases of branches too.
func forwardsOf(steps []config.Step) (out []*config.Step) {
	eachStep(steps, func(s *config.Step) {
		if s.Forward != nil {
			out = append(out, s)
		}
	})
	return out
}

// eachStep calls f with every step, those in cases of branches too, in the order of the file.
func eachStep(steps []config.Step, f func(*config.Step)) {
	for i := range steps {
		f(&steps[i])
		for j := range steps[i].Branch {
			eachStep(steps[i].Branch[j].Steps, f)
		}
	}
}
