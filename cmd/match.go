package cmd

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/leatdev/leat/pipeline/codec"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/filter"
	"github.com/leatdev/leat/pipeline/pattern"
)

func (a *app) matchCommand() *cobra.Command {
	var (
		text, file, expr, batch, envelope string
		explain                           bool
	)
	c := &cobra.Command{
		Use:   "match (--pattern JSON | --pattern-file FILE | --expr EXPR) [FILE…]",
		Short: "Try an event pattern or an expression against events",
		Long: `Read events as NDJSON, from files or stdin, and print the lines that match, as they came; counts
go to stderr. Exit code 1 says that nothing matched.

A pattern is an EventBridge event pattern and sees each event in EventBridge's shape; a line in no
known envelope is matched as it stands. An expression is what a filter step takes.

--explain prints for every event why it matches or does not, instead of the event.
--batch reads objects {"name", "pattern" or "pattern_text", "event"} and answers each with
{"name", "match"} or {"name", "invalid"}: for conformance runs.`,
		Example: `  leat match --pattern '{"source": ["shop"], "detail": {"amount": [{"numeric": [">", 500]}]}}' orders.ndjson
  leat match --expr 'type == "OrderCreated" && data.amount > 500' < orders.ndjson
  leat match --pattern-file rule.json --explain orders.ndjson`,
		RunE: func(c *cobra.Command, args []string) error {
			if batch != "" {
				return a.matchBatch(batch)
			}
			env, err := event.ParseEnvelope(envelope)
			if err != nil || env >= event.Received {
				return usagef("--envelope is auto, eventbridge, cloudevents, sns or json, not %q", envelope)
			}
			var m matcher
			switch {
			case expr != "":
				m, err = newExprMatcher(expr, explain)
			case file != "":
				var b []byte
				if b, err = os.ReadFile(file); err != nil {
					return environment(err)
				}
				m, err = newPatternMatcher(b, file)
			case text != "":
				m, err = newPatternMatcher([]byte(text), "--pattern")
			default:
				return usagef("match wants --pattern, --pattern-file, --expr or --batch\nSee: %s --help", c.CommandPath())
			}
			if err != nil {
				return err
			}
			return a.match(m, env, args, explain)
		},
	}
	f := c.Flags()
	f.StringVarP(&text, "pattern", "p", "", "event pattern, JSON")
	f.StringVar(&file, "pattern-file", "", "file with an event pattern")
	f.StringVarP(&expr, "expr", "e", "", "expression")
	f.StringVar(&batch, "batch", "", "file of cases, - for stdin")
	f.StringVar(&envelope, "envelope", "auto", "shape of the lines: auto, eventbridge, cloudevents, sns or json")
	f.BoolVar(&explain, "explain", false, "say for each event why it matches or does not")
	c.MarkFlagsMutuallyExclusive("pattern", "pattern-file", "expr", "batch")
	c.MarkFlagsMutuallyExclusive("batch", "explain")
	_ = c.MarkFlagFilename("pattern-file")
	_ = c.MarkFlagFilename("batch")
	return c
}

func (a *app) matchBatch(name string) error {
	in := a.in
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return environment(err)
		}
		defer f.Close()
		in = f
	}
	n, err := pattern.Batch(in, a.out)
	a.say("%s, %s match, %s invalid", count(int64(n.Matched+n.Unmatched+n.Invalid), "case"), number(int64(n.Matched)), number(int64(n.Invalid)))
	return err
}

// matcher decides about one event.
type matcher interface {
	match(e *event.Recorded, decoded bool) (bool, error)
	explain(e *event.Recorded, decoded bool) (explanation, error)
}

// explanation is why an event matches or does not.
type explanation struct {
	Line int    `json:"line"`
	File string `json:"file,omitempty"`
	pattern.Explanation
	// Paths are what an expression read.
	Paths map[string]json.RawMessage `json:"paths,omitempty"`
	order []string
}

