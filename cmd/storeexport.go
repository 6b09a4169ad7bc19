package cmd

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/eventstore/wire"
)

func (a *app) storeExport() *cobra.Command {
	var (
		p      place
		r      reading
		out    string
		resume bool
	)
	c := &cobra.Command{
		Use:   "export [FILE]",
		Short: "Write the whole log as NDJSON, to stdout or a file",
		Long: `Write the log in the order of its positions, in the form of "store read". The log may grow
meanwhile: the export ends at the position at which the log stood when it started. With --out the
file is there only when it is complete; until then it is FILE.part, and --resume goes on where an
export was broken off.`,
		RunE: func(c *cobra.Command, args []string) error {
			if rest := p.take(args); len(rest) > 0 {
				return usagef("%q is no pipeline file (*.yaml)", rest[0])
			}
			if resume && out == "" {
				return usagef("--resume goes on with a file: name it by --out")
			}
			if resume && r.o.Max > 0 {
				return usagef("--resume and --max do not go together")
			}
			if err := r.check(a.now()); err != nil {
				return err
			}
			st, err := a.open(c.Context(), &p, false)
			if err != nil {
				return err
			}
			defer st.Close()
			return a.export(c.Context(), st, r.o, out, resume)
		},
	}
	p.flags(c)
	r.flags(c)
	c.Flags().StringVarP(&out, "out", "o", "", "file to write; it must not exist")
	c.Flags().BoolVar(&resume, "resume", false, "go on with an export to --out that was broken off, with the same selection")
	return c
}

func (a *app) export(ctx context.Context, st access, o eventstore.ReadOptions, name string, resume bool) error {
	h, err := st.Head(ctx)
	if err != nil {
		return err
	}
	if o.To == 0 || o.To > h.Position {
		o.To = h.Position
	}
	if h.Position == 0 {
		a.say("the log is empty")
	}
	if name == "" {
		bar := a.progress("export", exported(o))
		_, err := a.writeEvents(a.out, upTo(ctx, st, o), bar)
		bar.done()
		return err
	}
	if _, err := os.Stat(name); err == nil {
		return usagef("%s exists already", name)
	}
	part, before, err := openPart(name, resume, partHead{LogID: h.LogID, Selection: selectionOf(o)})
	if err != nil {
		return err
	}
	defer part.f.Close()
	if before > 0 {
		o.From = before + 1
		a.say("going on behind position %s", number(before))
	}
	bar := a.progress("export", exported(o))
	n, err := a.writeEvents(part.f, upTo(ctx, st, o), bar)
	bar.done()
	if err == nil {
		err = part.finish(name)
	}
	if err != nil {
		return fmt.Errorf("%w\nWhat came is in %s: the same command with --resume goes on", err, part.f.Name())
	}
	a.say("%s: %s", name, count(n+part.lines, "event"))
	return nil
}

// upTo reads what is selected; an empty range is nothing, not everything.
func upTo(ctx context.Context, st access, o eventstore.ReadOptions) func(func(*event.Recorded, error) bool) {
	if o.To == 0 || o.From > o.To {
		return func(func(*event.Recorded, error) bool) {}
	}
	return st.ReadAll(ctx, o)
}

// exported is how many events are to come, 0 where nobody knows.
func exported(o eventstore.ReadOptions) int64 {
	if len(o.Filter.Types)+len(o.Filter.StreamTypes)+len(o.Filter.Origins) > 0 || !o.SinceTime.IsZero() {
		return 0
	}
	n := o.To - max(o.From, 1) + 1
	if o.Max > 0 {
		n = min(n, o.Max)
	}
	return max(n, 0)
}

// partHead says what a part file is a part of. It lies beside it, so that another selection is not mixed in.
type partHead struct {
	LogID     string `json:"log_id"`
	Selection string `json:"selection"`
}

// selectionOf is what a selection is compared by. The end is left out, as the log grows between attempts.
func selectionOf(o eventstore.ReadOptions) string {
	b, _ := json.Marshal(struct {
		From    int64
		Filter  eventstore.Filter
		Since   string
		Bounded int64
	}{o.From, o.Filter, o.SinceTime.UTC().Format(time.RFC3339), o.Max})
	return string(b)
}

// part is the file of an export that is not complete.
type part struct {
	f     *os.File
	lines int64 // that were there
}

// openPart opens FILE.part: anew, or where an export was broken off; position is that of its last whole line.
func openPart(name string, resume bool, head partHead) (p *part, position int64, err error) {
	partName, note := name+".part", name+".part.json"
	_, err = os.Stat(partName)
	switch {
	case err == nil && !resume:
		return nil, 0, usagef("%s is there: an export was broken off\nGo on with it by --resume, or remove it", partName)
	case errors.Is(err, fs.ErrNotExist) && resume:
		return nil, 0, usagef("there is no %s to go on with", partName)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return nil, 0, environment(err)
	}
	if !resume {
		b, err := json.Marshal(head)
		if err != nil {
			return nil, 0, err
		}
		if err := os.WriteFile(note, b, 0o600); err != nil {
			return nil, 0, environment(err)
		}
		f, err := os.OpenFile(partName, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		if err != nil {
			return nil, 0, environment(err)
		}
		return &part{f: f}, 0, nil
	}
	var was partHead
	b, err := os.ReadFile(note)
	if err == nil {
		err = json.Unmarshal(b, &was)
	}
	if err != nil {
		return nil, 0, environment(fmt.Errorf("what %s is a part of cannot be read: %w", partName, err))
	}
	if was.LogID != head.LogID {
		return nil, 0, usagef("%s is of another log: remove it", partName)
	}
	if was.Selection != head.Selection {
		return nil, 0, usagef("%s was started with another selection: %s", partName, was.Selection)
	}
	f, err := os.OpenFile(partName, os.O_RDWR, 0o600)
	if err != nil {
		return nil, 0, environment(err)
	}
	p = &part{f: f}
	if position, err = p.whole(); err != nil {
		return nil, 0, errors.Join(environment(err), f.Close())
	}
	return p, position, nil
}

// whole cuts off a last line that is not whole, and gives the position of the last that is.
func (p *part) whole() (position int64, err error) {
	in := bufio.NewReaderSize(p.f, 256<<10)
	var last []byte
	end := int64(0)
	for {
		line, err := in.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return 0, err
		}
		last, end = line, end+int64(len(line))
		p.lines++
	}
	if err := p.f.Truncate(end); err != nil {
		return 0, err
	}
	if _, err := p.f.Seek(end, io.SeekStart); err != nil {
		return 0, err
	}
	if len(bytes.TrimSpace(last)) == 0 {
		return 0, nil
	}
	var e wire.Event
	if err := json.Unmarshal(last, &e); err != nil || e.Position < 1 {
		return 0, fmt.Errorf("line %d of %s is no event: remove the file", p.lines, p.f.Name())
	}
	return e.Position, nil
}

// finish puts the file in its place. A link, not a rename: it never replaces a file that came meanwhile.
func (p *part) finish(name string) error {
	if err := p.f.Sync(); err != nil {
		return err
	}
	if err := os.Link(p.f.Name(), name); err != nil {
		return err
	}
	return errors.Join(os.Remove(p.f.Name()), os.Remove(name+".part.json"))
}
