package cmd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/pipeline/codec"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/pattern"
	"github.com/leatdev/leat/pipeline/watch"
)

// cloudFlags say which cloud a command talks to.
type cloudFlags struct{ watch.Settings }

func (s *cloudFlags) flags(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&s.Region, "region", "", "AWS region (default: AWS_REGION, or the profile's)")
	f.StringVar(&s.Endpoint, "endpoint-url", "", "URL of an emulator (default: AWS_ENDPOINT_URL, else AWS' own)")
	f.StringVar(&s.Profile, "profile", "", "profile of the shared AWS config files")
}

// dial opens a session.
func (s *cloudFlags) dial(ctx context.Context) (watch.Cloud, watch.Session, error) {
	cloud, err := watch.Registered()
	if err != nil {
		return nil, nil, environment(err)
	}
	if err := cloud.Check(s.Settings); err != nil {
		return nil, nil, usagef("--endpoint-url: %w", err)
	}
	session, err := cloud.Dial(ctx, s.Settings)
	if err != nil {
		return nil, nil, environment(err)
	}
	return cloud, session, nil
}

// cloudFailed gives an error of a session its exit code.
func cloudFailed(cloud watch.Cloud, err error) error {
	var own *exitError
	if err == nil || errors.As(err, &own) || errors.Is(err, context.Canceled) {
		return err
	}
	switch cloud.Kind(err) {
	case watch.Denied, watch.Missing, watch.Unreachable:
		return environment(err)
	case watch.Invalid:
		return usagef("%w", err)
	case watch.Failed:
	}
	return err
}

func (a *app) tailBus() *cobra.Command {
	var (
		t                      tailing
		s                      cloudFlags
		probe, noSweep, policy bool
	)
	c := &cobra.Command{
		Use:   "bus [NAME]",
		Short: "Watch an EventBridge bus through a temporary rule and queue",
		Long: `Watch a bus by its name or ARN; without one, the default bus. A rule on the bus feeds a queue
(encrypted, events are kept for five minutes), and both are removed at the end, however it ends. What
a killed run left is removed by the next one, or by "leat tail --sweep", fifteen minutes later.

A new rule takes some seconds to act, and what is put before is not shown. --probe puts events of its
own on the bus (source leat.tail) until one comes through, and says so: other rules on the bus may see
them, which is why it is not the default.

As JSON an event is written as it came, with all its fields. --policy prints the IAM policy that it takes.`,
		Example: `  leat tail bus orders
  leat tail bus --region eu-west-1 -o json | jq .detail
  leat tail bus orders --pattern '{"source": ["shop"]}' --expr 'data.amount > 500' --limit 1 --for 30s --probe`,
		Args: usageArgs(cobra.MaximumNArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			if policy {
				cloud, err := watch.Registered()
				if err != nil {
					return environment(err)
				}
				_, err = fmt.Fprintln(a.out, cloud.Policy())
				return err
			}
			if err := t.prepare(a, false); err != nil {
				return err
			}
			o := watch.BusOptions{Pattern: t.sel.text, Probe: probe, Now: a.now, Warn: func(err error) { a.say("%v", err) }}
			if len(args) == 1 {
				o.Bus = args[0]
			}
			if region, ok := busRegion(o.Bus); ok && s.Region == "" {
				s.Region = region
			}
			return a.watchBus(c.Context(), &t, &s, o, !noSweep)
		},
	}
	t.flags(c)
	s.flags(c)
	noPast(c, "a bus")
	c.Flags().BoolVar(&probe, "probe", false, "put events of its own on the bus, to say when the rule acts")
	c.Flags().BoolVar(&noSweep, "no-sweep", false, "leave alone what killed runs left")
	c.Flags().BoolVar(&policy, "policy", false, "print the IAM policy that this takes")
	return c
}

// busRegion reads the region of a bus's ARN.
func busRegion(bus string) (string, bool) {
	p := strings.Split(bus, ":")
	if len(p) == 6 && p[0] == "arn" && p[2] == "events" {
		return p[3], p[3] != ""
	}
	return "", false
}

