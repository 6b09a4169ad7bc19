package memory_test

import (
	"slices"
	"sync"
	"testing"

	"github.com/leatdev/leat/pipeline/poison"
	"github.com/leatdev/leat/pipeline/table"
	"github.com/leatdev/leat/pipeline/table/memory"
	"github.com/leatdev/leat/pipeline/table/tabletest"
)

// lot keeps parked entries as an event store would, under the lock that it shares with the tables.
type lot struct {
	sync.Mutex
	last    int64
	entries []poison.Entry
}

func (l *lot) park(park []poison.Entry, unpark []int64) error {
	kept := slices.Clone(l.entries)
	for _, id := range unpark {
		i := slices.IndexFunc(kept, func(e poison.Entry) bool { return e.ID == id })
		if i < 0 {
			return table.ErrGone
		}
		kept = slices.Delete(kept, i, i+1)
	}
	for _, e := range park {
		l.last++
		e.ID = l.last
		kept = append(kept, e)
	}
	l.entries = kept
	return nil
}

func (l *lot) list() []poison.Entry {
	l.Lock()
	defer l.Unlock()
	return slices.Clone(l.entries)
}

func TestConformance(t *testing.T) {
	t.Run("alone", func(t *testing.T) {
		tabletest.Run(t, tabletest.Features{}, func(*testing.T) tabletest.Backend { return tabletest.Backend{Store: memory.New(memory.Options{})} })
	})
	t.Run("with a store", func(t *testing.T) {
		tabletest.Run(t, tabletest.Features{}, func(*testing.T) tabletest.Backend {
			l := &lot{}
			return tabletest.Backend{Store: memory.New(memory.Options{Lock: l, Park: l.park}), Parked: l.list}
		})
	})
}

// What a refused unit wrote is dropped; what the same transaction's other units wrote is there.
func TestTx(t *testing.T) {
	ctx := t.Context()
	var lock sync.Mutex
	s := memory.New(memory.Options{Lock: &lock})
	d := &table.Def{Name: "t", Key: []string{"k"}, Version: 1, Columns: []table.Column{{Name: "k", Type: table.Text}, {Name: "v", Type: table.Text}}}
	if _, err := s.Ensure(ctx, d, "d", "r", "l"); err != nil {
		t.Fatal(err)
	}
	see := func(r table.Reader) string {
		var out string
		for row, err := range r.Scan(ctx, d, nil) {
			if err != nil {
				t.Fatal(err)
			}
			out += row[0].(string) + row[1].(string) + " "
		}
		return out
	}
	write := func(tx table.Tx, put, del []table.Row) {
		if err := tx.Write(ctx, d, put, del); err != nil {
			t.Fatal(err)
		}
	}

	lock.Lock()
	first := s.Begin()
	write(first, []table.Row{{"a", "1"}, {"b", "1"}}, nil)
	first.Commit()
	refused := s.Begin()
	write(refused, []table.Row{{"a", "2"}, {"c", "2"}}, []table.Row{{"b"}})
	if got := see(refused); got != "a2 c2 " {
		t.Errorf("inside it the rows are %q", got)
	}
	if got := see(s.Begin()); got != "a1 b1 " {
		t.Errorf("outside it they are %q", got)
	}
	second := s.Begin()
	write(second, nil, []table.Row{{"a"}})
	if rows, err := second.Load(ctx, d, []table.Row{{"a"}, {"b"}}); err != nil || rows[0] != nil || rows[1] == nil {
		t.Errorf("after a deletion Load gives %v, %v", rows, err)
	}
	second.Commit()
	lock.Unlock()

	if got := see(s); got != "b1 " {
		t.Errorf("committed are %q", got)
	}
}
