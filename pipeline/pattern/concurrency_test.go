package pattern_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/leatdev/leat/pipeline/pattern"
	"github.com/leatdev/leat/pipeline/race"
)

// TestNoAllocations holds matching to no allocation at all once its scratch memory is warm.
func TestNoAllocations(t *testing.T) {
	if race.Enabled {
		t.Skip("the race detector makes sync.Pool forget on purpose")
	}
	event := []byte(benchEvent)
	f, ok := fieldsOf(event)
	if !ok {
		t.Fatal("the event has no plain envelope")
	}
	all := pattern.NewSet[int]()
	for _, op := range operators {
		set := benchSet(t, 20, op.make)
		p, err := pattern.CompileString(op.make(7))
		if err != nil {
			t.Fatal(err)
		}
		all.AddPattern(p, 0)
		var dst []int
		sum := 0
		add := func(v int) bool { sum += v; return true }
		for name, run := range map[string]func() error{
			"Match":               func() error { _, err := p.Match(event); return err },
			"MatchFields":         func() error { _, err := p.MatchFields(&f); return err },
			"AppendMatches":       func() (err error) { dst, err = set.AppendMatches(dst[:0], event); return err },
			"AppendMatchesFields": func() (err error) { dst, err = set.AppendMatchesFields(dst[:0], &f); return err },
			"Set.Match":           func() error { return set.Match(event, add) },
			"all":                 func() (err error) { dst, err = all.AppendMatches(dst[:0], event); return err },
		} {
			if n := testing.AllocsPerRun(200, func() {
				if err := run(); err != nil {
					t.Fatal(err)
				}
			}); n != 0 {
				t.Errorf("%s: %s allocates %v times", op.name, name, n)
			}
		}
	}
}

// TestSetChangesWhileMatching matches while patterns come and go: those that stay are found always, those that are gone never.
func TestSetChangesWhileMatching(t *testing.T) {
	set := pattern.NewSet[string]()
	for i := range 50 {
		if _, err := set.Add(fmt.Appendf(nil, `{"detail":{"n":[%d],"t":[{"anything-but":"x%d"}]}}`, i%5, i), fmt.Sprintf("stays %d", i%5)); err != nil {
			t.Fatal(err)
		}
	}
	var readers, writers sync.WaitGroup
	stop := make(chan struct{})
	turns := 500
	if race.Enabled {
		turns = 60
	}
	for w := range 2 {
		writers.Go(func() {
			var ids []pattern.ID
			for i := range turns {
				id, err := set.Add(fmt.Appendf(nil, `{"detail":{"n":[%d,{"exists":false}],"w%d":[{"prefix":"p%d"},{"exists":false}]}}`, i%5, w, i), "goes")
				if err != nil {
					t.Error(err)
					return
				}
				if ids = append(ids, id); len(ids) > 20 {
					if !set.Remove(ids[0]) {
						t.Error("Remove: not there")
					}
					ids = ids[1:]
				}
			}
			for _, id := range ids {
				set.Remove(id)
			}
		})
	}
	for r := range 3 {
		readers.Go(func() {
			event := fmt.Appendf(nil, `{"detail":{"n":%d,"t":"y"}}`, r)
			want := fmt.Sprintf("stays %d", r)
			var got []string
			for running := true; running; {
				select {
				case <-stop:
					running = false
				default:
				}
				var err error
				if got, err = set.AppendMatches(got[:0], event); err != nil {
					t.Error(err)
					return
				}
				n := 0
				for _, v := range got {
					if v == want {
						n++
					} else if v != "goes" {
						t.Errorf("event %s matches %q", event, v)
						return
					}
				}
				if n != 10 {
					t.Errorf("event %s matches %d of the 10 patterns that stay", event, n)
					return
				}
			}
			if slices.Contains(got, "goes") {
				t.Error("a removed pattern matches")
			}
		})
	}
	writers.Wait()
	close(stop)
	readers.Wait()
	if set.Len() != 50 {
		t.Errorf("%d patterns are left, want 50", set.Len())
	}
}

// TestMatchMayChangeTheSet: yield runs outside the lock.
func TestMatchMayChangeTheSet(t *testing.T) {
	set := pattern.NewSet[int]()
	var ids []pattern.ID
	for i := range 3 {
		id, err := set.Add([]byte(`{"a":[1]}`), i)
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	event := []byte(`{"a":1}`)
	seen := 0
	if err := set.Match(event, func(i int) bool {
		seen++
		set.Remove(ids[i])
		_ = set.Match(event, func(int) bool { return true })
		return seen < 2
	}); err != nil {
		t.Fatal(err)
	}
	if seen != 2 || set.Len() != 1 {
		t.Errorf("yield ran %d times and %d patterns are left, want 2 and 1", seen, set.Len())
	}
	if set.Remove(ids[0]) && set.Remove(ids[1]) || set.Remove(0) {
		t.Error("Remove of what is gone reports true")
	}
}
