package cmd

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"time"

	"github.com/spf13/cobra"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/eventstore/wire"
)

func (a *app) storeCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "store",
		Short: "Read, write and check the event store",
		Args:  usageArgs(cobra.NoArgs),
		RunE:  func(c *cobra.Command, _ []string) error { return needsVerb(c) },
	}
	c.AddCommand(a.storeStreams(), a.storeRead(), a.storeAppend(), a.storeExport(), a.storeImport(), a.storeVerify(), a.storeInit())
	return c
}

func needsVerb(c *cobra.Command) error {
	var names []string
	for _, sub := range c.Commands() {
		if sub.IsAvailableCommand() {
			names = append(names, sub.Name())
		}
	}
	return usagef("%s wants one of %s\nSee: %s --help", c.CommandPath(), list(names), c.CommandPath())
}

func (a *app) storeStreams() *cobra.Command {
	var (
		p place
		o eventstore.StreamsOptions
	)
	c := &cobra.Command{
		Use:   "streams [FILE]",
		Short: "List the streams with their revisions",
		RunE: func(c *cobra.Command, args []string) error {
			if rest := p.take(args); len(rest) > 0 {
				return usagef("%q is no pipeline file (*.yaml)", rest[0])
			}
			st, err := a.open(c.Context(), &p, false)
			if err != nil {
				return err
			}
			defer st.Close()
			return a.printStreams(st.Streams(c.Context(), o))
		},
	}
	p.flags(c)
	c.Flags().StringVar(&o.Type, "type", "", "only streams of this type (what stands before the /)")
	c.Flags().StringVar(&o.Prefix, "prefix", "", "only streams whose id starts so; wants --type")
	c.Flags().Int64Var(&o.Max, "max", 0, "at most so many; 0: all")
	return c
}

func (a *app) printStreams(streams iter.Seq2[eventstore.StreamInfo, error]) error {
	if a.lines() {
		out := bufio.NewWriter(a.out)
		for info, err := range streams {
			if err == nil {
				err = writeLine(out, wire.StreamOf(info))
			}
			if err != nil {
				return errors.Join(err, out.Flush())
			}
		}
		return out.Flush()
	}
	g := newGrid(a.out, a.outColor(), "STREAM", ">EVENTS", "CREATED", "UPDATED")
	n := 0
	for info, err := range streams {
		if err == nil {
			n++
			err = g.add(info.Stream.String(), number(info.Revision), stamp(info.Created), stamp(info.Updated))
		}
		if err != nil {
			return errors.Join(g.done(), err)
		}
	}
	if n == 0 {
		a.say("no streams")
	}
	return g.done()
}

// reading is what read and export have in common.
type reading struct {
	o     eventstore.ReadOptions
	since string
}

func (r *reading) flags(c *cobra.Command) {
	c.Flags().Int64Var(&r.o.From, "from", 0, "first revision of a stream, or position of the log; 0: the first")
	c.Flags().Int64Var(&r.o.To, "to", 0, "last one; 0: the last")
	c.Flags().Int64VarP(&r.o.Max, "max", "n", 0, "at most so many events; 0: all")
	c.Flags().StringArrayVar(&r.o.Filter.Types, "type", nil, "only events of this type; may be repeated")
	c.Flags().StringArrayVar(&r.o.Filter.StreamTypes, "stream-type", nil, "only streams of this type; may be repeated")
	c.Flags().StringArrayVar(&r.o.Filter.Origins, "origin", nil, "only what this pipeline appended; may be repeated")
	c.Flags().StringVar(&r.since, "since", "", "only what was recorded since then: a time (RFC 3339, or a date) or a span (2h, 3d)")
}

func (r *reading) check(now time.Time) error {
	if r.o.From < 0 || r.o.To < 0 || r.o.Max < 0 {
		return usagef("--from, --to and --max count from 0")
	}
	var err error
	r.o.SinceTime, err = since(r.since, now)
	return err
}

