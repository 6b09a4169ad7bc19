package filter

import (
	"strings"
)

// Template is text with expressions in it: "order/{{ data.order_id }}". Text shows as it is, numbers as they are spelt,
// times in RFC 3339, arrays and objects as JSON, and nil as nothing. A backslash before {{ makes it plain text.
// It is safe for concurrent use as a Program is.
type Template struct {
	parts []part
}

// part is literal text, or a program.
type part struct {
	text string
	prog *Program
}

// Template compiles a text. Its error carries one or more *Error, placed in src.
func (s *Scope) Template(src string) (*Template, error) {
	t := &Template{}
	var errs []*Error
	var text strings.Builder
	for i := 0; i < len(src); {
		switch {
		case strings.HasPrefix(src[i:], `\{{`):
			text.WriteString("{{")
			i += 3
		case strings.HasPrefix(src[i:], "{{"):
			end := closing(src, i+2)
			if end < 0 {
				errs = append(errs, mistake(CodeTemplate, src, i, `close it with }}, or write \{{ for the text`, "{{ is not closed"))
				return nil, join(errs)
			}
			inner := src[i+2 : end]
			if strings.TrimSpace(inner) == "" {
				errs = append(errs, mistake(CodeTemplate, src, i, "", "there is nothing between {{ and }}"))
			} else if p, err := s.Compile(inner, Text); err != nil {
				for _, e := range Errors(err) {
					e.place(src, i+2+e.Offset)
					errs = append(errs, e)
				}
			} else {
				t.add(text.String())
				text.Reset()
				t.parts = append(t.parts, part{prog: p})
			}
			i = end + 2
		default:
			text.WriteByte(src[i])
			i++
		}
	}
	if len(errs) > 0 {
		return nil, join(errs)
	}
	t.add(text.String())
	return t, nil
}

func (t *Template) add(text string) {
	if text != "" {
		t.parts = append(t.parts, part{text: text})
	}
}

// closing finds the }} that ends an expression, past quotes and the braces of the expression's own.
func closing(src string, i int) int {
	depth := 0
	for ; i < len(src); i++ {
		switch src[i] {
		case '"', '\'', '`':
			i = quoted(src, i)
		case '{':
			depth++
		case '}':
			if depth == 0 && strings.HasPrefix(src[i:], "}}") {
				return i
			}
			depth--
		}
	}
	return -1
}

// Constant gives the text where it has no expression in it.
func (t *Template) Constant() (string, bool) {
	switch {
	case len(t.parts) == 0:
		return "", true
	case len(t.parts) == 1 && t.parts[0].prog == nil:
		return t.parts[0].text, true
	}
	return "", false
}

// Paths gives what the template reads of the event.
func (t *Template) Paths() []string {
	var all []string
	for _, p := range t.parts {
		if p.prog != nil {
			all = append(all, p.prog.Paths()...)
		}
	}
	return all
}

// Cut splits the template at the first sep in its literal text, whatever its expressions will give.
func (t *Template) Cut(sep byte) (before, after *Template, ok bool) {
	for i, p := range t.parts {
		at := strings.IndexByte(p.text, sep)
		if at < 0 {
			continue
		}
		before, after = &Template{}, &Template{}
		before.parts = append(before.parts, t.parts[:i]...)
		before.add(p.text[:at])
		after.add(p.text[at+1:])
		after.parts = append(after.parts, t.parts[i+1:]...)
		return before, after, true
	}
	return t, &Template{}, false
}

// Append appends the text for the event in view. On an error, which is one of Program's, dst comes back as it was.
func (t *Template) Append(dst []byte, v *View) ([]byte, error) {
	out := dst
	for _, p := range t.parts {
		if p.prog == nil {
			out = append(out, p.text...)
			continue
		}
		var err error
		if out, err = p.prog.AppendText(out, v); err != nil {
			return dst, err
		}
	}
	return out, nil
}

// Text gives the text for the event in view, sharing no memory with the event.
func (t *Template) Text(v *View) (string, error) {
	b, err := t.Append(nil, v)
	return string(b), err
}
