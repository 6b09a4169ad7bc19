package file

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// missingError says which file is not there; it is fs.ErrNotExist.
type missingError struct{ path string }

func (e *missingError) Error() string { return "there is no file " + e.path }

func (e *missingError) Unwrap() error { return fs.ErrNotExist }

// check says what is wrong with a path before anything is read.
func (s *Source) check(path string) error {
	if path == "-" {
		return nil
	}
	if isGlob(path) {
		_, err := expand(path)
		return err
	}
	st, err := os.Stat(path)
	switch {
	case errors.Is(err, os.ErrNotExist) && s.cfg.Follow:
		s.log.Info("file: waits for the file", "path", path)
		return nil
	case errors.Is(err, os.ErrNotExist):
		return &missingError{path}
	case err != nil:
		return err
	case st.IsDir():
		return &folderError{path}
	case !st.Mode().IsRegular() && s.cfg.Follow:
		return fmt.Errorf("%s is a pipe or a device: only files can be followed", path)
	case !st.Mode().IsRegular():
		return nil // opening a pipe waits for its writer
	}
	in, err := openInput(path)
	if err != nil {
		return err
	}
	in.close()
	return nil
}

// folderError says what to write where a path is one of a folder; it is syscall.EISDIR.
type folderError struct{ path string }

func (e *folderError) Error() string {
	return fmt.Sprintf("%s is a folder: %s reads the files in it", e.path, filepath.Join(e.path, "*.ndjson"))
}

func (*folderError) Unwrap() error { return syscall.EISDIR }

func isGlob(path string) bool {
	if !strings.ContainsAny(path, `*?[`) {
		return false
	}
	_, err := os.Stat(path)
	return err != nil // a file of that very name is meant itself
}

// expand gives the names that a path stands for, in their order.
func expand(path string) ([]string, error) {
	if path == "-" || !isGlob(path) {
		return []string{path}, nil
	}
	names, err := filepath.Glob(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	names = slices.DeleteFunc(names, func(name string) bool {
		st, err := os.Stat(name)
		return err == nil && st.IsDir()
	})
	slices.Sort(names)
	return names, nil
}

// input is one open file.
type input struct {
	f       *os.File
	name    string
	regular bool // else it has no places
	packed  bool // gzip
}

func openInput(name string) (*input, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err // names operation, path and cause
	}
	st, err := f.Stat()
	if err == nil && st.IsDir() {
		err = &folderError{name}
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &input{f: f, name: name, regular: st.Mode().IsRegular(), packed: strings.HasSuffix(name, ".gz")}, nil
}

func (in *input) close() { _ = in.f.Close() } // it was only read

// from gives what the file holds from an offset on, unpacked. It is io.EOF where a packed file is shorter.
func (in *input) from(offset int64) (io.Reader, error) {
	if !in.packed {
		return io.NewSectionReader(in.f, offset, 1<<62), nil
	}
	z, err := gzip.NewReader(io.NewSectionReader(in.f, 0, 1<<62))
	if err != nil {
		return nil, fmt.Errorf("unpack: %w", err)
	}
	if _, err := io.CopyN(io.Discard, z, offset); err != nil {
		return nil, err
	}
	return z, nil
}

// head gives the first bytes of the file, headSize at most.
func (in *input) head() ([]byte, error) {
	r, err := in.from(0)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", in.name, err)
	}
	head := make([]byte, headSize)
	n, err := io.ReadFull(r, head)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, fmt.Errorf("%s: %w", in.name, err)
	}
	return head[:n], nil
}

// size gives the bytes that the file has now, -1 where only unpacking tells.
func (in *input) size() (int64, error) {
	if in.packed {
		return -1, nil
	}
	st, err := in.f.Stat()
	if err != nil {
		return 0, err
	}
	return st.Size(), nil
}
