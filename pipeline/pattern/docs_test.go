package pattern_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/leatdev/leat/pipeline/pattern"
)

// TestDocs runs the examples of docs/patterns.md: each row of a table against the pattern above it.
func TestDocs(t *testing.T) {
	data, err := os.ReadFile("../../docs/patterns.md")
	if err != nil {
		t.Fatal(err)
	}
	row := regexp.MustCompile("^\\| `(.*)` \\| (yes|no) \\|$")
	var text, part string
	var p *pattern.Pattern
	in := false
	verdicts := map[string]map[string]int{}
	for i, line := range strings.Split(string(data), "\n") {
		switch {
		case strings.HasPrefix(line, "#"):
			part, p = line, nil
			verdicts[part] = map[string]int{}
		case line == "```json":
			in, text = true, ""
		case line == "```" && in:
			in = false
			if p, err = pattern.CompileString(text); err != nil {
				t.Errorf("line %d: %v\n%s", i+1, err, text)
			}
		case in:
			text += line + "\n"
		case row.MatchString(line):
			m := row.FindStringSubmatch(line)
			if p == nil {
				t.Fatalf("line %d: a row without a pattern", i+1)
			}
			verdicts[part][m[2]]++
			if got, err := p.Match([]byte(m[1])); err != nil || got != (m[2] == "yes") {
				t.Errorf("line %d: %v, %v; want %s\npattern %s\nevent %s", i+1, got, err, m[2], p, m[1])
			}
		}
	}
	for _, op := range []string{"Exact values", "prefix", "suffix", "equals-ignore-case", "wildcard", "anything-but", "numeric", "cidr", "exists", "$or"} {
		if v := verdicts["### "+op]; v["yes"] == 0 || v["no"] == 0 {
			t.Errorf("%s has %d events that match and %d that do not; want some of both", op, v["yes"], v["no"])
		}
	}
}