func (a *app) match(m matcher, env event.Envelope, files []string, explain bool) error {
	out := bufio.NewWriterSize(a.out, 64<<10)
	var t struct{ read, matched, bad, wrongType int64 }
	bar := a.progress("match", 0)
	one := func(name string, n int, line []byte) error {
		t.read++
		bar.add(1)
		e := event.Recorded{Event: event.Event{Raw: line}}
		err := codec.Decode(&e.Event, env, 0)
		decoded := err == nil
		if !decoded && !json.Valid(line) {
			t.bad++
			if t.bad <= 3 {
				a.say("%s:%d: %v", name, n, err)
			}
			return nil
		}
		if explain {
			x, err := m.explain(&e, decoded)
			if err != nil {
				t.bad++
				a.say("%s:%d: %v", name, n, err)
				return nil
			}
			x.Line, x.File = n, name
			if x.Match {
				t.matched++
			}
			return a.printExplanation(out, &x)
		}
		ok, err := m.match(&e, decoded)
		var wrong *filter.TypeError
		switch {
		case errors.As(err, &wrong):
			if t.wrongType++; t.wrongType <= 3 {
				a.say("%s:%d: %v: taken as false", name, n, err)
			}
		case err != nil:
			if t.bad++; t.bad <= 3 {
				a.say("%s:%d: %v", name, n, err)
			}
		case ok:
			t.matched++
			_, _ = out.Write(line) // an error is kept and given by Flush
			return out.WriteByte('\n')
		}
		return nil
	}
	if len(files) == 0 {
		files = []string{"-"}
	}
	err := error(nil)
	for _, name := range files {
		if err = a.eachLineOf(name, one); err != nil {
			break
		}
	}
	bar.done()
	if e := out.Flush(); err == nil {
		err = e
	}
	words := fmt.Sprintf("%s of %s match", number(t.matched), count(t.read, "event"))
	if t.bad > 0 {
		words += fmt.Sprintf(", %s no events", number(t.bad))
	}
	if t.wrongType > 0 {
		words += fmt.Sprintf(", %s with a value of the wrong type", number(t.wrongType))
	}
	a.say("%s", words)
	if err == nil && t.matched == 0 {
		err = exit(exitFailed)
	}
	return err
}

// eachLineOf reads a file, or stdin for "-".
func (a *app) eachLineOf(name string, f func(name string, n int, line []byte) error) error {
	in := a.in
	if name == "-" {
		name = "stdin"
	} else {
		file, err := os.Open(name)
		if err != nil {
			return environment(err)
		}
		defer file.Close()
		in = file
	}
	return eachLine(in, func(n int, line []byte) error { return f(name, n, line) })
}

func (a *app) printExplanation(w io.Writer, x *explanation) error {
	if a.json {
		return writeLine(w, x)
	}
	paint := func(code, s string) string {
		if !a.outColor() {
			return s
		}
		return "\x1b[" + code + "m" + s + "\x1b[0m"
	}
	verdict := paint("31", "no match")
	if x.Match {
		verdict = paint("32", "match")
	}
	where := fmt.Sprintf("%s:%d", x.File, x.Line)
	if x.Reason == "" {
		fmt.Fprintf(w, "%s: %s\n", where, verdict)
	} else {
		fmt.Fprintf(w, "%s: %s: %s\n", where, verdict, visible(x.Reason))
	}
	for i := range x.Fields {
		f := &x.Fields[i]
		sign := paint("31", "✗")
		if f.Match {
			sign = paint("32", "✓")
		}
		var values []string
		for _, v := range f.Values {
			values = append(values, cut(visible(string(v)), 60))
		}
		value := strings.Join(values, ", ")
		if value == "" {
			value = "absent"
		}
		line := fmt.Sprintf("  %s %s = %s  %s %s", sign, visible(f.Path), value, f.Operator, cut(visible(f.Pattern), 80))
		if f.Why != "" {
			line += "  (" + visible(f.Why) + ")"
		}
		if _, err := fmt.Fprintln(w, line); err != nil {
			return err
		}
	}
	for _, p := range x.order {
		if _, err := fmt.Fprintf(w, "  %s = %s\n", p, cut(visible(string(x.Paths[p])), 100)); err != nil {
			return err
		}
	}
	return nil
}

// patternMatcher matches an event pattern.
type patternMatcher struct {
	p      *pattern.Pattern
	fields pattern.Fields
}