func (a *app) watchBus(ctx context.Context, t *tailing, s *cloudFlags, o watch.BusOptions, sweep bool) (err error) {
	ctx, stop := a.untilHangup(ctx)
	defer stop()
	cloud, session, err := s.dial(ctx)
	if err != nil {
		return err
	}
	defer session.Close()
	if sweep {
		a.sweepFirst(ctx, cloud, session, o.Bus)
	}
	began := a.now()
	tail, err := session.Bus(ctx, o)
	if err != nil {
		if ctx.Err() != nil && errors.Is(err, context.Canceled) {
			return nil
		}
		return cloudFailed(cloud, withNearBus(ctx, err, cloud, session, o.Bus))
	}
	defer func() {
		undo, code, stop := undoing(ctx)
		defer stop()
		if left := tail.Close(undo); left != nil {
			a.say("%v\nRemove it with: leat tail --sweep, once 15 minutes have passed", left)
			if err = exit(exitFailed); code() != 0 {
				err = exit(code())
			}
		}
	}()
	name, on := tail.Made()
	if o.Probe {
		a.say("rule %s is in place on %s; waiting until it acts …", name, on)
	} else {
		a.say("rule %s is in place on %s since %s; a new rule takes some seconds to act, and what is put before is not shown (--probe says when)",
			name, on, began.UTC().Format(time.TimeOnly))
	}
	return a.follow(ctx, t, func(ctx context.Context, show func(*tailed) error) error {
		said := !o.Probe
		for {
			ms, err := tail.Receive(ctx)
			if err != nil {
				return cloudFailed(cloud, err)
			}
			if after, live := tail.Live(); live && !said {
				said = true
				a.say("live: the rule acts after %s", after.Round(100*time.Millisecond))
			}
			for i := range ms {
				if err := show(ofBus(&ms[i])); err != nil {
					return err
				}
			}
			tail.Done(ctx, ms)
		}
	})
}

// withNearBus adds the name that may have been meant to the error of a bus that is not there.
func withNearBus(ctx context.Context, err error, cloud watch.Cloud, session watch.Session, name string) error {
	if cloud.Kind(err) != watch.Missing {
		return err
	}
	names, e := session.Buses(ctx)
	if e != nil || len(names) == 0 {
		return err
	}
	if near := config.Nearest(name, names); near != "" {
		return fmt.Errorf("%w\nDid you mean %q?", err, near)
	}
	return fmt.Errorf("%w\nThere are %s", err, list(names))
}

// ofBus is an event of a bus, with all that EventBridge says of it.
func ofBus(m *watch.Event) *tailed {
	e := &tailed{ev: event.Recorded{Event: event.Event{Raw: m.Body}}, body: m.Body}
	e.json = func() (any, error) {
		if json.Valid(m.Body) {
			return json.RawMessage(m.Body), nil
		}
		return string(m.Body), nil
	}
	if e.decode(); !e.decoded || e.ev.Envelope != event.EventBridge {
		return e
	}
	var f pattern.Fields
	codec.Fields(&e.ev.Event, &f)
	e.at, e.title, e.body = e.ev.Time, []string{e.ev.Type, e.ev.Source}, e.ev.Data
	e.facts = []fact{{"id", f.ID}, {"account", f.Account}, {"region", f.Region}, {"version", f.Version}, {"resources", strings.Join(f.Resources, ",")}, {"trace", m.Trace}}
	e.meta = f.Other // replay-name, and what else the service may add
	return e
}

// sweepFirst removes what killed runs left on the bus; that it cannot is no reason not to watch.
func (a *app) sweepFirst(ctx context.Context, cloud watch.Cloud, session watch.Session, on string) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if on == "" {
		on = "default"
	}
	swept, err := session.Sweep(ctx, a.now(), on)
	a.saySwept(&swept)
	if kind := cloud.Kind(err); err != nil && ctx.Err() == nil && kind != watch.Missing && kind != watch.Unreachable {
		a.say("not looked for what killed runs may have left: %v", err)
	}
}

func (a *app) saySwept(s *watch.Swept) {
	if len(s.Rules)+len(s.Queues) > 0 {
		a.say("removed what a killed run left: %s, %s", count(int64(len(s.Rules)), "rule"), count(int64(len(s.Queues)), "queue"))
	}
}

func (a *app) sweepTails(ctx context.Context, s *cloudFlags) error {
	cloud, session, err := s.dial(ctx)
	if err != nil {
		return err
	}
	defer session.Close()
	swept, err := session.Sweep(ctx, a.now())
	if a.lines() {
		if e := writeLine(a.out, map[string][]string{"rules": orEmpty(swept.Rules), "queues": orEmpty(swept.Queues), "in_use": orEmpty(swept.Alive)}); err == nil {
			err = e
		}
	} else {
		fmt.Fprintf(a.out, "removed %s and %s\n", count(int64(len(swept.Rules)), "rule"), count(int64(len(swept.Queues)), "queue"))
		if n := len(swept.Alive); n > 0 {
			fmt.Fprintf(a.out, "%s in use, or of a run that was killed less than 15 minutes ago\n", count(int64(n), "tail"))
		}
	}
	return cloudFailed(cloud, err)
}

func orEmpty(s []string) []string {
	if s == nil {
		return []string{}
	}
	return s
}
