// Package cmd is leat's command line. It is importable, so that a build with plugins of one's own is a main of three
// lines: blank imports of the plugins, then os.Exit(cmd.Main()).
//
// What it promises: data goes to stdout and words to stderr; lists are aligned on a terminal and one JSON object a line
// otherwise (or with --json); the exit codes are those of exit.go. A command that touches a store finds it by --data,
// a pipeline file, --server, or LEAT_SERVER (access.go).
package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/leatdev/leat/pipeline/telemetry"
)

// app is what the commands share: where they read and write, and the flags that each of them has.
type app struct {
	in       io.Reader
	out, err io.Writer
	outTTY   bool
	errTTY   bool
	env      func(string) (string, bool)
	now      func() time.Time

	json  bool
	text  bool
	quiet bool
	// apiKey and ca go with --server.
	apiKey, ca string

	// started is set when a command's own work begins: an error before that is one of usage.
	started bool
}

// Main runs the command line of the process and gives its exit code.
func Main() int {
	a := &app{
		in: os.Stdin, out: os.Stdout, err: os.Stderr, env: os.LookupEnv, now: time.Now,
		outTTY: term.IsTerminal(int(os.Stdout.Fd())), errTTY: term.IsTerminal(int(os.Stderr.Fd())),
	}
	// A first signal asks every command to come to its end; run alone listens for a second one.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return a.main(ctx, os.Args[1:])
}

func (a *app) main(ctx context.Context, args []string) int {
	root := a.root()
	a.watch(root)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	if !a.started {
		err = usagef("%w", err)
	}
	code := exitCode(err)
	a.explain(err, code)
	return code
}

// watch notes when the work of a command begins.
func (a *app) watch(c *cobra.Command) {
	if run := c.RunE; run != nil {
		c.RunE = func(c *cobra.Command, args []string) error {
			a.started = true
			return run(c, args)
		}
	}
	for _, sub := range c.Commands() {
		a.watch(sub)
	}
}

// explain says what went wrong, unless the command has done so.
func (a *app) explain(err error, code int) {
	var said *exitError
	if errors.As(err, &said) && said.err == nil {
		return
	}
	message := telemetry.Redact(strings.TrimSpace(err.Error()))
	if a.json {
		_ = writeLine(a.err, map[string]any{"error": map[string]any{"message": message, "exit": code}})
		return
	}
	fmt.Fprintln(a.err, "leat: "+message)
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "leat",
		Short: "Event pipelines in YAML, with an event store",
		Long: `leat takes events from a source, filters them, appends them to an event store,
projects them into tables and forwards them: one YAML file, one daemon.

Start with:  leat run examples/quickstart/pipeline.yaml`,
		SilenceErrors: true, SilenceUsage: true,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	root.SetIn(a.in)
	root.SetOut(a.out)
	root.SetErr(a.err)
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return usagef("%w\nSee: %s --help", err, c.CommandPath())
	})
	root.PersistentFlags().BoolVar(&a.json, "json", false, "machine-readable output: JSON, one object a line")
	root.PersistentFlags().BoolVar(&a.text, "text", false, "output for people, also where stdout is no terminal")
	root.PersistentFlags().BoolVarP(&a.quiet, "quiet", "q", false, "no words on stderr but errors")
	root.AddCommand(
		a.runCommand(), a.validateCommand(), a.testCommand(), a.matchCommand(), a.storeCommand(), a.tableCommand(), a.poisonCommand(),
		a.statusCommand(), a.pauseCommand(), a.resumeCommand(), a.rebuildCommand(), a.replayCommand(), a.configCommand(), a.healthcheckCommand(), a.versionCommand(),
	)
	root.AddCommand(a.tailCommand())
	root.AddCommand(a.listCommand(), a.describeCommand(), a.graphCommand(), a.newCommand(), a.buildCommand(), a.doctorCommand())
	a.keyFlags(root)
	a.completions(root)
	root.InitDefaultCompletionCmd()
	for _, c := range root.Commands() {
		if c.Name() == "completion" {
			c.Short = "Print the completion script of a shell"
			c.Args, c.RunE = usageArgs(cobra.NoArgs), func(c *cobra.Command, _ []string) error { return needsVerb(c) }
		}
	}
	return root
}

// color reports whether words on stderr are coloured.
func (a *app) color() bool { return a.errTTY && !a.noColor() }

// outColor reports whether data on stdout is coloured.
func (a *app) outColor() bool { return a.outTTY && !a.noColor() }

// noColor follows no-color.org: the variable counts where it is not empty.
func (a *app) noColor() bool {
	v, ok := a.env("NO_COLOR")
	t, _ := a.env("TERM")
	return ok && v != "" || t == "dumb"
}

// lines reports whether lists are written as JSON lines.
func (a *app) lines() bool { return a.json || !a.text && !a.outTTY }

// say writes words to stderr.
func (a *app) say(format string, args ...any) {
	if !a.quiet {
		fmt.Fprintf(a.err, format+"\n", args...)
	}
}
