package config

import (
	"fmt"
	"sort"
	"strings"
)

// Severity says whether a diagnostic stops the config from running.
type Severity string

// The severities.
const (
	Error   Severity = "error"
	Warning Severity = "warning"
)

// Diagnostic is one mistake at one place. Its JSON form is part of the command line's contract.
type Diagnostic struct {
	File string `json:"file"`
	// Line and Col count from 1, Col and EndCol in characters; EndCol is the one behind the offending text. A Line of
	// 0 means the file as a whole.
	Line     int      `json:"line"`
	Col      int      `json:"col"`
	EndCol   int      `json:"end_col"`
	Path     string   `json:"path,omitempty"` // pipelines.orders.steps[2].append.stream
	Code     Code     `json:"code"`
	Severity Severity `json:"severity"`
	Message  string   `json:"message"`
	Hint     string   `json:"hint,omitempty"`
	// Snippet is the line of the file, its secrets masked.
	Snippet string    `json:"snippet,omitempty"`
	Related []Related `json:"related,omitempty"`

	// The caret's columns in Snippet, which masking and cutting may have moved.
	caret, caretEnd int
	f               *source
	// exact: Col and EndCol are the file's already, not those of a line that was repaired.
	exact bool
}

// Related is another place that has to do with a mistake.
type Related struct {
	File    string `json:"file"`
	Line    int    `json:"line"`
	Col     int    `json:"col"`
	Message string `json:"message"`
}

// Diagnostics are all mistakes of one run, sorted by file and place.
type Diagnostics []Diagnostic

// HasErrors reports whether one of them is an error.
func (ds Diagnostics) HasErrors() bool {
	errors, _ := ds.Count()
	return errors > 0
}

// Count gives the numbers of errors and warnings.
func (ds Diagnostics) Count() (errors, warnings int) {
	for i := range ds {
		if ds[i].Severity == Error {
			errors++
		} else {
			warnings++
		}
	}
	return errors, warnings
}

// Err gives the errors among them as one error, nil where there is none. Its text is the text form of all of them.
func (ds Diagnostics) Err() error {
	if !ds.HasErrors() {
		return nil
	}
	return &LoadError{Diagnostics: ds}
}

// LoadError is a config that cannot run.
type LoadError struct{ Diagnostics Diagnostics }

// Error gives the errors in their text form, without colour.
func (e *LoadError) Error() string {
	var b strings.Builder
	for i := range e.Diagnostics {
		if d := &e.Diagnostics[i]; d.Severity == Error {
			b.WriteString(d.Text(false))
		}
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// sorted puts diagnostics in the order of files (as given) and places, errors first where the place is the same.
func (ds Diagnostics) sorted(rank map[string]int) {
	sort.SliceStable(ds, func(i, j int) bool {
		a, b := &ds[i], &ds[j]
		if a.File != b.File {
			if x, y := rank[a.File], rank[b.File]; x != y {
				return x < y
			}
			return a.File < b.File
		}
		if a.Line != b.Line {
			return a.Line < b.Line
		}
		if a.Col != b.Col {
			return a.Col < b.Col
		}
		return a.Severity == Error && b.Severity == Warning
	})
}

// Text is the form for people: the place and the message, the line, a caret under the offending text with the hint.
// It ends with a newline.
func (d *Diagnostic) Text(colour bool) string {
	paint := func(code, s string) string {
		if !colour || s == "" {
			return s
		}
		return "\x1b[" + code + "m" + s + "\x1b[0m"
	}
	tint := "1;31"
	if d.Severity == Warning {
		tint = "1;33"
	}
	var b strings.Builder
	b.WriteString(paint("1", d.place()) + ": " + paint(tint, fmt.Sprintf("%s[%s]", d.Severity, d.Code)) + ": " + d.Message + "\n")
	margin := "  "
	if d.Line > 0 && d.caret > 0 {
		number := fmt.Sprint(d.Line)
		margin = "  " + strings.Repeat(" ", len(number))
		b.WriteString(paint("2", "  "+number+" |") + trimRight(" "+d.Snippet) + "\n")
		b.WriteString(paint("2", margin+" |") + " " + pad(d.Snippet, d.caret) + paint(tint, carets(d.Snippet, d.caret, d.caretEnd)))
		if d.Hint != "" && !strings.Contains(d.Hint, "\n") {
			b.WriteString(" " + d.Hint)
		}
		b.WriteString("\n")
	}
	if d.Hint != "" && (d.caret == 0 || strings.Contains(d.Hint, "\n")) {
		for line := range strings.Lines(d.Hint) {
			b.WriteString(margin + " = " + strings.TrimSuffix(line, "\n") + "\n")
		}
	}
	for _, r := range d.Related {
		fmt.Fprintf(&b, "%s = %s:%d:%d: %s\n", margin, r.File, r.Line, r.Col, r.Message)
	}
	return b.String()
}

func (d *Diagnostic) place() string {
	if d.Line == 0 {
		return d.File
	}
	return fmt.Sprintf("%s:%d:%d", d.File, d.Line, d.Col)
}

func trimRight(s string) string { return strings.TrimRight(s, " \t") }
