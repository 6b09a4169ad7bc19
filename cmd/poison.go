package cmd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/leatdev/leat/pipeline"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore/client"
	"github.com/leatdev/leat/pipeline/eventstore/wire"
	"github.com/leatdev/leat/pipeline/poison"
)

func (a *app) poisonCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "poison",
		Short: "See, mend, send again or drop events that failed",
		Long: `Events that could not be handled are parked in the store with the payload as it came and the
reason. Look at them, mend the payload or the pipeline, and send them again.`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error { return needsVerb(c) },
	}
	c.AddCommand(a.poisonLs(), a.poisonShow(), a.poisonEdit(), a.poisonRetry(), a.poisonDrop())
	return c
}

// selecting is the flags by which verbs select parked events.
type selecting struct {
	f      poison.Filter
	stream string
	since  string
	states []string
	all    bool
}

func (s *selecting) flags(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&s.f.Pipeline, "pipeline", "", "only events of this pipeline")
	f.StringVar(&s.f.Step, "step", "", "only events that failed in this step or relay")
	f.StringVar(&s.f.Code, "code", "", "only events with this code (malformed, conflict, sink, …)")
	f.StringVar(&s.stream, "stream", "", "only events of this stream")
	f.StringVar(&s.since, "since", "", "only events that failed since then: a time, a date or a span (2h, 3d)")
}

// filter gives what was selected, ids included.
func (s *selecting) filter(a *app, args []string) (poison.Filter, error) {
	for _, arg := range args {
		id, err := strconv.ParseInt(strings.TrimPrefix(arg, "#"), 10, 64)
		if err != nil || id < 1 {
			return s.f, usagef("%q is no id of a parked event: ids are numbers, see leat poison ls", arg)
		}
		s.f.IDs = append(s.f.IDs, id)
	}
	for _, st := range s.states {
		s.f.States = append(s.f.States, poison.State(st))
	}
	var err error
	if s.stream != "" {
		if s.f.Stream, err = event.ParseStream(s.stream); err != nil {
			return s.f, usagef("--stream %q is no stream: a stream is written type/id", s.stream)
		}
	}
	s.f.Since, err = since(s.since, a.now())
	return s.f, err
}

func empty(f *poison.Filter) bool {
	return len(f.IDs) == 0 && f.Pipeline == "" && f.Step == "" && f.Code == "" && f.Stream.IsZero() && f.Since.IsZero()
}

// writes checks that a verb that changes something was told what to change.
func (s *selecting) writes(verb string, f *poison.Filter) error {
	switch {
	case empty(f) && !s.all:
		return usagef("%s wants ids, --pipeline, --step, --code, --stream or --since, or --all\nSee: leat poison %s --help", verb, verb)
	case s.all && len(f.IDs) > 0:
		return usagef("ids or --all, not both")
	}
	return nil
}

func (a *app) poisonLs() *cobra.Command {
	var (
		p   place
		sel selecting
	)
	c := &cobra.Command{
		Use:   "ls [FILE]",
		Short: "List parked events",
		RunE: func(c *cobra.Command, args []string) error {
			f, err := sel.filter(a, p.take(args))
			if err != nil {
				return err
			}
			st, err := a.open(c.Context(), &p, false)
			if err != nil {
				return err
			}
			defer st.Close()
			n := int64(0)
			if a.lines() {
				for e, err := range st.ListParked(c.Context(), f) {
					if err == nil {
						n++
						err = writeLine(a.out, wire.ParkedOf(&e))
					}
					if err != nil {
						return err
					}
				}
				if n == 0 {
					a.say("nothing is parked")
				}
				return nil
			}
			g := newGrid(a.out, a.outColor(), ">ID", "PIPELINE", "STEP", "CODE", "STATE", ">ATTEMPTS", "FAILED", "REASON")
			for e, err := range st.ListParked(c.Context(), f) {
				if err == nil {
					n++
					err = g.add(strconv.FormatInt(e.ID, 10), e.Pipeline, e.Step, e.Code, string(e.State), strconv.Itoa(e.Attempts), ago(a.now(), e.Last), cut(e.Reason, 70))
				}
				if err != nil {
					return errors.Join(g.done(), err)
				}
			}
			if err := g.done(); err != nil {
				return err
			}
			if n == 0 {
				a.say("nothing is parked")
			} else {
				a.say("\nSee one:  leat poison show ID%s", p.again())
			}
			return nil
		},
	}
	p.flags(c)
	sel.flags(c)
	c.Flags().StringSliceVar(&sel.states, "state", nil, "only parked, held, waiting or retrying")
	c.Flags().IntVarP(&sel.f.Max, "max", "n", 0, "at most so many, the oldest first; 0: all")
	return c
}