func (a *app) storeRead() *cobra.Command {
	var (
		p   place
		r   reading
		all bool
	)
	c := &cobra.Command{
		Use:   "read STREAM | --all [FILE]",
		Short: "Print a stream, or the whole log, as NDJSON",
		Long: `Print recorded events, one JSON object a line, each with stream, revision, position, id,
type, time, data and metadata, then source, subject, recorded and origin where they are set.`,
		Example: `  leat store read order/o-1 pipeline.yaml
  leat store read --all --data ./data --type OrderPaid --since 2h
  leat store read --all --backwards -n 10`,
		RunE: func(c *cobra.Command, args []string) error {
			rest := p.take(args)
			var stream event.Stream
			switch {
			case all && len(rest) > 0:
				return usagef("--all is the whole log; leave out %q", rest[0])
			case all:
			case len(rest) != 1:
				return usagef("read wants one stream (type/id), or --all\nSee: %s --help", c.CommandPath())
			default:
				var err error
				if stream, err = event.ParseStream(rest[0]); err != nil {
					return usagef("%q is no stream: a stream is written type/id", rest[0])
				}
			}
			if err := r.check(a.now()); err != nil {
				return err
			}
			st, err := a.open(c.Context(), &p, false)
			if err != nil {
				return err
			}
			defer st.Close()
			events := st.ReadAll(c.Context(), r.o)
			if !all {
				events = st.ReadStream(c.Context(), stream, r.o)
			}
			n, err := a.writeEvents(a.out, events, nil)
			if err == nil && n == 0 {
				a.say("no events")
			}
			return err
		},
	}
	p.flags(c)
	r.flags(c)
	c.Flags().BoolVar(&all, "all", false, "the whole log, in the order of its positions")
	c.Flags().BoolVar(&r.o.Backwards, "backwards", false, "the last first")
	return c
}

func (a *app) writeEvents(w io.Writer, events iter.Seq2[*event.Recorded, error], p *progress) (int64, error) {
	out := bufio.NewWriterSize(w, 256<<10)
	var n int64
	for e, err := range events {
		if err == nil {
			err = writeLine(out, wire.EventOf(e))
		}
		if err != nil {
			return n, errors.Join(err, out.Flush())
		}
		n++
		if p != nil {
			p.add(1)
		}
	}
	if err := out.Flush(); err != nil {
		return n, fmt.Errorf("write: %w", err)
	}
	return n, nil
}

func (a *app) storeAppend() *cobra.Command {
	var (
		p                    place
		expect               string
		id, typ, data, meta  string
		source, subject, tim string
	)
	c := &cobra.Command{
		Use:   "append STREAM [FILE]",
		Short: "Append events to a stream",
		Long: `Append one event (--type, --payload …), or those that come on stdin as NDJSON: objects with type
and, where they are wanted, id, time, data, metadata, source and subject. All are appended or none.
An event whose id is in the stream already is not appended again, so a repeat with ids is harmless.`,
		Example: `  leat store append order/o-1 --type OrderPaid --payload '{"amount": 12.50}' --expect 3
  leat store append order/o-1 < events.ndjson`,
		RunE: func(c *cobra.Command, args []string) error {
			rest := p.take(args)
			if len(rest) != 1 {
				return usagef("append wants one stream (type/id)\nSee: %s --help", c.CommandPath())
			}
			stream, err := event.ParseStream(rest[0])
			if err != nil {
				return usagef("%q is no stream: a stream is written type/id", rest[0])
			}
			if _, err := eventstore.ParseExpect(expect); err != nil {
				return usagef("--expect is any, no_stream, stream_exists or a revision, not %q", expect)
			}
			in := wire.Append{Expect: wire.Expect(expect)}
			if typ != "" {
				e := wire.Event{ID: id, Type: typ, Source: source, Subject: subject}
				if e.Time, err = since(tim, a.now()); err != nil {
					return err
				}
				for flag, f := range map[string]struct {
					text string
					raw  *json.RawMessage
				}{"payload": {data, &e.Data}, "metadata": {meta, &e.Metadata}} {
					if f.text != "" && !json.Valid([]byte(f.text)) {
						return usagef("--%s is no JSON: %s", flag, cut(f.text, 60))
					}
					*f.raw = json.RawMessage(f.text)
				}
				if len(e.Data) == 0 {
					e.Data = nil
				}
				if len(e.Metadata) == 0 {
					e.Metadata = nil
				}
				in.Events = []wire.Event{e}
			} else if in.Events, err = a.eventsIn(); err != nil {
				return err
			}
			st, err := a.open(c.Context(), &p, true)
			if err != nil {
				return err
			}
			defer st.Close()
			done, err := st.Append(c.Context(), stream, in)
			if err != nil {
				return err
			}
			if a.lines() {
				return writeLine(a.out, done)
			}
			what := "appended"
			if done.Repeated {
				what = "was there already:"
			}
			fmt.Fprintf(a.out, "%s %s revisions %d to %d, position %d\n", visible(done.Stream), what, done.First, done.Last, done.Position)
			return nil
		},
	}
	p.flags(c)
	f := c.Flags()
	f.StringVar(&expect, "expect", "any", "what the stream must be: any, no_stream, stream_exists or a revision")
	f.StringVar(&typ, "type", "", "type of one event; without it events are read from stdin")
	f.StringVar(&data, "payload", "", "its payload, JSON")
	f.StringVar(&id, "id", "", "its id; default: a new one")
	f.StringVar(&source, "source", "", "its source")
	f.StringVar(&subject, "subject", "", "its subject")
	f.StringVar(&tim, "time", "", "its time, RFC 3339; default: now")
	f.StringVar(&meta, "metadata", "", "its metadata, a JSON object")
	return c
}