func newPatternMatcher(text []byte, where string) (matcher, error) {
	p, err := pattern.Compile(text)
	var e *pattern.Error
	if errors.As(err, &e) {
		return nil, usagef("%s:%d:%d: Event pattern is not valid. Reason: %s", where, e.Line, e.Column, e.Reason)
	}
	if err != nil {
		return nil, usagef("%s: %w", where, err)
	}
	return &patternMatcher{p: p}, nil
}

// asItStands reports whether the line itself is what the pattern is about: it is in EventBridge's shape, or in none.
func asItStands(e *event.Recorded, decoded bool) bool {
	return !decoded || e.Envelope == event.EventBridge || e.Envelope == event.Plain
}

func (m *patternMatcher) match(e *event.Recorded, decoded bool) (bool, error) {
	if asItStands(e, decoded) {
		return m.p.Match(e.Raw)
	}
	codec.Fields(&e.Event, &m.fields)
	return m.p.MatchFields(&m.fields)
}

func (m *patternMatcher) explain(e *event.Recorded, decoded bool) (explanation, error) {
	raw := e.Raw
	if !asItStands(e, decoded) {
		var err error
		if raw, err = codec.Encode(nil, &e.Event, event.EventBridge); err != nil {
			return explanation{}, err
		}
	}
	x, err := pattern.Explain(m.p, raw)
	return explanation{Explanation: x}, err
}

// exprMatcher evaluates an expression.
type exprMatcher struct {
	p     *filter.Program
	view  *filter.View
	paths []*filter.Program
}

func newExprMatcher(src string, explain bool) (matcher, error) {
	scope := filter.NewScope(filter.Event)
	p, err := scope.Compile(src, filter.Bool)
	if err != nil {
		return nil, usagef("%s", expressionErrors(src, err))
	}
	m := &exprMatcher{p: p}
	if explain {
		for _, path := range p.Paths() {
			// A path that is no expression by itself (of an element of a list, say) is not shown.
			if v, err := scope.Compile(path, filter.Any); err == nil {
				m.paths = append(m.paths, v)
			}
		}
	}
	m.view = scope.NewView()
	return m, nil
}

// expressionErrors writes the mistakes of --expr with carets.
func expressionErrors(src string, err error) string { return expressionMistakes("--expr", src, err) }

func expressionMistakes(flag, src string, err error) string {
	all := filter.Errors(err)
	if len(all) == 0 {
		return flag + ": " + err.Error()
	}
	lines := strings.Split(src, "\n")
	var b strings.Builder
	for i, e := range all {
		if i > 0 {
			b.WriteByte('\n')
		}
		fmt.Fprintf(&b, "%s:%d:%d: error[%s]: %s", flag, e.Line, e.Column, e.Code, e.Message)
		if e.Line >= 1 && e.Line <= len(lines) {
			fmt.Fprintf(&b, "\n  %s\n  %s^", lines[e.Line-1], strings.Repeat(" ", max(e.Column-1, 0)))
			if e.Hint != "" {
				b.WriteString(" " + e.Hint)
			}
		}
	}
	return b.String()
}

var errNoEvent = errors.New("the line is no event in its envelope")

func (m *exprMatcher) match(e *event.Recorded, decoded bool) (bool, error) {
	if !decoded {
		return false, errNoEvent
	}
	codec.FillMetadata(&e.Event)
	m.view.Reset(e)
	return m.p.Bool(m.view)
}

func (m *exprMatcher) explain(e *event.Recorded, decoded bool) (explanation, error) {
	ok, err := m.match(e, decoded)
	x := explanation{Explanation: pattern.Explanation{Match: ok}, Paths: map[string]json.RawMessage{}}
	var wrong *filter.TypeError
	if errors.As(err, &wrong) {
		x.Reason = err.Error()
	} else if err != nil {
		return x, err
	}
	for _, p := range m.paths {
		v, err := p.JSON(nil, m.view)
		if err != nil {
			continue // shown by the reason
		}
		x.Paths[p.Source()] = v
		x.order = append(x.order, p.Source())
	}
	return x, nil
}
