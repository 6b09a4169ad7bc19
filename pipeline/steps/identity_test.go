package steps

import "testing"

func TestDerivedIDsTellEventsAndPipelinesApart(t *testing.T) {
	id := derivedID("p\x00k", "append", 0)
	for _, other := range []struct {
		name, key, step string
		index           int
	}{
		{"another event of the unit", "p\x00k", "append", 1},
		{"another step", "p\x00k", "append#2", 0},
		{"another event of the source", "p\x00l", "append", 0},
		{"another pipeline", "q\x00k", "append", 0},
	} {
		if derivedID(other.key, other.step, other.index) == id {
			t.Errorf("%s has the same id", other.name)
		}
	}
	if again := derivedID("p\x00k", "append", 0); again != id {
		t.Errorf("a repeat gives %s, not %s", again, id)
	}
	// Ids that were written once are compared with those that are derived now: they never change.
	if want := "6138da00-a687-51ed-8de7-8b5d13113cbf"; id != want {
		t.Errorf("id %s, want %s", id, want)
	}
}
