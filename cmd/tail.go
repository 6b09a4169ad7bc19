package cmd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/leatdev/leat/pipeline/filter"
)

func (a *app) tailCommand() *cobra.Command {
	var (
		s     cloudFlags
		sweep bool
	)
	c := &cobra.Command{
		Use:   "tail bus|queue|pipeline|store",
		Short: "Watch events as they come",
		Long: `Watch a bus, a queue, the stages of a running pipeline, or an event store.

Events go to stdout: for people on a terminal, else one JSON object a line; words go to stderr. It
ends with Ctrl-C, SIGTERM, a closed pipe, --limit or --for, and leaves nothing behind.

--sweep removes the rules and queues that a killed "leat tail bus" left: those of leat's name and tag
whose time is over, on all buses of the region.`,
		Example: `  leat tail bus orders --pattern '{"detail-type": ["OrderCreated"]}'
  leat tail queue orders-dlq
  leat tail pipeline orders 'relay/*' poison
  leat tail store 'order/*' --since 1h --expr 'data.amount > 500'
  leat tail --sweep`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			if !sweep {
				return needsVerb(c)
			}
			return a.sweepTails(c.Context(), &s)
		},
	}
	c.Flags().BoolVar(&sweep, "sweep", false, "remove what killed runs left in AWS")
	s.flags(c)
	c.AddCommand(a.tailBus(), a.tailQueue(), a.tailPipeline(), a.tailStore())
	return c
}

// tailing is what every tail takes.
type tailing struct {
	pattern, expr    string
	output, template string
	limit            int64
	lasts            time.Duration

	sel  selection
	text *filter.Template
	view *filter.View
}

func (t *tailing) flags(c *cobra.Command) {
	f := c.Flags()
	f.StringVarP(&t.pattern, "pattern", "p", "", "only what matches an EventBridge event pattern: a file, or JSON")
	f.StringVarP(&t.expr, "expr", "e", "", "only what an expression takes")
	f.Int64VarP(&t.limit, "limit", "n", 0, "end after so many events; 0: never")
	f.DurationVar(&t.lasts, "for", 0, "end after so long; exit code 1 where --limit was not reached by then")
	f.StringVarP(&t.output, "output", "o", "", "pretty, json or template (default: pretty on a terminal, else json)")
	f.StringVar(&t.template, "template", "", "text with {{ expr }} for each event; means -o template")
	_ = c.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"pretty", "json", "template"}, cobra.ShellCompDirectiveNoFileComp))
}

// noPast adds --since where there is no past to show, to say so.
func noPast(c *cobra.Command, what string) {
	c.Flags().Func("since", "", func(string) error {
		return fmt.Errorf("%s keeps no events: what has gone by cannot be shown (tail store and tail queue take --since)", what)
	})
	_ = c.Flags().MarkHidden("since")
}

// The forms of output.
const (
	asPretty   = "pretty"
	asJSON     = "json"
	asTemplate = "template"
)

// prepare checks the flags. Local is whether the pattern is matched here; the service does so with a bus.
func (t *tailing) prepare(a *app, local bool) error {
	if t.output == "" && t.template != "" {
		t.output = asTemplate
	}
	if t.output == "" {
		t.output = asPretty
		if a.lines() {
			t.output = asJSON
		}
	}
	switch {
	case t.output != asPretty && t.output != asJSON && t.output != asTemplate:
		return usagef("-o is pretty, json or template, not %q", t.output)
	case (t.output == asTemplate) != (t.template != ""):
		return usagef("-o template and --template TEXT belong together, and to no other output")
	case t.limit < 0 || t.lasts < 0:
		return usagef("--limit and --for count from 0")
	}
	scope := filter.NewScope(filter.Event | filter.Log)
	if t.template != "" {
		var err error
		if t.text, err = scope.Template(t.template); err != nil {
			return usagef("%s", expressionMistakes("--template", t.template, err))
		}
	}
	if err := t.sel.prepare(t, scope, local); err != nil {
		return err
	}
	t.view = scope.NewView()
	return nil
}

// Ends of a tail that are no errors.
var (
	errEnough  = errors.New("the limit is reached")
	errElapsed = errors.New("the time is over")
	errNoPipe  = errors.New("nobody reads the output any more")
)

// follow shows what source brings until something ends it, and sums up.
func (a *app) follow(ctx context.Context, t *tailing, source func(ctx context.Context, show func(*tailed) error) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if t.lasts > 0 {
		timer := time.AfterFunc(t.lasts, func() { cancel(errElapsed) })
		defer timer.Stop()
	}
	out := newTailOut(a.out)
	defer out.close()
	var n struct{ shown, hidden int64 }
	var own error // of what is done here, whatever source makes of it
	one := func(e *tailed) error {
		if t.limit > 0 && n.shown >= t.limit {
			return errEnough
		}
		if !t.sel.takes(a, t, e) {
			n.hidden++
			return ctx.Err()
		}
		line, err := t.print(a, e)
		if err == nil {
			err = out.write(ctx, line)
		}
		if err != nil {
			return err
		}
		if n.shown++; n.shown == t.limit {
			return errEnough
		}
		return nil
	}
	err := source(ctx, func(e *tailed) error {
		own = one(e)
		return own
	})
	if own != nil {
		err = own
	}
	words := count(n.shown, "event") + " shown"
	if n.hidden > 0 {
		words += ", " + number(n.hidden) + " did not match"
	}
	cause := context.Cause(ctx)
	switch {
	case err == nil, errors.Is(err, errEnough):
		err = nil
	case errors.Is(err, syscall.EPIPE), errors.Is(cause, errNoPipe):
		return nil // nobody is there to be told
	case errors.Is(cause, errElapsed):
		err = nil
		if t.limit > 0 && n.shown < t.limit {
			words += fmt.Sprintf(", not %s within %s", number(t.limit), t.lasts)
			err = exit(exitFailed)
		}
	case ctx.Err() != nil: // a signal: the usual end of a tail
		err = nil
	}
	a.say("%s", words)
	return err
}

// fileOrText reads a flag that is a file's name or the text itself; where says which, for errors.
func fileOrText(flag, v string) (text []byte, where string, err error) {
	if s := strings.TrimSpace(v); s == "" || s[0] == '{' || s[0] == '[' {
		return []byte(v), flag, nil
	}
	b, err := os.ReadFile(v)
	if err != nil {
		return nil, "", environment(fmt.Errorf("%s takes JSON or a file: %w", flag, err))
	}
	return b, v, nil
}
