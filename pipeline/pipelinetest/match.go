package pipelinetest

import (
	"bytes"
	"encoding/json"
	"sort"
	"strings"
	"time"

	"github.com/cockroachdb/apd/v3"

	"github.com/leatdev/leat/config"
)

// What is there is compared as JSON: any is nil, bool, string, json.Number, []any or map[string]any.

// read takes JSON text apart, numbers as they are spelled.
func read(text []byte) any {
	if len(text) == 0 {
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var v any
	if d.Decode(&v) != nil {
		return string(text)
	}
	return v
}

// matches reports whether got is what want says: maps may hold more, lists may not, numbers are equal by value, times
// by the instant; null is also what is not there.
func matches(want *config.JSON, got any) bool {
	switch want.Kind {
	case config.NotGiven:
		return true
	case config.JSONNull:
		return got == nil
	case config.JSONBool:
		b, ok := got.(bool)
		return ok && b == (want.Text == "true")
	case config.JSONNumber:
		n, ok := got.(json.Number)
		return ok && sameNumber(want.Text, n.String())
	case config.JSONString:
		s, ok := got.(string)
		return ok && (s == want.Text || sameTime(s, want.Text))
	case config.JSONList:
		list, ok := got.([]any)
		if !ok || len(list) != len(want.Items) {
			return false
		}
		for i := range list {
			if !matches(&want.Items[i], list[i]) {
				return false
			}
		}
		return true
	}
	m, ok := got.(map[string]any)
	if !ok {
		return false
	}
	for i := range want.Fields {
		if !matches(&want.Fields[i].Value, m[want.Fields[i].Name]) {
			return false
		}
	}
	return true
}

func sameNumber(a, b string) bool {
	x, _, err := apd.NewFromString(a)
	if err != nil {
		return false
	}
	y, _, err := apd.NewFromString(b)
	return err == nil && x.Cmp(y) == 0
}

func sameTime(a, b string) bool {
	x, err := time.Parse(time.RFC3339, a)
	if err != nil {
		return false
	}
	y, err := time.Parse(time.RFC3339, b)
	return err == nil && x.Equal(y)
}

// likeness counts the parts of want that got has: which of several is meant, where none matches.
func likeness(want *config.JSON, got any) int {
	if want.Kind != config.JSONObject {
		if matches(want, got) {
			return 1
		}
		return 0
	}
	m, _ := got.(map[string]any)
	n := 0
	for i := range want.Fields {
		n += likeness(&want.Fields[i].Value, m[want.Fields[i].Name])
	}
	return n
}

// differ is a diff that grows.
type differ struct {
	lines []Line
	// first is the place of the first expectation that is not met.
	first config.Pos
}

func (d *differ) put(mark byte, depth int, text string) {
	d.lines = append(d.lines, Line{mark, strings.Repeat("  ", depth) + text})
}

func (d *differ) miss(p config.Pos) {
	if d.first.Line == 0 {
		d.first = p
	}
}

// value shows one value against what was expected; name is what stands before it.
func (d *differ) value(depth int, name string, want *config.JSON, got any) {
	if matches(want, got) {
		d.put(' ', depth, name+brief(want))
		return
	}
	switch m := got.(type) {
	case map[string]any:
		if want.Kind == config.JSONObject {
			d.put(' ', depth, strings.TrimSuffix(name, " "))
			for i := range want.Fields {
				f := &want.Fields[i]
				d.value(depth+1, f.Name+": ", &f.Value, m[f.Name])
			}
			return
		}
	case []any:
		if want.Kind == config.JSONList {
			d.put(' ', depth, strings.TrimSuffix(name, " "))
			d.list(depth+1, want.Items, m, want.Pos)
			return
		}
	}
	d.miss(want.Pos)
	d.put('-', depth, name+brief(want))
	d.put('+', depth, name+short(got))
}

// list shows a list against what was expected in its order: what matches is lined up, what does not is set against what
// stands in its place.
func (d *differ) list(depth int, want []config.JSON, got []any, at config.Pos) {
	i, j := 0, 0
	for i < len(want) || j < len(got) {
		switch {
		case i == len(want):
			d.miss(at)
			d.put('+', depth, "- "+short(got[j]))
			j++
		case j == len(got):
			d.miss(want[i].Pos)
			d.put('-', depth, "- "+brief(&want[i]))
			i++
		case matches(&want[i], got[j]):
			d.put(' ', depth, "- "+brief(&want[i]))
			i, j = i+1, j+1
		case ahead(&want[i], got[j+1:]) && len(got)-j > len(want)-i:
			d.miss(want[i].Pos)
			d.put('+', depth, "- "+short(got[j]))
			j++
		case len(got)-j < len(want)-i && i+1 < len(want) && matches(&want[i+1], got[j]):
			d.miss(want[i].Pos)
			d.put('-', depth, "- "+brief(&want[i]))
			i++
		default:
			d.value(depth, "- ", &want[i], got[j])
			i, j = i+1, j+1
		}
	}
}

func ahead(want *config.JSON, got []any) bool {
	for _, g := range got {
		if matches(want, g) {
			return true
		}
	}
	return false
}

// set shows a list whose order does not count.
func (d *differ) set(depth int, want []config.JSON, got []any, at config.Pos) {
	used := make([]bool, len(got))
	pair := make([]int, len(want))
	for i := range want {
		pair[i] = -1
	}
	assign(want, got, pair, used)
	for i := range want {
		if pair[i] >= 0 {
			d.put(' ', depth, "- "+brief(&want[i]))
			continue
		}
		best, most := -1, 0
		for j := range got {
			if n := likeness(&want[i], got[j]); !used[j] && n > most {
				best, most = j, n
			}
		}
		if best < 0 {
			d.miss(want[i].Pos)
			d.put('-', depth, "- "+brief(&want[i]))
			continue
		}
		used[best] = true
		d.value(depth, "- ", &want[i], got[best])
	}
	for j := range got {
		if !used[j] {
			d.miss(at)
			d.put('+', depth, "- "+short(got[j]))
		}
	}
}

// assign finds for as many of want as possible one of got each that matches (augmenting paths, Kuhn 1955).
func assign(want []config.JSON, got []any, pair []int, used []bool) {
	of := make([]int, len(got))
	for j := range of {
		of[j] = -1
	}
	var try func(i int, seen []bool) bool
	try = func(i int, seen []bool) bool {
		for j := range got {
			if seen[j] || !matches(&want[i], got[j]) {
				continue
			}
			seen[j] = true
			if of[j] < 0 || try(of[j], seen) {
				of[j], pair[i] = i, j
				return true
			}
		}
		return false
	}
	for i := range want {
		try(i, make([]bool, len(got)))
	}
	for j, i := range of {
		used[j] = i >= 0
	}
}

// longest is how much of one value a line shows.
const longest = 400

// brief writes a value as YAML's flow style has it.
func brief(j *config.JSON) string {
	var b strings.Builder
	writeJSON(&b, j)
	return cut(b.String())
}

func writeJSON(b *strings.Builder, j *config.JSON) {
	switch j.Kind {
	case config.JSONList:
		b.WriteByte('[')
		for i := range j.Items {
			if i > 0 {
				b.WriteString(", ")
			}
			writeJSON(b, &j.Items[i])
		}
		b.WriteByte(']')
	case config.JSONObject:
		b.WriteByte('{')
		for i := range j.Fields {
			if i > 0 {
				b.WriteString(", ")
			}
			b.WriteString(j.Fields[i].Name + ": ")
			writeJSON(b, &j.Fields[i].Value)
		}
		b.WriteByte('}')
	case config.JSONString:
		b.WriteString(word(j.Text))
	default:
		b.Write(j.Append(nil))
	}
}

// short writes what is there in the same way.
func short(v any) string {
	var b strings.Builder
	writeAny(&b, v)
	return cut(b.String())
}

func writeAny(b *strings.Builder, v any) {
	switch v := v.(type) {
	case []any:
		b.WriteByte('[')
		for i := range v {
			if i > 0 {
				b.WriteString(", ")
			}
			writeAny(b, v[i])
		}
		b.WriteByte(']')
	case map[string]any:
		keys := make([]string, 0, len(v))
		for k := range v {
			keys = append(keys, k)
		}
		sort.Slice(keys, func(i, j int) bool {
			return rank(keys[i]) < rank(keys[j]) || rank(keys[i]) == rank(keys[j]) && keys[i] < keys[j]
		})
		b.WriteByte('{')
		for i, k := range keys {
			if i > 0 {
				b.WriteString(", ")
			}
			b.WriteString(k + ": ")
			writeAny(b, v[k])
		}
		b.WriteByte('}')
	case string:
		b.WriteString(word(v))
	case json.Number:
		b.WriteString(v.String())
	case bool:
		b.Write([]byte(map[bool]string{true: "true", false: "false"}[v]))
	default:
		b.WriteString("null")
	}
}

// rank puts the members of events in the order in which people write them.
func rank(key string) int {
	for i, k := range []string{"id", "code", "step", "type", "source", "subject", "time", "revision", "data", "body"} {
		if k == key {
			return i
		}
	}
	return 99
}

// word quotes text that would read as something else.
func word(s string) string {
	plain := s != "" && s != "true" && s != "false" && s != "null"
	for i, r := range s {
		switch {
		case r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r == '_' || r == '/':
		case i > 0 && (r >= '0' && r <= '9' || r == '-' || r == '.' || r == ' ' || r == ':' && !strings.HasPrefix(s[i:], ": ")):
		case r > 127:
		default:
			plain = false
		}
	}
	if plain && s[len(s)-1] != ' ' && s[len(s)-1] != ':' {
		return s
	}
	text, err := json.Marshal(s)
	if err != nil {
		return s
	}
	return string(text)
}

func cut(s string) string {
	if r := []rune(s); len(r) > longest {
		return string(r[:longest-1]) + "…"
	}
	return s
}
