package pattern_test

import (
	"slices"
	"testing"

	"github.com/leatdev/leat/pipeline/pattern"
	"github.com/leatdev/leat/pipeline/race"
)

// TestSetConformance puts every valid pattern of the suite into one set and compares what it finds with each pattern alone.
func TestSetConformance(t *testing.T) {
	vs := vectors(t)
	set := pattern.NewSet[string]()
	patterns := map[string]*pattern.Pattern{}
	ids := map[string]pattern.ID{}
	var events [][]byte
	known := map[string]bool{}
	for _, v := range vs {
		if v.Invalid || exceptions[v.Name] == legacyOr {
			continue
		}
		if text := string(v.text()); patterns[text] == nil {
			p, err := pattern.Compile(v.text())
			if err != nil {
				t.Fatal(err)
			}
			patterns[text] = p
			ids[text] = set.AddPattern(p, text)
		}
		if !known[string(v.Event)] {
			known[string(v.Event)] = true
			events = append(events, v.Event)
		}
	}
	if set.Len() != len(patterns) {
		t.Fatalf("%d patterns in the set, want %d", set.Len(), len(patterns))
	}
	t.Logf("%d patterns, %d events", len(patterns), len(events))
	check := func(events [][]byte) {
		t.Helper()
		for _, event := range events {
			var want []string
			for text, p := range patterns {
				if ok, err := p.Match(event); err != nil {
					t.Fatal(err)
				} else if ok {
					want = append(want, text)
				}
			}
			got, err := set.AppendMatches(nil, event)
			if err != nil {
				t.Fatal(err)
			}
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Fatalf("event %s\nonly in the set: %q\nonly alone: %q", event, less(got, want), less(want, got))
			}
		}
	}
	few := events
	if testing.Short() || race.Enabled {
		few = every(events, 10)
	}
	check(few)
	// Half of them go, in an order that is not that of coming; the rest must not notice.
	n := 0
	for text, id := range ids {
		if n++; n%2 == 0 {
			continue
		}
		if !set.Remove(id) || set.Remove(id) {
			t.Fatalf("Remove(%s)", text)
		}
		delete(patterns, text)
		delete(ids, text)
	}
	check(every(events, 10))
	for _, id := range ids {
		set.Remove(id)
	}
	if got, err := set.AppendMatches(nil, events[0]); err != nil || len(got) != 0 || set.Len() != 0 {
		t.Errorf("an emptied set of %d matches %q, %v", set.Len(), got, err)
	}
}

func every(events [][]byte, n int) (some [][]byte) {
	for i := 0; i < len(events); i += n {
		some = append(some, events[i])
	}
	return some
}

func less(a, b []string) (rest []string) {
	for _, s := range a {
		if !slices.Contains(b, s) {
			rest = append(rest, s)
		}
	}
	return rest
}
