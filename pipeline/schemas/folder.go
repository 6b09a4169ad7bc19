package schemas

import (
	"crypto/sha256"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
)

// maxDepth is how deep folders may lie in each other: a link to a folder above has no end otherwise.
const maxDepth = 10

// list gives the schemas in a folder, those in linked folders too: a mounted ConfigMap is made of links.
func list(dir fs.FS) (names []string, err error) {
	err = walk(dir, ".", 0, func(name string, isDir bool) error {
		if isDir || path.Ext(name) != ".json" {
			return nil
		}
		if names = append(names, name); len(names) > maxFiles {
			return fmt.Errorf("there are more than %d files in it", maxFiles)
		}
		return nil
	})
	return names, err
}

func walk(dir fs.FS, at string, depth int, each func(name string, isDir bool) error) error {
	entries, err := fs.ReadDir(dir, at)
	if err != nil {
		return err
	}
	if err := each(at, true); err != nil {
		return err
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") { // what editors and ConfigMaps put there
			continue
		}
		name, isDir := path.Join(at, e.Name()), e.IsDir()
		if e.Type()&fs.ModeSymlink != 0 {
			info, err := fs.Stat(dir, name)
			isDir = err == nil && info.IsDir() // a link that leads nowhere is told of by who reads it
		}
		if !isDir {
			err = each(name, false)
		} else if depth < maxDepth {
			err = walk(dir, name, depth+1, each)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Folders lists a folder and the folders in it that Load looks into, as paths within it: where a change of the schemas can
// show. It is empty where the folder cannot be read.
func Folders(dir fs.FS) (out []string) {
	_ = walk(dir, ".", 0, func(name string, isDir bool) error {
		if isDir && len(out) < maxFiles {
			out = append(out, name)
		}
		return nil
	})
	return out
}

// SumOf is the same for the same files, also where they are no schemas that could be used.
func SumOf(dir fs.FS) string {
	h := sha256.New()
	names, err := list(dir)
	if err != nil {
		return "unreadable"
	}
	for _, name := range names {
		fmt.Fprintf(h, "%q ", name)
		f, err := dir.Open(name)
		if err != nil {
			continue
		}
		n, _ := io.Copy(h, io.LimitReader(f, maxFileSize+1))
		_ = f.Close()
		fmt.Fprintf(h, " %d\n", n)
	}
	return string(h.Sum(nil))
}
