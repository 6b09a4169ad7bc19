package cmd

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/eventstore/wire"
)

// importing is the flags of import.
type importing struct {
	renumber bool
	from     int64
	batch    int
}

func (a *app) storeImport() *cobra.Command {
	var (
		p place
		o importing
	)
	c := &cobra.Command{
		Use:   "import FILE.ndjson… | - [FILE.yaml]",
		Short: "Append what an export wrote, to an empty store or one with events",
		Long: `Append the events of NDJSON files, as "store export" writes them, in their order: each to its stream,
at its revision, with its id, time, source, subject, data, metadata and origin. The store stamps
"recorded" and the position anew; into an empty store the positions of a whole log are the same.

Files are checked before anything is written: a line that is broken, or a revision that does not
follow the one before it in its stream, is named by file and line. An event that is there already, with
the same id at the same revision, is passed over, so that an import that was broken off is just
started again; --from-line saves reading what is done.`,
		Example: `  leat store export --data old -o log.ndjson && leat store import log.ndjson --data new
  leat store export --data a --stream-type order | leat store import - --server b:8087 --renumber`,
		RunE: func(c *cobra.Command, args []string) error {
			rest := p.take(args)
			if len(rest) == 0 {
				return usagef("import wants files of NDJSON, or - for stdin\nSee: %s --help", c.CommandPath())
			}
			if o.from < 0 || o.batch < 1 || o.from > 0 && len(rest) > 1 {
				return usagef("--from-line counts from 1, for one file, and --batch wants at least 1")
			}
			for _, name := range rest {
				if name == "-" {
					continue
				}
				if err := a.checkImport(name, &o); err != nil {
					return err
				}
			}
			st, err := a.open(c.Context(), &p, true)
			if err != nil {
				return err
			}
			defer st.Close()
			var done imported
			for _, name := range rest {
				if err := a.importFile(c.Context(), st, name, &o, &done); err != nil {
					return err
				}
			}
			if a.lines() {
				return writeLine(a.out, done)
			}
			_, err = fmt.Fprintf(a.out, "%s appended, %s there already\n", count(done.Appended, "event"), number(done.Repeated))
			return err
		},
	}
	p.flags(c)
	c.Flags().BoolVar(&o.renumber, "renumber", false, "append behind what its stream has, whatever revisions the file says (for exports of a part)")
	c.Flags().Int64Var(&o.from, "from-line", 0, "leave out the lines before this one")
	c.Flags().IntVar(&o.batch, "batch", 500, "events that are sent at a time")
	return c
}

// imported counts what an import did.
type imported struct {
	Appended int64 `json:"appended"`
	Repeated int64 `json:"repeated"`
}

// eventLine reads a line of an export.
func eventLine(line []byte) (*event.Recorded, error) {
	d := json.NewDecoder(bytes.NewReader(line))
	var w wire.Event
	if err := d.Decode(&w); err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("there is something behind the event")
	}
	switch {
	case w.Stream == "":
		return nil, errors.New("it has no stream")
	case w.ID == "":
		return nil, errors.New("it has no id")
	case w.Type == "":
		return nil, errors.New("it has no type")
	case w.Revision < 0:
		return nil, fmt.Errorf("its revision is %d", w.Revision)
	case len(w.Metadata) > 0 && w.Metadata[0] != '{' && string(w.Metadata) != "null":
		return nil, errors.New("its metadata is no object")
	}
	e, err := w.Back()
	if err != nil {
		return nil, err
	}
	if string(e.Metadata) == "{}" || string(e.Metadata) == "null" {
		e.Metadata = nil
	}
	return e, nil
}

// follows holds the revisions of a file together.
type follows map[event.Stream]int64

func (f follows) check(e *event.Recorded, o *importing) error {
	if o.renumber {
		return nil
	}
	if e.Revision == 0 {
		return errors.New("it has no revision; --renumber appends it behind what its stream has")
	}
	if last, ok := f[e.Stream]; ok && e.Revision != last+1 {
		return fmt.Errorf("it has revision %d of %s, behind %d: events between them are missing, or the order is wrong; --renumber appends them all the same", e.Revision, e.Stream, last)
	}
	f[e.Stream] = e.Revision
	return nil
}

// checkImport reads a whole file before anything is written.
func (a *app) checkImport(name string, o *importing) error {
	f, err := os.Open(name)
	if err != nil {
		return environment(err)
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return err // a pipe is read once
	}
	seen := follows{}
	bar := a.progress("check", 0)
	defer bar.done()
	return eachLine(f, func(n int, line []byte) error {
		bar.add(1)
		if int64(n) < o.from {
			return nil
		}
		e, err := eventLine(line)
		if err == nil {
			err = seen.check(e, o)
		}
		if err != nil {
			return usagef("%s:%d: %w\nNothing was written", name, n, err)
		}
		return nil
	})
}

func (a *app) importFile(ctx context.Context, st access, name string, o *importing, done *imported) error {
	in := a.in
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return environment(err)
		}
		defer f.Close()
		in = f
	} else {
		name = "stdin"
	}
	bar := a.progress("import", 0)
	defer bar.done()
	var units []*eventstore.Unit
	var numbers []int
	flush := func() error {
		if len(units) == 0 {
			return nil
		}
		if err := st.Commit(ctx, units, eventstore.CommitOptions{Ordered: true}); err != nil {
			return fmt.Errorf("%s: %w\nThe lines before %d are there: go on with --from-line %d", name, err, numbers[0], numbers[0])
		}
		for i, u := range units {
			switch u.Result.Status {
			case eventstore.Done:
				done.Appended++
			case eventstore.Repeated:
				done.Repeated++
			default:
				return fmt.Errorf("%s:%d: %w\nThe lines before it are there", name, numbers[i], u.Result.Err)
			}
			bar.add(1)
		}
		units, numbers = units[:0], numbers[:0]
		return nil
	}
	seen, size := follows{}, 0
	err := eachLine(in, func(n int, line []byte) error {
		if int64(n) < o.from {
			return nil
		}
		e, err := eventLine(line)
		if err == nil {
			err = seen.check(e, o)
		}
		if err != nil {
			// What came before a broken line of stdin is whole.
			if e := flush(); e != nil {
				return e
			}
			return usagef("%s:%d: %w\nThe lines before it are there", name, n, err)
		}
		expect := eventstore.Any
		if !o.renumber {
			expect = eventstore.Revision(e.Revision - 1)
		}
		units = append(units, &eventstore.Unit{Appends: []eventstore.Append{{Stream: e.Stream, Expect: expect, Origin: e.Origin, Events: []event.Event{e.Event}}}})
		numbers = append(numbers, n)
		if size += len(line); len(units) < o.batch && size < 4<<20 {
			return nil
		}
		size = 0
		return flush()
	})
	if err != nil {
		return err
	}
	return flush()
}