// again gives the flags or files by which the next command finds the same store.
func (p *place) again() string {
	s := ""
	switch {
	case p.server != "":
		s = " --server " + p.server
	case p.data != "":
		s = " --data " + p.data
	case len(p.files) > 0:
		for i, f := range p.files {
			if i > 0 || !isFile(f) { // a directory does not show by its name what it is
				s += " -f"
			}
			s += " " + f
		}
	}
	if p.store != "" && p.store != "main" {
		s += " --store " + p.store
	}
	return s
}

func (a *app) poisonShow() *cobra.Command {
	var p place
	c := &cobra.Command{
		Use:   "show ID… [FILE]",
		Short: "Show parked events: payload, reason, times, and what to do next",
		RunE: func(c *cobra.Command, args []string) error {
			var sel selecting
			f, err := sel.filter(a, p.take(args))
			if err != nil {
				return err
			}
			if len(f.IDs) == 0 {
				return usagef("show wants the id of a parked event: see leat poison ls%s", p.again())
			}
			st, err := a.open(c.Context(), &p, false)
			if err != nil {
				return err
			}
			defer st.Close()
			entries, err := byID(c.Context(), st, f.IDs)
			if err != nil {
				return err
			}
			for i, e := range entries {
				if a.json {
					err = writeLine(a.out, wire.ParkedOf(&e))
				} else {
					if i > 0 {
						fmt.Fprintln(a.out)
					}
					err = a.showParked(&e, &p)
				}
				if err != nil {
					return err
				}
			}
			return nil
		},
	}
	p.flags(c)
	return c
}

// byID gives the entries in the order of their ids; one that is not there is an error.
func byID(ctx context.Context, st access, ids []int64) ([]poison.Entry, error) {
	var out []poison.Entry
	found := map[int64]bool{}
	for e, err := range st.ListParked(ctx, poison.Filter{IDs: ids}) {
		if err != nil {
			return nil, err
		}
		found[e.ID] = true
		out = append(out, e)
	}
	for _, id := range ids {
		if !found[id] {
			return nil, fmt.Errorf("%w with the id %d", poison.ErrNotFound, id)
		}
	}
	return out, nil
}

func (a *app) showParked(e *poison.Entry, p *place) error {
	var b bytes.Buffer
	field := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&b, "%-10s %s\n", name, visible(value))
		}
	}
	field("id", strconv.FormatInt(e.ID, 10))
	field("state", string(e.State))
	field("pipeline", e.Pipeline)
	field("step", e.Step)
	field("code", e.Code)
	for i, part := range strings.Split(strings.TrimSpace(e.Reason), ": ") {
		if i == 0 {
			field("reason", part)
		} else {
			fmt.Fprintf(&b, "%-10s %s%s\n", "", strings.Repeat("  ", i), visible(part))
		}
	}
	field("attempts", strconv.Itoa(e.Attempts))
	field("first", stamp(e.First)+" ("+ago(a.now(), e.First)+")")
	field("last", stamp(e.Last)+" ("+ago(a.now(), e.Last)+")")
	field("key", e.Key)
	field("event", strings.TrimSpace(e.EventID+" "+e.Type+" "+e.Source))
	if !e.Stream.IsZero() {
		field("stream", fmt.Sprintf("%s, position %d", e.Stream, e.Position))
	}
	field("trace", e.TraceID)
	field("metadata", string(e.Metadata))
	note := ""
	switch {
	case e.Edited:
		note = ", edited"
	case e.Code == event.CodeTooLarge && e.Relay == "":
		note = ", cut: the beginning of a body that is too large; `poison edit` takes a whole one"
	}
	fmt.Fprintf(&b, "payload    %s, %d bytes%s\n", e.Envelope, len(e.Payload), note)
	const most = 8 << 10
	body := e.Payload[:min(len(e.Payload), most)]
	if utf8.Valid(e.Payload) {
		for line := range strings.Lines(string(body)) {
			b.WriteString("  " + visible(strings.TrimRight(line, "\r\n")) + "\n")
		}
	} else {
		b.WriteString("  " + visible(string(body)) + "\n")
	}
	if len(e.Payload) > most {
		fmt.Fprintf(&b, "  … (%d more bytes: --json shows all)\n", len(e.Payload)-most)
	}
	if e.Stack != "" {
		b.WriteString("stack\n")
		for line := range strings.Lines(e.Stack) {
			b.WriteString("  " + strings.TrimRight(line, "\n") + "\n")
		}
	}
	if _, err := a.out.Write(b.Bytes()); err != nil {
		return err
	}
	switch e.State {
	case poison.Held:
		a.say("\nNext: it waits behind another parked event of its stream: send that one again, or drop it.")
	case poison.Waiting:
		a.say("\nNext: the relay tries it again by itself; other streams go on meanwhile. retry does that at once, drop gives it up.")
	case poison.Retrying:
		a.say("\nNext: it is sent again when the pipeline runs.")
	default:
		id := strconv.FormatInt(e.ID, 10) + p.again()
		wide := len("retry ") + len(id)
		a.say("\nNext, one of")
		if e.Relay == "" {
			a.say("  leat poison %-*s   mend the payload", wide, "edit "+id)
		}
		a.say("  leat poison %-*s   send it again", wide, "retry "+id)
		a.say("  leat poison %-*s   give it up", wide, "drop "+id)
	}
	return nil
}

