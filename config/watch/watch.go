// Package watch tells when configuration files have other content than what was read.
//
// What counts is content: a file that is saved without a change, touched, or replaced by its equal is no change. The
// operating system's notices say when to look (a save in place, a rename over the file, a symbolic link anywhere on the
// way to it that points elsewhere), and a slow poll looks where they fail, as on network file systems.
package watch

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/leatdev/leat/pipeline/schemas"
)

// Options of a Watcher. The zero value is what `leat run --watch` wants.
type Options struct {
	// Settle is how long nothing may happen any more before files are looked at, so that a save in several writes is
	// seen once; zero: 100 ms. A file that never rests is looked at after 20 times that.
	Settle time.Duration
	// Poll is how often files are looked at without a notice; zero: 10 s.
	Poll time.Duration
	// NoNotices leaves everything to the poll.
	NoNotices bool
}

// maxSize is how much of a file counts.
const maxSize = 4 << 20

// Snapshot is the content of files at the time at which they were read. It is safe for concurrent use.
type Snapshot struct {
	mu    sync.Mutex
	sums  map[string]string // by path, as it was named
	trees map[string]string // folders of schemas
	paths []string          // those that were asked for
}

// Take starts a snapshot with the paths of a command line: files, or directories whose *.yaml and *.yml files count.
// Call it before they are read, and Seen with what was read.
func Take(paths []string) *Snapshot {
	s := &Snapshot{sums: map[string]string{}, trees: map[string]string{}, paths: paths}
	for _, p := range paths {
		s.sums[p] = sumOf(p)
	}
	return s
}

// Seen notes what a file held when it was read (config.Options.Seen).
func (s *Snapshot) Seen(name string, content []byte, err error) {
	now := sum(content, err)
	if info, err := os.Stat(name); err == nil && !info.Mode().IsRegular() {
		now = sumOf(name) // what was read of it cannot be read again
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sums[name] = now
}

// SeenFolder notes what a folder of schemas holds, before it is read (config.Options.SeenFolder).
func (s *Snapshot) SeenFolder(name string) {
	now := schemas.SumOf(os.DirFS(name))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.trees[name] = now
}

func (s *Snapshot) changed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, was := range s.trees {
		if schemas.SumOf(os.DirFS(name)) != was {
			return true
		}
	}
	for name, was := range s.sums {
		if sumOf(name) != was {
			return true
		}
	}
	return false
}

func (s *Snapshot) names() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]string, 0, len(s.sums))
	for name := range s.sums {
		out = append(out, name)
	}
	for name := range s.trees {
		out = append(out, name) // there or not
		for _, in := range schemas.Folders(os.DirFS(name)) {
			out = append(out, filepath.Join(name, in))
		}
	}
	sort.Strings(out)
	return out
}

// sumOf is a hash over a file's content, or over the names of the pipeline files in a directory.
func sumOf(name string) string {
	info, err := os.Stat(name)
	if err == nil && info.IsDir() {
		entries, err := os.ReadDir(name)
		var names []string
		for _, e := range entries {
			if ext := filepath.Ext(e.Name()); (ext == ".yaml" || ext == ".yml") && !e.IsDir() {
				names = append(names, e.Name())
			}
		}
		return "dir " + sum([]byte(strings.Join(names, "\x00")), err)
	}
	if err == nil && !info.Mode().IsRegular() {
		return "no file" // a pipe would be read empty, a device has no end
	}
	f, err := os.Open(name)
	if err != nil {
		return sum(nil, err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxSize))
	return sum(b, err)
}

func sum(b []byte, err error) string {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "missing"
	case err != nil:
		return "unreadable"
	}
	h := sha256.Sum256(b[:min(len(b), maxSize)])
	return string(h[:])
}

// Watcher tells of changes.
type Watcher struct {
	o       Options
	changes chan struct{}
	set     chan *Snapshot
	ended   chan struct{}
}

