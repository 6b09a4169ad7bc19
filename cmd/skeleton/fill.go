package skeleton

import (
	"fmt"
	"strconv"
	"strings"
)

// expand fills the text of a template in. It has the little of text/template's language that the files need, and means by it the same:
// {{.Name}} is a value, {{indent 4 .Name}} the same with spaces before each line, {{"{{"}} a literal; a line {{- if .Name}} keeps what
// follows, up to {{- else}} or {{- end}}, where the value is true or a text that is not empty. Package text/template itself would cost far
// more than its own size: it calls methods by name, for which the linker keeps every exported method in the program.
func expand(text string, data map[string]any) (string, error) {
	var out strings.Builder
	kept, within := true, false // within a condition; it holds no other
	n := 0
	for line := range strings.Lines(text) {
		n++
		if action, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "{{- "); ok {
			action = strings.TrimSuffix(action, "}}")
			name, isIf := strings.CutPrefix(action, "if .")
			switch {
			case isIf && !within:
				v, ok := data[name]
				if !ok {
					return "", fmt.Errorf("line %d: there is no %s", n, name)
				}
				kept, within = v != false && v != "", true
			case action == "else" && within:
				kept = !kept
			case action == "end" && within:
				kept, within = true, false
			default:
				return "", fmt.Errorf("line %d: %q stands where it cannot", n, action)
			}
			continue
		}
		if !kept {
			continue
		}
		for {
			before, rest, ok := strings.Cut(line, "{{")
			out.WriteString(before)
			if !ok {
				break
			}
			action, after, ok := closing(rest)
			if !ok {
				return "", fmt.Errorf("line %d: no end of {{", n)
			}
			v, err := value(action, data)
			if err != nil {
				return "", fmt.Errorf("line %d: %w", n, err)
			}
			out.WriteString(v)
			line = after
		}
	}
	if within {
		return "", fmt.Errorf("a condition without its end")
	}
	return out.String(), nil
}

// closing gives an action and what stands behind its }}, which may stand in a literal too.
func closing(text string) (action, after string, ok bool) {
	if strings.HasPrefix(text, `"`) {
		if q, err := strconv.QuotedPrefix(text); err == nil {
			after, ok = strings.CutPrefix(text[len(q):], "}}")
			return q, after, ok
		}
	}
	return strings.Cut(text, "}}")
}

func value(action string, data map[string]any) (string, error) {
	if s, err := strconv.Unquote(action); err == nil {
		return s, nil
	}
	spaces, name, indented := strings.Cut(strings.TrimPrefix(action, "indent "), " .")
	if !indented {
		name = strings.TrimPrefix(action, ".")
	}
	v, ok := data[name].(string)
	if !ok {
		return "", fmt.Errorf("%q is no text", action)
	}
	if !indented {
		return v, nil
	}
	n, err := strconv.Atoi(spaces)
	if err != nil {
		return "", fmt.Errorf("%q: %w", action, err)
	}
	return indent(n, v), nil
}

// indent puts n spaces before each line and takes the last line end away.
func indent(n int, text string) string {
	space := strings.Repeat(" ", n)
	return space + strings.ReplaceAll(strings.TrimRight(text, "\n"), "\n", "\n"+space)
}