func (a *app) poisonEdit() *cobra.Command {
	var (
		p     place
		from  string
		force bool
	)
	c := &cobra.Command{
		Use:   "edit ID [FILE]",
		Short: "Replace the payload of a parked event",
		Long: `Open the payload in $VISUAL or $EDITOR, or take it from --payload (a file, - for stdin). The new
payload must be readable in the event's envelope, unless --force is given. It is not sent again
until you say so: leat poison retry ID.`,
		RunE: func(c *cobra.Command, args []string) error {
			var sel selecting
			f, err := sel.filter(a, p.take(args))
			if err != nil {
				return err
			}
			if len(f.IDs) != 1 {
				return usagef("edit wants one id\nSee: %s --help", c.CommandPath())
			}
			st, err := a.open(c.Context(), &p, true)
			if err != nil {
				return err
			}
			defer st.Close()
			entries, err := byID(c.Context(), st, f.IDs)
			if err != nil {
				return err
			}
			e := &entries[0]
			if e.Relay != "" && e.Position > 0 {
				return usagef("event %d failed behind the log, at position %d: what is in the log is not edited. Mend the pipeline and retry, or drop it", e.ID, e.Position)
			}
			payload, err := a.payload(c.Context(), from, e.Payload)
			if err != nil {
				return err
			}
			if bytes.Equal(payload, e.Payload) {
				a.say("nothing changed")
				return nil
			}
			if err := pipeline.CheckBody(payload, e.Envelope); err != nil && !force {
				return usagef("the new payload would fail again (--force takes it all the same): %w", err)
			}
			if err := st.EditParked(c.Context(), e.ID, payload); err != nil {
				return err
			}
			if a.json {
				return writeLine(a.out, map[string]any{"id": e.ID, "bytes": len(payload)})
			}
			a.say("event %d has a new payload of %d bytes.\nNext: leat poison retry %d%s", e.ID, len(payload), e.ID, p.again())
			return nil
		},
	}
	p.flags(c)
	c.Flags().StringVar(&from, "payload", "", "file with the new payload; - is stdin; default: an editor")
	c.Flags().BoolVar(&force, "force", false, "take a payload that the pipeline cannot read")
	_ = c.MarkFlagFilename("payload")
	return c
}

// payload gets the new payload from a file, stdin, or an editor that starts with the old one.
func (a *app) payload(ctx context.Context, from string, old []byte) ([]byte, error) {
	switch {
	case from == "-" || from == "" && !a.inTTY():
		b, err := io.ReadAll(io.LimitReader(a.in, maxLine))
		if err != nil {
			return nil, fmt.Errorf("read the payload: %w", err)
		}
		if len(bytes.TrimSpace(b)) == 0 {
			return nil, usagef("stdin has no payload; --payload FILE names a file")
		}
		return bytes.TrimRight(b, "\r\n"), nil
	case from != "":
		b, err := os.ReadFile(from)
		if err != nil {
			return nil, environment(err)
		}
		return bytes.TrimRight(b, "\r\n"), nil
	}
	editor := ""
	for _, name := range []string{"VISUAL", "EDITOR"} {
		if v, ok := a.env(name); ok && v != "" {
			editor = v
			break
		}
	}
	if editor == "" {
		return nil, usagef("$EDITOR is not set; --payload FILE names a file with the new payload")
	}
	f, err := os.CreateTemp("", "leat-payload-*.json") // created 0600: payloads are private
	if err != nil {
		return nil, environment(err)
	}
	defer os.Remove(f.Name())
	if _, err := f.Write(old); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if err := f.Close(); err != nil {
		return nil, err
	}
	// The variable may hold arguments ("code --wait"), as every program takes it.
	words := append(strings.Fields(editor), f.Name())
	cmd := exec.CommandContext(ctx, words[0], words[1:]...) //nolint:gosec // the user's own editor
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%s: %w", words[0], err)
	}
	b, err := os.ReadFile(f.Name())
	if err != nil {
		return nil, err
	}
	if !bytes.HasSuffix(old, []byte("\n")) {
		b = bytes.TrimSuffix(b, []byte("\n")) // editors end the last line
	}
	return b, nil
}

