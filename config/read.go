package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"syscall"
	"unicode/utf8"
)

// maxFileSize bounds a config file, maxLineSize a line of it: what is larger was not written as a config.
const (
	maxFileSize = 1 << 20
	maxLineSize = 64 << 10
)

// expand turns directories of the command line into the *.yaml and *.yml files in them, sorted.
func (l *loader) expand(names []string) []string {
	var out []string
	seen := map[string]string{}
	add := func(name string) {
		key := name
		if abs, err := filepath.Abs(name); err == nil {
			key = abs
		}
		if first, twice := seen[key]; twice {
			l.whole(name, CodeDuplicateName, fmt.Sprintf("the file is given twice, first as %s", first), "")
			return
		}
		seen[key] = name
		out = append(out, name)
	}
	for _, name := range names {
		info, err := os.Stat(name)
		if err != nil || !info.IsDir() {
			add(name)
			continue
		}
		entries, err := os.ReadDir(name)
		if err != nil {
			l.whole(name, CodeFile, "the directory cannot be read: "+reason(err), "")
			continue
		}
		n := 0
		for _, e := range entries {
			if ext := filepath.Ext(e.Name()); (ext == ".yaml" || ext == ".yml") && !e.IsDir() {
				add(filepath.Join(name, e.Name()))
				n++
			}
		}
		if n == 0 {
			l.whole(name, CodeFile, "the directory holds no .yaml or .yml file", "")
		}
	}
	return out
}

// read gives the bytes of a file, false where it cannot be a config.
func (l *loader) read(name string) ([]byte, bool) {
	if l.opts.ReadFile == nil {
		info, err := os.Stat(name)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			l.whole(name, CodeFile, "there is no such file", similarFile(name))
			return nil, false
		case err == nil && info.Size() > maxFileSize && info.Mode().IsRegular():
			l.tooLarge(name, info.Size())
			return nil, false
		}
	}
	b, err := l.readFile(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		l.whole(name, CodeFile, "there is no such file", "")
		return nil, false
	case err != nil:
		l.whole(name, CodeFile, "the file cannot be read: "+reason(err), "")
		return nil, false
	case len(b) > maxFileSize:
		l.tooLarge(name, int64(len(b)))
		return nil, false
	}
	return b, true
}

func (l *loader) tooLarge(name string, size int64) {
	l.whole(name, CodeTooLarge, fmt.Sprintf("the file has %d bytes: a config may have %d (1 MiB)", size, maxFileSize), "is it data? a pipeline file names its inputs, it does not hold them")
}

func (l *loader) readFile(name string) (b []byte, err error) {
	if l.opts.Seen != nil {
		defer func() { l.opts.Seen(name, b, err) }()
	}
	if l.opts.ReadFile != nil {
		return l.opts.ReadFile(name)
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	// A device or a pipe has no size, and may have no end.
	return io.ReadAll(io.LimitReader(f, maxFileSize+1))
}

// reason is an error of the file system without the path, which the message names already.
func reason(err error) string {
	var p *fs.PathError
	if errors.As(err, &p) {
		err = p.Err
	}
	if errors.Is(err, syscall.EISDIR) {
		return "it is a directory"
	}
	return err.Error()
}

// similarFile looks for a file beside the missing one that may have been meant.
func similarFile(name string) string {
	entries, err := os.ReadDir(filepath.Dir(name))
	if err != nil {
		return ""
	}
	var names []string
	for _, e := range entries {
		if ext := filepath.Ext(e.Name()); ext == ".yaml" || ext == ".yml" {
			names = append(names, e.Name())
		}
	}
	sort.Strings(names)
	return didYouMean(filepath.Base(name), names)
}

// decodeText checks that bytes are the text of a config, and takes a byte order mark off.
func (l *loader) decodeText(name string, b []byte) (string, bool) {
	switch {
	case strings.HasPrefix(string(b[:min(2, len(b))]), "\xff\xfe"), strings.HasPrefix(string(b[:min(2, len(b))]), "\xfe\xff"),
		len(b) >= 2 && (b[0] == 0) != (b[1] == 0):
		l.whole(name, CodeFile, "the file is in UTF-16: save it as UTF-8", "")
		return "", false
	}
	text := strings.TrimPrefix(string(b), "\ufeff")
	line, start := 1, 0
	for i := 0; i < len(text); {
		c := text[i]
		if i-start > maxLineSize {
			l.add(Diagnostic{File: name, Line: line, Col: 1, Code: CodeTooLarge, Severity: Error,
				Message: fmt.Sprintf("the line has more than %d bytes (64 KiB)", maxLineSize)})
			return "", false
		}
		if c >= 0x20 && c < 0x7f || c == '\t' {
			i++
			continue
		}
		if n := lineBreak(text[i:]); n > 0 {
			i += n
			line, start = line+1, i
			continue
		}
		r, n := utf8.DecodeRuneInString(text[i:])
		message := ""
		switch {
		case c == 0:
			message = "the file is binary: it holds a zero byte"
		case r == utf8.RuneError && n == 1:
			message = fmt.Sprintf("the file is not UTF-8: byte 0x%02x", c)
		case r < 0x20 || r == 0x7f || r >= 0x80 && r < 0xa0 || r == 0xfeff || r >= 0xfffe && r <= 0xffff:
			message = fmt.Sprintf("a control character (U+%04X) cannot stand in a config", r)
		}
		if message != "" {
			l.add(Diagnostic{File: name, Line: line, Col: utf8.RuneCountInString(text[start:i]) + 1, Code: CodeFile, Severity: Error, Message: message})
			return "", false
		}
		i += n
	}
	return text, true
}
