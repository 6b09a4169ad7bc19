package cmd

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/term"
)

// maxLine bounds a line of input: a line is held in memory whole.
const maxLine = 64 << 20

// eachLine calls f with each line that is not empty, without its line end, and its number from 1.
func eachLine(r io.Reader, f func(n int, line []byte) error) error {
	in := bufio.NewReaderSize(r, 256<<10)
	var long []byte
	for n := 1; ; n++ {
		line, err := in.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			long = append(long[:0], line...)
			for errors.Is(err, bufio.ErrBufferFull) {
				line, err = in.ReadSlice('\n')
				if len(long)+len(line) > maxLine {
					return fmt.Errorf("line %d is longer than %d MiB", n, maxLine>>20)
				}
				long = append(long, line...)
			}
			line = long
		}
		last := errors.Is(err, io.EOF)
		if err != nil && !last {
			return fmt.Errorf("read: %w", err)
		}
		if n == 1 {
			line = bytes.TrimPrefix(line, []byte("\ufeff"))
		}
		line = bytes.TrimRight(line, "\r\n")
		if len(bytes.TrimSpace(line)) > 0 {
			if e := f(n, line); e != nil {
				return e
			}
		}
		if last {
			return nil
		}
	}
}

// inTTY reports whether stdin is a terminal, where nobody is going to type NDJSON.
func (a *app) inTTY() bool {
	f, ok := a.in.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// since reads a time (RFC 3339, or a date) or a span that ends now (90s, 2h, 3d). Empty is the zero time.
func since(s string, now time.Time) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, nil
		}
	}
	span := s
	if days, ok := strings.CutSuffix(s, "d"); ok {
		if n, err := strconv.ParseFloat(days, 64); err == nil {
			span = strconv.FormatFloat(n*24, 'f', -1, 64) + "h"
		}
	}
	d, err := time.ParseDuration(span)
	if err != nil || d < 0 {
		return time.Time{}, usagef("%q is no time (2026-01-31T08:00:00Z, 2026-01-31) and no span (90s, 2h, 3d)", s)
	}
	return now.Add(-d), nil
}

// list writes names for a sentence.
func list(names []string) string {
	names = slices.Sorted(slices.Values(names))
	switch len(names) {
	case 0:
		return "none"
	case 1:
		return names[0]
	}
	return strings.Join(names[:len(names)-1], ", ") + " and " + names[len(names)-1]
}