func (a *app) poisonRetry() *cobra.Command {
	var (
		p   place
		sel selecting
	)
	c := &cobra.Command{
		Use:   "retry ID… | --pipeline … | --all [FILE]",
		Short: "Send parked events again",
		Long: `Mark parked events to be sent again: they re-enter at the step that failed, with the same id. A
running daemon takes them up at once, else the next run does. Events held behind a parked one of
their stream follow by themselves.`,
		RunE: func(c *cobra.Command, args []string) error {
			f, err := sel.filter(a, p.take(args))
			if err != nil {
				return err
			}
			if err := sel.writes("retry", &f); err != nil {
				return err
			}
			f.States = []poison.State{poison.Parked, poison.Waiting}
			st, err := a.open(c.Context(), &p, true)
			if err != nil {
				return err
			}
			defer st.Close()
			if len(f.IDs) > 0 {
				if _, err := byID(c.Context(), st, f.IDs); err != nil {
					return err
				}
			}
			n, err := st.RetryParked(c.Context(), f)
			if err != nil {
				return err
			}
			return a.changed(st, "retry", n)
		},
	}
	p.flags(c)
	sel.flags(c)
	c.Flags().BoolVar(&sel.all, "all", false, "all parked events")
	return c
}

func (a *app) poisonDrop() *cobra.Command {
	var (
		p   place
		sel selecting
		yes bool
	)
	c := &cobra.Command{
		Use:   "drop ID… | --pipeline … | --all [FILE]",
		Short: "Remove parked events for good",
		Long: `Remove parked events with their payloads, for good. Without --yes it only says what it would
remove (and asks, on a terminal).`,
		RunE: func(c *cobra.Command, args []string) error {
			f, err := sel.filter(a, p.take(args))
			if err != nil {
				return err
			}
			if err := sel.writes("drop", &f); err != nil {
				return err
			}
			st, err := a.open(c.Context(), &p, true)
			if err != nil {
				return err
			}
			defer st.Close()
			if len(f.IDs) > 0 {
				if _, err := byID(c.Context(), st, f.IDs); err != nil {
					return err
				}
			}
			n, _, err := st.CountParked(c.Context(), f)
			if err != nil {
				return err
			}
			if n > 0 && !yes && !a.confirm("Drop "+count(n, "parked event")+" for good?") {
				return usagef("%s would be dropped; --yes does it", count(n, "parked event"))
			}
			if n, err = st.DropParked(c.Context(), f); err != nil {
				return err
			}
			return a.changed(st, "drop", n)
		},
	}
	p.flags(c)
	sel.flags(c)
	c.Flags().BoolVar(&sel.all, "all", false, "all parked events")
	c.Flags().BoolVarP(&yes, "yes", "y", false, "do it without asking")
	return c
}

func (a *app) changed(st access, verb string, n int64) error {
	if a.json {
		return writeLine(a.out, wire.Count{N: n})
	}
	_, remote := st.(*client.Client)
	switch {
	case n == 0:
		a.say("no parked event is selected")
	case verb == "drop":
		a.say("%s dropped", count(n, "event"))
	case remote:
		a.say("%s sent again", count(n, "event"))
	default:
		a.say("%s marked: the pipeline takes them up when it runs", count(n, "event"))
	}
	return nil
}

// confirm asks on a terminal; elsewhere the answer is no.
func (a *app) confirm(question string) bool {
	if !a.inTTY() || !a.errTTY || a.json {
		return false
	}
	fmt.Fprint(a.err, question+" [y/N] ")
	var answer string
	_, _ = fmt.Fscanln(a.in, &answer)
	return strings.EqualFold(answer, "y") || strings.EqualFold(answer, "yes")
}
