package file

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"

	"github.com/leatdev/leat/pipeline/rawjson"
)

// outs are the files of one daemon, by path.
type outs struct {
	mu sync.Mutex
	m  map[string]*out
}

// out is one file with its users.
type out struct {
	path string
	mode fs.FileMode
	log  *slog.Logger

	users int // guarded by outs.mu

	mu      sync.Mutex
	f       *os.File
	regular bool
	whole   bool // no torn line is at its end
	unsafe  bool // a Write has left the fsync to Sync
	buf     []byte
	// fail stands in for the disk in tests: it is asked before each call of that name.
	fail func(call string) error
}

func (all *outs) open(path string, mode fs.FileMode, log *slog.Logger) (*out, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	if real, err := filepath.EvalSymlinks(abs); err == nil {
		abs = real
	}
	all.mu.Lock()
	defer all.mu.Unlock()
	o := all.m[abs]
	if o == nil {
		o = &out{path: path, mode: mode, log: log, fail: func(string) error { return nil }}
		if err := o.open(); err != nil {
			return nil, err
		}
		if all.m == nil {
			all.m = map[string]*out{}
		}
		all.m[abs] = o
	}
	o.users++
	return o, nil
}

func (all *outs) close(o *out) error {
	all.mu.Lock()
	defer all.mu.Unlock()
	if o.users--; o.users != 0 {
		return nil
	}
	for path, other := range all.m {
		if other == o {
			delete(all.m, path)
		}
	}
	return o.f.Close()
}

// missingError says which folder is not there; it is fs.ErrNotExist.
type missingError struct{ dir string }

func (e *missingError) Error() string { return "the folder " + e.dir + " does not exist" }

func (e *missingError) Unwrap() error { return fs.ErrNotExist }

func (o *out) open() error {
	dir := filepath.Dir(o.path)
	if st, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return &missingError{dir}
	} else if err == nil && !st.IsDir() {
		return fmt.Errorf("%s is no folder", dir)
	}
	st, err := os.Stat(o.path)
	if err == nil && st.IsDir() {
		return fmt.Errorf("%s is a folder", o.path)
	}
	made := errors.Is(err, fs.ErrNotExist)
	flags, readable := os.O_APPEND|os.O_CREATE|os.O_RDWR, true
	if st != nil && !st.Mode().IsRegular() { // a pipe, a device
		flags, readable = os.O_APPEND|os.O_WRONLY, false
	}
	f, err := os.OpenFile(o.path, flags, o.mode)
	if errors.Is(err, fs.ErrPermission) && readable { // perhaps leat may only write
		readable = false
		f, err = os.OpenFile(o.path, os.O_APPEND|os.O_WRONLY, o.mode)
	}
	if err != nil {
		return err
	}
	if st, err = f.Stat(); err != nil {
		return errors.Join(err, f.Close())
	}
	if made { // its name must outlive a power cut too
		if d, err := os.Open(dir); err == nil {
			_ = d.Sync() // not every file system can
			_ = d.Close()
		}
	}
	o.f, o.regular, o.whole = f, st.Mode().IsRegular(), !readable
	return nil
}

// append writes lines at the end of the file, all of them or none.
func (o *out) append(lines []byte, sync bool) error {
	if err := o.reopen(); err != nil {
		return err
	}
	if !o.regular {
		_, err := o.f.Write(lines)
		return err
	}
	if !o.whole {
		if err := o.repair(); err != nil {
			return fmt.Errorf("repair its last line: %w", err)
		}
	}
	st, err := o.f.Stat()
	if err != nil {
		return err
	}
	if err = o.fail("write"); err == nil {
		_, err = o.f.Write(lines)
	}
	if err == nil && sync {
		if err = o.fail("sync"); err == nil {
			err = o.f.Sync()
		}
	}
	if err == nil {
		return nil
	}
	if back := o.truncate(st.Size()); back != nil {
		o.whole = false // repaired before the next line is written
		return errors.Join(err, back)
	}
	return err
}

// settle is the fsync that writes have put off.
func (o *out) settle() error {
	if !o.unsafe || !o.regular {
		return nil
	}
	err := o.fail("sync")
	if err == nil {
		err = o.f.Sync()
	}
	o.unsafe = err != nil
	return err
}

func (o *out) truncate(size int64) error {
	if err := o.fail("truncate"); err != nil {
		return err
	}
	return o.f.Truncate(size)
}

// reopen makes the file anew where its name leads elsewhere by now, as after a rotation.
func (o *out) reopen() error {
	now, err := os.Stat(o.path)
	if err == nil {
		st, err := o.f.Stat()
		if err != nil {
			return err
		}
		if os.SameFile(now, st) {
			return nil
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := o.settle(); err != nil {
		return err
	}
	o.log.Info("file: moved away, goes on under its name", "path", o.path)
	old := o.f
	if err := o.open(); err != nil {
		return err
	}
	_ = old.Close() // what it holds was synced where that is wanted
	return nil
}

// repair sees that the file ends with a newline. The beginning of a JSON value is what a crash left of an event, which
// comes again: it is cut off. Anything else was not torn by leat, and only gets its newline.
func (o *out) repair() error {
	last, at, err := lastLine(o.f)
	if err != nil {
		return err
	}
	kind := rawjson.KindOf(last)
	switch {
	case len(last) == 0:
	case kind >= rawjson.KindString && rawjson.Check(last) != nil: // a string, a list or an object
		o.log.Warn("file: cut off a torn last line; its event comes again", "path", o.path, "bytes", len(last))
		err = o.truncate(at)
	default:
		_, err = o.f.Write([]byte("\n"))
	}
	o.whole = err == nil
	return err
}

// lastLine gives what stands behind the last newline, and where it begins; of a line longer than any event just its
// end.
func lastLine(f *os.File) ([]byte, int64, error) {
	st, err := f.Stat()
	if err != nil {
		return nil, 0, err
	}
	var tail []byte
	for at := st.Size(); at > 0 && len(tail) < 64<<20; {
		n := min(at, 64<<10)
		at -= n
		b := make([]byte, n, int(n)+len(tail))
		if _, err := f.ReadAt(b, at); err != nil && err != io.EOF {
			return nil, 0, err
		}
		if i := bytes.LastIndexByte(b, '\n'); i >= 0 {
			return append(b[i+1:], tail...), at + int64(i) + 1, nil
		}
		tail = append(b, tail...)
	}
	return tail, 0, nil
}