// eventsIn reads NDJSON events from stdin.
func (a *app) eventsIn() ([]wire.Event, error) {
	if a.inTTY() {
		return nil, usagef("there is nothing to append: give --type (and --payload), or events on stdin")
	}
	var out []wire.Event
	err := eachLine(a.in, func(n int, line []byte) error {
		d := json.NewDecoder(bytes.NewReader(line))
		d.DisallowUnknownFields()
		var e wire.Event
		if err := d.Decode(&e); err != nil {
			return usagef("stdin:%d: %w", n, err)
		}
		out = append(out, e)
		return nil
	})
	if err == nil && len(out) == 0 {
		err = usagef("stdin has no events")
	}
	return out, err
}

func (a *app) storeVerify() *cobra.Command {
	var p place
	c := &cobra.Command{
		Use:   "verify [FILE]",
		Short: "Read everything and check that the store is whole",
		Long: `Read every event and check that positions are dense, streams have no gaps, heads are right and
checksums hold. Faults go to stdout; exit code 1 says that there are any.`,
		RunE: func(c *cobra.Command, args []string) error {
			if rest := p.take(args); len(rest) > 0 {
				return usagef("%q is no pipeline file (*.yaml)", rest[0])
			}
			st, err := a.open(c.Context(), &p, false)
			if err != nil {
				return err
			}
			defer st.Close()
			if a.errTTY {
				a.say("reading the whole log …")
			}
			var failed error
			v, err := st.Verify(c.Context(), func(f eventstore.Fault) {
				fault := wire.FaultOf(f)
				if a.lines() {
					failed = errors.Join(failed, writeLine(a.out, wire.VerifyLine{Fault: &fault}))
					return
				}
				at := fault.Stream
				if fault.Position > 0 {
					at = fmt.Sprintf("position %d %s", fault.Position, at)
				}
				_, e := fmt.Fprintln(a.out, visible(at+": "+fault.What))
				failed = errors.Join(failed, e)
			})
			if err = errors.Join(err, failed); err != nil {
				return err
			}
			if a.lines() {
				err = writeLine(a.out, wire.VerifyLine{Verified: &wire.Verified{Events: v.Events, Streams: v.Streams, Faults: v.Faults}})
			} else {
				verdict := "ok"
				if v.Faults > 0 {
					verdict = count(v.Faults, "fault")
				}
				_, err = fmt.Fprintf(a.out, "%s: %s in %s\n", verdict, count(v.Events, "event"), count(v.Streams, "stream"))
			}
			if err == nil && v.Faults > 0 {
				err = exit(exitFailed)
			}
			return err
		},
	}
	p.flags(c)
	return c
}
