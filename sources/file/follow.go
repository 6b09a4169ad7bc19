package file

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
)

// How often followed files are looked at, in ticks of pollEvery. A look costs one fstat a file.
const (
	pollEvery = 250 * time.Millisecond
	scanEvery = 4   // looks between two looks for new names
	grace     = 12  // quiet looks after which a file without a name is done: its writer may still hold it
	sayEvery  = 240 // looks between two log lines about one fault
)

// tail is one followed file. It is held by its open descriptor, whatever becomes of its name.
type tail struct {
	in     *input
	info   os.FileInfo
	id     *identity // nil until the file has a line
	offset int64     // where reading goes on
	seen   int64     // its size at the last look
	old    bool      // was there at the start: `from` is for it
	gone   bool      // no path leads to it any more
	quiet  int       // looks without growth since then
	faults int
}

// watch is the set of followed files.
type watch struct {
	*Source
	tails []*tail
	begun bool
	said  map[string]int // faults by name
}

// follow reads until ctx is done.
func (s *Source) follow(ctx context.Context, out chan<- *message.Message) error {
	w := &watch{Source: s, said: map[string]int{}}
	defer func() {
		for _, t := range w.tails {
			t.in.close()
		}
	}()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for n := 0; ; n++ {
		if n%scanEvery == 0 {
			w.scan()
		}
		w.tails = slices.DeleteFunc(w.tails, func(t *tail) bool {
			done, err := w.look(ctx, out, t)
			if err != nil && ctx.Err() == nil {
				if t.faults%sayEvery == 0 {
					w.log.Error("file: cannot read on, tries again", "path", t.in.name, "error", err)
				}
				t.faults++
			}
			if done {
				t.in.close()
			}
			return done
		})
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// scan looks for files that have come, and notes which are gone. A file that takes the name of one that is still being
// read waits until that one is done.
func (w *watch) scan() {
	present := map[*tail]bool{}
	type found struct {
		name string
		info os.FileInfo
	}
	var fresh []found
	for _, p := range w.cfg.Path {
		names, err := expand(p)
		w.fault(p, err)
		for _, name := range names {
			info, err := os.Stat(name)
			if err == nil && !info.Mode().IsRegular() {
				err = fmt.Errorf("%s is no regular file", name)
			}
			if errors.Is(err, os.ErrNotExist) {
				continue
			}
			w.fault(name, err)
			if err != nil {
				continue
			}
			if i := slices.IndexFunc(w.tails, func(t *tail) bool { return os.SameFile(t.info, info) }); i >= 0 {
				w.tails[i].in.name, present[w.tails[i]] = name, true
			} else if !slices.ContainsFunc(fresh, func(f found) bool { return os.SameFile(f.info, info) }) {
				fresh = append(fresh, found{name, info})
			}
		}
	}
	for _, t := range w.tails {
		if t.gone = !present[t]; !t.gone {
			t.quiet = 0
		}
	}
	for _, f := range fresh {
		if slices.ContainsFunc(w.tails, func(t *tail) bool { return t.gone && t.in.name == f.name }) {
			continue
		}
		in, err := openInput(f.name)
		w.fault(f.name, err)
		if err != nil {
			continue
		}
		t := &tail{in: in, seen: -1, old: !w.begun}
		if t.info, err = in.f.Stat(); err != nil {
			in.close()
			continue
		}
		w.tails = append(w.tails, t)
	}
	w.begun = true
}

// fault logs what is wrong with a name, now and then.
func (w *watch) fault(name string, err error) {
	if err == nil {
		delete(w.said, name)
		return
	}
	if w.said[name]%(sayEvery/scanEvery) == 0 {
		w.log.Error("file: cannot follow", "path", name, "error", err)
	}
	w.said[name]++
}

// look reads what a file has grown by; done says that nothing more will come of it.
func (w *watch) look(ctx context.Context, out chan<- *message.Message, t *tail) (done bool, err error) {
	if t.in.packed { // written once
		if t.seen >= 0 {
			return t.gone, nil
		}
		if err := w.readFile(ctx, out, t.in.name, true); err != nil {
			return false, err
		}
		t.seen = 0
		return false, nil
	}
	info, err := t.in.f.Stat()
	if err != nil {
		return false, err
	}
	size := info.Size()
	if size == t.seen {
		if !t.gone {
			return false, nil
		}
		if t.quiet++; t.quiet < grace {
			return false, nil
		}
		done = true // its last line may have no newline
	} else {
		t.quiet = 0
	}
	if err := w.notice(t, size); err != nil {
		return false, err
	}
	if t.id == nil {
		known, err := w.begin(ctx, t, size, done)
		if err != nil || !known {
			return done && err == nil, err
		}
	}
	if err := w.read(ctx, out, t, done); err != nil {
		return false, err
	}
	t.seen, t.faults = size, 0
	if done {
		t.id.gone = true
	}
	return done, nil
}

// notice finds out whether the file was written anew under its descriptor.
func (w *watch) notice(t *tail, size int64) error {
	if t.id == nil {
		return nil
	}
	anew := size < t.offset
	if !anew {
		now := make([]byte, len(t.id.head))
		if _, err := t.in.f.ReadAt(now, 0); err != nil && err != io.EOF {
			return err
		}
		anew = !bytes.Equal(now, t.id.head)
	}
	if anew {
		w.log.Warn("file: truncated or written anew: it is read from its start", "path", t.in.name, "read", t.offset, "size", size)
		t.id.gone = true
		t.id, t.offset, t.old = nil, 0, false
	}
	return nil
}

// begin finds out which file this is, as soon as it has a first line.
func (w *watch) begin(ctx context.Context, t *tail, size int64, final bool) (known bool, err error) {
	head, err := t.in.head()
	if err != nil {
		return false, err
	}
	if len(head) == 0 || (!final && len(head) < headSize && bytes.IndexByte(head, '\n') < 0) {
		t.seen = size
		return false, nil
	}
	if t.id, t.offset, err = w.identify(ctx, t.in, head); err != nil {
		return false, err
	}
	if w.cfg.From == "end" && t.old && t.id.sent == "" {
		if t.offset, err = lineEnd(t.in.f, size); err != nil {
			t.id.gone, t.id = true, nil // the next look begins again
		}
	}
	return err == nil, err
}

func (w *watch) read(ctx context.Context, out chan<- *message.Message, t *tail, final bool) error {
	r, err := t.in.from(t.offset)
	if err != nil {
		return err
	}
	sp := newSplitter(r, w.env, t.id, t.offset)
	sp.fill = true
	defer sp.close()
	err = w.pump(ctx, out, sp, t.in.name, final)
	t.offset = sp.offset
	return err
}

// lineEnd gives the offset behind the last newline.
func lineEnd(r io.ReaderAt, size int64) (int64, error) {
	buf := make([]byte, 64<<10)
	for end := size; end > 0; {
		start := max(0, end-int64(len(buf)))
		b := buf[:end-start]
		if _, err := r.ReadAt(b, start); err != nil && err != io.EOF {
			return 0, err
		}
		if i := bytes.LastIndexByte(b, '\n'); i >= 0 {
			return start + int64(i) + 1, nil
		}
		end = start
	}
	return 0, nil
}
