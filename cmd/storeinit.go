package cmd

import (
	"fmt"
	"io"
	"log/slog"
	"slices"

	"github.com/spf13/cobra"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/eventstore/wire"
)

func (a *app) storeInit() *cobra.Command {
	var (
		p         place
		printOnly bool
		form      string
	)
	c := &cobra.Command{
		Use:   "init [FILE]",
		Short: "Make a store's schema, or print what makes it",
		Long: `Make the store's database ready: its schema where there is none, the steps to this version where
it is older. Several that start together wait for each other, and one that was killed in the middle is
gone on with. A daemon does the same when it starts.

With --print: the statements that make the schema from nothing, for those who let nobody but
themselves run them. The log's id in them is new each time. For DynamoDB it is the table in
CloudFormation, or by --as in Terraform, or the least IAM policy.

Where a DynamoDB store shares the table of a serverless-event-store, init also takes all into the
log that is in that table. It may be stopped and run again, and the Lambda may write meanwhile.`,
		Example: `  leat store init pipeline.yaml
  leat store init --print pipeline.yaml | psql "$DATABASE_URL"`,
		RunE: func(c *cobra.Command, args []string) error {
			if rest := p.take(args); len(rest) > 0 {
				return usagef("%q is no pipeline file (*.yaml)", rest[0])
			}
			if p.server != "" {
				return usagef("a daemon makes its stores' schemas itself; init is for a file or --data")
			}
			if !slices.Contains([]string{"", "cloudformation", "terraform", "policy"}, form) {
				return usagef("--as takes cloudformation, terraform or policy, not %q", form)
			}
			plugin, err := a.findStore(&p)
			if err != nil {
				return err
			}
			if printOnly || form != "" {
				return a.printSchema(plugin, form)
			}
			st, err := eventstore.Open(c.Context(), plugin, eventstore.Env{Log: slog.New(slog.DiscardHandler), Now: a.now})
			if err != nil {
				return openFailed(err, true)
			}
			defer st.Close()
			if other, ok := st.(eventstore.Sharing); ok {
				found, err := other.CatchUp(c.Context())
				if err != nil {
					return err
				}
				if found.Streams+found.LeftOut > 0 {
					a.say("the shared table has %s; %s of them taken in now", count(found.Streams, "stream"), count(found.Events, "event"))
				}
				if found.LeftOut > 0 {
					a.say("warning: %s left out: serverless-event-store itself could not serve them", count(found.LeftOut, "stream"))
				}
			}
			h, err := st.Head(c.Context())
			if err != nil {
				return err
			}
			if a.lines() {
				return writeLine(a.out, wire.Head{LogID: h.LogID, Position: h.Position, Committed: h.Committed})
			}
			_, err = fmt.Fprintf(a.out, "ready: log %s, %s\n", h.LogID, count(h.Position, "event"))
			return err
		},
	}
	p.flags(c)
	c.Flags().BoolVar(&printOnly, "print", false, "print what makes the schema, and open nothing")
	c.Flags().StringVar(&form, "as", "", "with --print, for DynamoDB: cloudformation, terraform or policy")
	return c
}

// printSchema prints what makes a store's schema, in the form that its kind has.
func (a *app) printSchema(plugin config.Plugin, form string) error {
	deployed, ok := plugin.Config.(config.Deployed)
	if !ok {
		s, ok := plugin.Config.(interface{ SchemaSQL() string })
		switch {
		case !ok:
			return usagef("a store of kind %s has no statements to print", plugin.Name)
		case form != "":
			return usagef("a store of kind %s is made by SQL: --as is for DynamoDB", plugin.Name)
		}
		_, err := io.WriteString(a.out, s.SchemaSQL())
		return err
	}
	switch form {
	case "policy":
		return a.policy([]used{{plugin: plugin}}, plugin.Name)
	case "terraform":
		_, err := io.WriteString(a.out, deployed.Terraform(""))
		return err
	}
	_, err := io.WriteString(a.out, "Resources:\n"+deployed.CloudFormation(""))
	return err
}
