package feed

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"
)

// Difference compares two patterns by what they mean as JSON: "" where they say the same, whatever the order of fields and
// values, else a line for each field that differs: "- detail.x: …" as deployed, "+ detail.x: …" as in the config.
func Difference(deployed, wanted string) string {
	a, b := flat(deployed), flat(wanted)
	var lines []string
	names := slices.Sorted(maps.Keys(a))
	for name := range b {
		if _, ok := a[name]; !ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		if a[name] == b[name] {
			continue
		}
		if v, ok := a[name]; ok {
			lines = append(lines, "- "+name+": "+v)
		}
		if v, ok := b[name]; ok {
			lines = append(lines, "+ "+name+": "+v)
		}
	}
	return strings.Join(lines, "\n")
}

// flat gives the fields of a pattern with their values, sorted, as JSON.
func flat(text string) map[string]string {
	out := map[string]string{}
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var v any
	if d.Decode(&v) != nil {
		if text != "" {
			out["(no JSON)"] = text
		}
		return out
	}
	flatten(out, "", v)
	return out
}

func flatten(out map[string]string, path string, v any) {
	object, ok := v.(map[string]any)
	if !ok || len(object) == 0 {
		out[path] = canonical(v)
		return
	}
	for name, inner := range object {
		if path != "" {
			name = path + "." + name
		}
		flatten(out, name, inner)
	}
}

// canonical writes a value with the elements of its lists in order: a list of a pattern is a choice.
func canonical(v any) string {
	if list, ok := v.([]any); ok {
		parts := make([]string, len(list))
		for i := range list {
			parts[i] = canonical(list[i])
		}
		slices.Sort(parts)
		return "[" + strings.Join(parts, ",") + "]"
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(v) // what was decoded encodes
	return strings.TrimSpace(b.String())
}
