package check

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// Readable looks at a file that is to be read.
func Readable(path string) Finding {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return Problemf("%s does not exist", path)
	case err != nil:
		return Error("look at "+path, err)
	case info.IsDir():
		return Problemf("%s is a folder, not a file", path)
	case info.Mode()&(fs.ModeNamedPipe|fs.ModeSocket|fs.ModeDevice) != 0:
		return Okf("%s is there", path) // to open it could block, or take what is in it
	}
	f, err := os.Open(path)
	if err != nil {
		return Unreachablef("%s cannot be read: %v", path, cause(err)).With("let user %d read it: chmod a+r %s", os.Getuid(), path)
	}
	if err := f.Close(); err != nil {
		return Error("close "+path, err)
	}
	return Okf("%s can be read, %d bytes", path, info.Size())
}

// Appendable looks at a file that is to be written at its end, and made where it is missing.
func Appendable(path string) Finding {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		f := Writable(filepath.Dir(path))
		if f.Severity == OK {
			return Okf("%s can be made", path)
		}
		return f
	case err != nil:
		return Error("look at "+path, err)
	case info.IsDir():
		return Problemf("%s is a folder, not a file", path)
	case !info.Mode().IsRegular():
		return Okf("%s is there", path)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return Unreachablef("%s cannot be written: %v", path, cause(err)).With("let user %d write it: chown %d %s", os.Getuid(), os.Getuid(), path)
	}
	if err := f.Close(); err != nil {
		return Error("close "+path, err)
	}
	return Okf("%s can be written", path)
}

// Writable looks at a folder in which files are to be made: it makes one and removes it.
func Writable(dir string) Finding {
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return Problemf("the folder %s does not exist", dir).With("mkdir -p %s", dir)
	case err != nil:
		return Error("look at "+dir, err)
	case !info.IsDir():
		return Problemf("%s is no folder", dir)
	}
	f, err := os.CreateTemp(dir, ".leat-doctor-*")
	if err != nil {
		return Unreachablef("no file can be made in %s: %v", dir, cause(err)).With("let user %d write there: chown %d %s", os.Getuid(), os.Getuid(), dir)
	}
	err = errors.Join(f.Close(), os.Remove(f.Name()))
	if err != nil {
		return Error("remove "+f.Name(), err)
	}
	return Okf("%s can be written", dir)
}

// lowSpace is where a disk counts as nearly full: a log segment, its copy, and room for people to look around.
const lowSpace = 256 << 20

// Space looks at how much the disk under dir has left; dir or a folder above it exists.
func Space(dir string) Finding {
	for {
		if _, err := os.Stat(dir); err == nil || filepath.Dir(dir) == dir {
			break
		}
		dir = filepath.Dir(dir)
	}
	free, total, ok := space(dir)
	return left(dir, free, total, ok)
}

// left judges a disk by its bytes; ok: they are known.
func left(dir string, free, total uint64, ok bool) Finding {
	switch {
	case !ok || total == 0:
		return Okf("the space under %s is not known", dir)
	case free < lowSpace:
		return Problemf("the disk under %s has %s left of %s", dir, bytes(free), bytes(total)).With("make room: a full disk stops every append")
	case total > 0 && free < total/20:
		return Warnf("the disk under %s has %s left of %s", dir, bytes(free), bytes(total)).With("make room before it is full")
	}
	return Okf("the disk under %s has %s left of %s", dir, bytes(free), bytes(total))
}

// cause is an error without the operation and path that the sentence names already.
func cause(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}
