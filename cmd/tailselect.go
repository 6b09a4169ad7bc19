package cmd

import (
	"errors"
	"fmt"
	"strings"

	"github.com/leatdev/leat/pipeline/codec"
	"github.com/leatdev/leat/pipeline/filter"
	"github.com/leatdev/leat/pipeline/pattern"
)

// selection decides which events a tail shows.
type selection struct {
	text    string // the pattern as it is given to a bus
	pattern *patternMatcher
	expr    *filter.Program
	warned  int
}

func (s *selection) prepare(t *tailing, scope *filter.Scope, local bool) error {
	if t.pattern != "" {
		text, where, err := fileOrText("--pattern", t.pattern)
		if err != nil {
			return err
		}
		p, err := pattern.Compile(text)
		if err != nil {
			return usagef("%s", patternMistake(where, string(text), err))
		}
		if s.text = string(text); local {
			s.pattern = &patternMatcher{p: p}
		}
	}
	if t.expr != "" {
		var err error
		if s.expr, err = scope.Compile(t.expr, filter.Bool); err != nil {
			return usagef("%s", expressionMistakes("--expr", t.expr, err))
		}
	}
	return nil
}

// takes reports whether an event is shown. One that a pattern or an expression cannot be asked about is not, with a word
// about the first three.
func (s *selection) takes(a *app, t *tailing, e *tailed) bool {
	doubt := func(err error) bool {
		if s.warned++; s.warned <= 3 {
			a.say("%s: %v: not shown", e.name(), err)
		}
		return false
	}
	if s.pattern != nil {
		ok, err := s.pattern.match(&e.ev, e.decoded)
		if err != nil {
			return doubt(err)
		}
		if !ok {
			return false
		}
	}
	if s.expr == nil {
		return true
	}
	if !e.decoded {
		return doubt(errNoEvent)
	}
	codec.FillMetadata(&e.ev.Event)
	t.view.Reset(&e.ev)
	ok, err := s.expr.Bool(t.view)
	var wrong *filter.TypeError
	if errors.As(err, &wrong) {
		return doubt(fmt.Errorf("%w: taken as false", err))
	}
	if err != nil {
		return doubt(err)
	}
	return ok
}

// patternMistake writes the mistake of a pattern with its line and a caret.
func patternMistake(where, text string, err error) string {
	var e *pattern.Error
	if !errors.As(err, &e) {
		return where + ": " + err.Error()
	}
	return fmt.Sprintf("%s:%d:%d: Event pattern is not valid. Reason: %s%s", where, e.Line, e.Column, e.Reason, caret(text, e.Line, e.Column, ""))
}

// caret shows a line of a text and points at a column of it.
func caret(text string, line, column int, hint string) string {
	lines := strings.Split(text, "\n")
	if line < 1 || line > len(lines) {
		return ""
	}
	shown := strings.ReplaceAll(strings.TrimRight(lines[line-1], "\r"), "\t", " ")
	out := fmt.Sprintf("\n  %s\n  %s^", visible(shown), strings.Repeat(" ", max(column-1, 0)))
	if hint != "" {
		out += " " + hint
	}
	return out
}
