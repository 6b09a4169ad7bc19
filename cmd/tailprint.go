package cmd

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/leatdev/leat/pipeline/codec"
	"github.com/leatdev/leat/pipeline/event"
)

// tailed is an event as a tail has it.
type tailed struct {
	ev      event.Recorded
	decoded bool // ev holds more than Raw

	// What stands in the first line for people: a time, names, and facts as name=value; empty ones are left out.
	at    time.Time
	title []string
	facts []fact
	note  string // in a line of its own, of what went wrong
	// body is what stands below, JSON or any text; meta a JSON object behind it.
	body, meta []byte

	// json gives the object that is written as a line.
	json func() (any, error)
}

type fact struct{ name, value string }

// name is how words on stderr call the event.
func (e *tailed) name() string {
	for _, s := range []string{e.ev.ID, strings.Join(e.title, " ")} {
		if s != "" {
			return "event " + visible(s)
		}
	}
	return "an event"
}

// decode finds the parts of an event's body.
func (e *tailed) decode() {
	e.decoded = codec.Decode(&e.ev.Event, event.Auto, 0) == nil
}

// print gives the bytes that are written for an event, with their line end.
func (t *tailing) print(a *app, e *tailed) ([]byte, error) {
	var b []byte
	switch t.output {
	case asJSON:
		v, err := e.json()
		if err != nil {
			return nil, err
		}
		if b, err = oneLine(v); err != nil {
			return nil, err
		}
		if a.outTTY {
			b = harmless(b, true)
		}
	case asTemplate:
		if e.decoded {
			codec.FillMetadata(&e.ev.Event)
		}
		t.view.Reset(&e.ev)
		var err error
		if b, err = t.text.Append(nil, t.view); err != nil {
			return nil, fmt.Errorf("--template: %s: %w", e.name(), err)
		}
		if a.outTTY {
			b = harmless(b, false)
		}
	default:
		return e.pretty(a), nil
	}
	return append(b, '\n'), nil
}

// oneLine writes JSON on one line; what is JSON already keeps the spelling of its numbers.
func oneLine(v any) ([]byte, error) {
	if raw, ok := v.(json.RawMessage); ok {
		var b bytes.Buffer
		err := json.Compact(&b, raw)
		return b.Bytes(), err
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return bytes.TrimRight(b.Bytes(), "\n"), err
}

const (
	dim  = "2"
	bold = "1"
	red  = "31"
	cyan = "36"
)

// pretty is the form for people.
func (e *tailed) pretty(a *app) []byte {
	var b strings.Builder
	paint := func(code, s string) string {
		if s == "" || !a.outColor() {
			return s
		}
		return "\x1b[" + code + "m" + s + "\x1b[0m"
	}
	var head []string
	if !e.at.IsZero() {
		head = append(head, paint(dim, e.at.UTC().Format("2006-01-02T15:04:05.999Z07:00")))
	}
	for i, s := range e.title {
		code := bold
		if i > 0 {
			code = cyan
		}
		if s != "" {
			head = append(head, paint(code, visible(s)))
		}
	}
	for _, f := range e.facts {
		if f.value != "" {
			head = append(head, paint(dim, f.name+"=")+visible(f.value))
		}
	}
	b.WriteString(strings.Join(head, "  ") + "\n")
	if e.note != "" {
		b.WriteString("  " + paint(red, visible(e.note)) + "\n")
	}
	if body := indented(e.body); body != "" {
		b.WriteString(body + "\n")
	}
	if len(e.meta) > 2 { // more than {}
		b.WriteString(paint(dim, "  metadata "+string(harmless(e.meta, true))) + "\n")
	}
	return []byte(b.String())
}

// indented writes JSON over several lines, two columns in, and any other text as it is.
func indented(body []byte) string {
	if len(bytes.TrimSpace(body)) == 0 {
		return ""
	}
	var b bytes.Buffer
	if json.Indent(&b, bytes.TrimSpace(body), "  ", "  ") == nil {
		return "  " + string(harmless(b.Bytes(), true))
	}
	return "  " + strings.ReplaceAll(strings.TrimRight(string(harmless(body, false)), "\n"), "\n", "\n  ")
}

// harmless keeps an event's text from steering a terminal: what does not print is written as an escape. JSON stays the
// same JSON, as such characters can only be in its strings there.
func harmless(b []byte, isJSON bool) []byte {
	clean := true
	for i := 0; i < len(b) && clean; i++ {
		clean = b[i] == '\n' || b[i] == '\t' || b[i] >= 0x20 && b[i] < 0x7f
	}
	if clean {
		return b
	}
	out := make([]byte, 0, len(b)+16)
	for i := 0; i < len(b); {
		r, n := utf8.DecodeRune(b[i:])
		switch {
		case r == '\n', r == '\t', r != utf8.RuneError && strconv.IsPrint(r):
			out = append(out, b[i:i+n]...)
		case isJSON && r > 0xffff:
			r -= 0x10000
			out = fmt.Appendf(out, `\u%04x\u%04x`, 0xd800+r>>10, 0xdc00+r&0x3ff)
		case isJSON || r != utf8.RuneError:
			out = fmt.Appendf(out, `\u%04x`, r)
		default:
			out = fmt.Appendf(out, `\x%02x`, b[i])
		}
		i += n
	}
	return out
}
