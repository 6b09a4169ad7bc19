// Package file is a source that reads files line by line: NDJSON files, globs of them, standard input, and files that
// are still being written.
//
// It remembers for each file how far it was committed, under a fingerprint of what the file holds, so that a file that
// was renamed, moved or copied goes on where it was left, and one that was replaced starts anew. Memory is flat whatever
// the size of a file or of a line: a line beyond the event size is cut, and poisoned further on.
package file

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"sync"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/sources"
)

func init() { sources.Register("file", Open) }

// Config is the source's YAML.
type Config struct {
	_ struct{} `doc:"reads files line by line: NDJSON, globs of them, standard input, files that are still being written"`

	Path   []string `yaml:"path" doc:"a file, a glob (* ? [a-z] within one folder level), - for standard input, or a list of them; *.gz is unpacked" example:"orders/*.ndjson"`
	Follow bool     `yaml:"follow,omitempty" doc:"go on at the end of a file: wait for more lines, for files that take its name, for new files of a glob"`
	From   string   `yaml:"from,omitempty" default:"start" enum:"start,end" doc:"with follow: where to start in files that are there already and of which nothing was committed"`
	Format string   `yaml:"format,omitempty" default:"ndjson" enum:"ndjson" doc:"one event on each line"`
}

// Validate implements config.Validator.
func (c Config) Validate() error {
	if len(c.Path) == 0 {
		return &config.FieldError{Field: "path", Err: errors.New("names no file")}
	}
	for _, p := range c.Path {
		if p == "" {
			return &config.FieldError{Field: "path", Err: errors.New("is empty")}
		}
		if p == "-" && c.Follow {
			return &config.FieldError{Field: "path", Err: errors.New("standard input cannot be followed"), Hint: "without follow it is read until its writer ends it"}
		}
	}
	if c.From == "end" && !c.Follow {
		return &config.FieldError{Field: "from", Err: errors.New("end is for files that are followed"), Hint: "add follow: true"}
	}
	return nil
}

// Source reads the files of one pipeline, one after another in the order of the list and, within a glob, of their
// names. Followed files take turns.
type Source struct {
	cfg   Config
	env   sources.Env
	log   *slog.Logger
	stdin io.Reader
	known map[string]*identity // files of this run, by key

	stop context.CancelFunc
	done chan struct{} // closed when nothing is read any more

	mu  sync.Mutex
	err error
}

var (
	_ sources.Source    = (*Source)(nil)
	_ sources.Described = (*Source)(nil)
	_ sources.Failing   = (*Source)(nil)
)

// Open makes the source; it touches no file.
func Open(_ context.Context, c Config, env sources.Env) (sources.Source, error) {
	s := &Source{cfg: c, env: env, log: env.Log, stdin: os.Stdin, known: map[string]*identity{}}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.env.MaxEvents <= 0 {
		s.env.MaxEvents = 1000
	}
	if s.env.MaxBytes <= 0 {
		s.env.MaxBytes = 1 << 20
	}
	if s.env.MaxEventSize <= 0 {
		s.env.MaxEventSize = 1 << 20
	}
	return s, nil
}

// Traits implements sources.Described.
func (s *Source) Traits() sources.Traits {
	// Standard input is each process's own.
	return sources.Traits{Ordered: true, Ends: !s.cfg.Follow, Alone: !slices.Contains(s.cfg.Path, "-")}
}

// Subscribe starts to read. A file that is missing, unreadable or a folder is an error here, unless it is followed (then
// it is waited for) or comes by a glob.
func (s *Source) Subscribe(ctx context.Context, _ string) (<-chan *message.Message, error) {
	for _, p := range s.cfg.Path {
		if err := s.check(p); err != nil {
			return nil, fmt.Errorf("file: %w", err)
		}
	}
	ctx, s.stop = context.WithCancel(ctx)
	s.done = make(chan struct{})
	out := make(chan *message.Message)
	go func() {
		defer close(s.done)
		defer close(out)
		read := s.readAll
		if s.cfg.Follow {
			read = s.follow
		}
		if err := read(ctx, out); err != nil && ctx.Err() == nil {
			s.log.Error("file: reading ended by a fault", "error", err)
			s.mu.Lock()
			s.err = fmt.Errorf("file: %w", err)
			s.mu.Unlock()
		}
	}()
	return out, nil
}

// Err implements sources.Failing.
func (s *Source) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// Close stops what still reads. Standard input that nobody writes to keeps one goroutine until the process ends, as
// such a read cannot be broken off.
func (s *Source) Close() error {
	if s.stop != nil {
		s.stop()
		<-s.done
	}
	return nil
}

// readAll reads every file to its end.
func (s *Source) readAll(ctx context.Context, out chan<- *message.Message) error {
	for _, p := range s.cfg.Path {
		names, err := expand(p)
		if err != nil {
			return err
		}
		if len(names) == 0 {
			s.log.Warn("file: the glob matches no file", "path", p)
		}
		for _, name := range names {
			if err := s.readFile(ctx, out, name, isGlob(p)); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *Source) readFile(ctx context.Context, out chan<- *message.Message, name string, mayBeGone bool) error {
	if name == "-" {
		return s.readStream(ctx, out, s.stdin, name)
	}
	in, err := openInput(name)
	if errors.Is(err, os.ErrNotExist) && mayBeGone {
		s.log.Warn("file: gone before it was read", "path", name)
		return nil
	}
	if err != nil {
		return err
	}
	defer in.close()
	if !in.regular {
		return s.readStream(ctx, out, in.f, name)
	}
	head, err := in.head()
	if err != nil || len(head) == 0 {
		return err
	}
	id, offset, err := s.identify(ctx, in, head)
	if err != nil {
		return err
	}
	r, err := in.from(offset)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	sp := newSplitter(r, s.env, id, offset)
	sp.fill = true
	defer sp.close()
	return s.pump(ctx, out, sp, name, true)
}

// readStream reads what has no places to remember: standard input, pipes, devices. A read from them may never return,
// so it has a goroutine of its own that the end of ctx leaves behind.
func (s *Source) readStream(ctx context.Context, out chan<- *message.Message, r io.Reader, name string) error {
	inner := make(chan *message.Message)
	failed := make(chan error, 1)
	go func() {
		sp := newSplitter(r, s.env, nil, 0)
		defer sp.close()
		failed <- s.pump(ctx, inner, sp, name, true)
	}()
	for {
		select {
		case m := <-inner:
			select {
			case out <- m:
			case <-ctx.Done():
				return ctx.Err()
			}
		case err := <-failed:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// pump sends batches until the input is at its end. Final says that what stands behind the last newline is a line too.
func (s *Source) pump(ctx context.Context, out chan<- *message.Message, sp *splitter, name string, final bool) error {
	work := context.WithoutCancel(ctx) // a stop does not cancel what is in flight
	for {
		p, err := sp.next(final)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		select {
		case out <- p.batch().Message(work):
			if sp.id != nil {
				sp.id.sent = p.last
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
