// Package file is a sink that appends events to a file, one JSON value on each line.
//
// A batch goes out in one write and is on the disk before it counts as delivered. What could not be written whole (a full
// disk) is taken back, so the file holds whole lines; a line that a crash tore is repaired before the next is written.
// Events may come again after a crash, with the same ids. A file that is moved away is made anew under its name.
package file

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"strconv"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/sinks"
	"github.com/leatdev/leat/sinks/internal/ndjson"
)

func init() { sinks.Register("file", Open) }

// Config is the sink's YAML.
type Config struct {
	_ struct{} `doc:"appends events to a file, one JSON value on each line"`

	Path string `yaml:"path" doc:"the file; it is made where it is missing, its folder is not" example:"out/orders.ndjson"`
	Sync string `yaml:"sync,omitempty" default:"batch" enum:"batch,never" doc:"batch: a batch is on the disk before it counts as delivered; never: it is the system's to write it, and a power cut may lose it"`
	Mode string `yaml:"mode,omitempty" default:"0644" doc:"permissions of a file that is made, in octal"`
}

// Target implements sinks.Target.
func (c Config) Target() string { return filepath.Clean(c.Path) }

// Validate implements config.Validator.
func (c Config) Validate() error {
	if c.Path == "" {
		return &config.FieldError{Field: "path", Err: errors.New("is empty")}
	}
	if _, err := c.mode(); err != nil {
		return &config.FieldError{Field: "mode", Err: err, Hint: `write it as "0644"`}
	}
	return nil
}

func (c Config) mode() (fs.FileMode, error) {
	if c.Mode == "" {
		return 0o644, nil
	}
	n, err := strconv.ParseUint(c.Mode, 8, 32)
	if err != nil || n > 0o777 || n&0o200 == 0 {
		return 0, fmt.Errorf("%q are no octal permissions that let leat write", c.Mode)
	}
	return fs.FileMode(n), nil
}

// Sink appends to one file. It is safe for concurrent use; sinks of one daemon on the same file take turns.
type Sink struct {
	*out
	outs *outs
	sync bool
	// deferred: Sync does what each Write would.
	deferred bool
}

var _ sinks.Deferring = (*Sink)(nil)

// Defer implements sinks.Deferring. It is called before the first Write.
func (s *Sink) Defer() { s.deferred = s.sync }

// Sync implements sinks.Deferring.
func (s *Sink) Sync(context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.settle(); err != nil {
		return fmt.Errorf("file: sync %s: %w", s.path, err)
	}
	return nil
}

// Open opens the file, and makes it where it is missing. It writes nothing.
func Open(_ context.Context, c Config, env sinks.Env) (sinks.Sink, error) {
	mode, err := c.mode()
	if err != nil {
		return nil, err
	}
	all := &outs{}
	if env.Shared != nil {
		all = env.Shared("sinks/file", func() any { return &outs{} }).(*outs)
	}
	log := env.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	o, err := all.open(c.Path, mode, log)
	if err != nil {
		return nil, fmt.Errorf("file: %w", err)
	}
	return &Sink{out: o, outs: all, sync: c.Sync != "never"}, nil
}

// Write appends the batch. Errors are outages: a full disk, a folder that is gone and a disk that fails are waited for.
func (s *Sink) Write(ctx context.Context, batch []event.Recorded) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("file: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.buf = ndjson.AppendBatch(s.buf[:0], batch)
	if len(s.buf) == 0 {
		return nil
	}
	err := s.append(s.buf, s.sync && !s.deferred)
	s.unsafe = s.unsafe || (err == nil && s.deferred)
	if cap(s.buf) > 4<<20 {
		s.buf = nil
	}
	if err != nil {
		return event.Unavailable(0, fmt.Errorf("file: write %d events to %s: %w", len(batch), s.path, err))
	}
	return nil
}

// Close closes the file with its last user.
func (s *Sink) Close() error {
	if err := s.outs.close(s.out); err != nil {
		return fmt.Errorf("file: %w", err)
	}
	return nil
}