// New starts a watcher; it ends with ctx. It looks at nothing before Set.
func New(ctx context.Context, o Options) *Watcher {
	if o.Settle <= 0 {
		o.Settle = 100 * time.Millisecond
	}
	if o.Poll <= 0 {
		o.Poll = 10 * time.Second
	}
	w := &Watcher{o: o, changes: make(chan struct{}, 1), set: make(chan *Snapshot), ended: make(chan struct{})}
	go w.run(ctx)
	return w
}

// Set says what was read last: a change is anything else. One that happened since it was read is told at once.
func (w *Watcher) Set(s *Snapshot) {
	select {
	case w.set <- s:
	case <-w.ended:
	}
}

// Changes tells that something has changed, once until the next Set.
func (w *Watcher) Changes() <-chan struct{} { return w.changes }

// Done is closed when the watcher has ended and let go of everything.
func (w *Watcher) Done() <-chan struct{} { return w.ended }

func (w *Watcher) run(ctx context.Context) {
	defer close(w.ended)
	var notices <-chan fsnotify.Event
	var faults <-chan error
	var sys *fsnotify.Watcher
	if !w.o.NoNotices {
		var err error
		if sys, err = fsnotify.NewWatcher(); err == nil { // else the poll has to do
			defer sys.Close()
			notices, faults = sys.Events, sys.Errors
		}
	}
	poll := time.NewTicker(w.o.Poll)
	defer poll.Stop()
	settle := time.NewTimer(time.Hour)
	settle.Stop()
	var (
		now   *Snapshot
		since time.Time // the first notice that was not looked at; zero: there is none
		told  bool
	)
	look := func() {
		since = time.Time{}
		if now == nil || told || !now.changed() {
			return
		}
		told = true
		select {
		case w.changes <- struct{}{}:
		default:
		}
	}
	for {
		select {
		case <-ctx.Done():
			return
		case now = <-w.set:
			told = false
			select {
			case <-w.changes: // of what was read since
			default:
			}
			observe(sys, now.names())
			look()
		case <-notices:
			at := time.Now()
			if since.IsZero() {
				since = at
			}
			settle.Reset(max(0, min(w.o.Settle, since.Add(20*w.o.Settle).Sub(at))))
		case <-faults: //nolint:errcheck // whatever it is (an overflow), something may have been missed
			settle.Reset(w.o.Settle)
		case <-settle.C:
			if now != nil {
				observe(sys, now.names()) // links may lead elsewhere by now
			}
			look()
		case <-poll.C:
			if now != nil {
				observe(sys, now.names())
			}
			look()
		}
	}
}

// observe asks for notices of exactly the directories on whose entries the content of files depends.
func observe(sys *fsnotify.Watcher, names []string) {
	if sys == nil {
		return
	}
	want := map[string]bool{}
	for _, name := range names {
		places(name, want)
	}
	for _, have := range sys.WatchList() {
		if !want[have] {
			_ = sys.Remove(have)
		}
		delete(want, have)
	}
	for dir := range want {
		_ = sys.Add(dir) // what cannot be watched is polled
	}
}

// maxLinks is how many symbolic links a path may go through, as in Linux.
const maxLinks = 40

// places adds the directories whose entries decide what a path leads to: that of the file, and that of each symbolic
// link on the way.
func places(name string, into map[string]bool) {
	path, err := filepath.Abs(name)
	if err != nil {
		return
	}
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		into[path] = true
	}
	into[filepath.Dir(path)] = true
	todo := strings.Split(strings.TrimPrefix(filepath.Clean(path), string(filepath.Separator)), string(filepath.Separator))
	at := string(filepath.Separator)
	for links := 0; len(todo) > 0 && links < maxLinks; {
		part := todo[0]
		todo = todo[1:]
		if part == ".." {
			at = filepath.Dir(at)
			continue
		}
		next := filepath.Join(at, part)
		target, err := os.Readlink(next)
		if err != nil {
			at = next
			continue
		}
		links++
		into[at] = true
		if filepath.IsAbs(target) {
			at = string(filepath.Separator)
		}
		todo = append(strings.Split(strings.Trim(filepath.Clean(target), string(filepath.Separator)), string(filepath.Separator)), todo...)
	}
	into[filepath.Dir(at)] = true
	if info, err := os.Stat(at); err == nil && info.IsDir() {
		into[at] = true
	}
}
