package memory

import (
	"github.com/leatdev/leat/pipeline/poison"
	"github.com/leatdev/leat/pipeline/table"
	tables "github.com/leatdev/leat/pipeline/table/memory"
)

// openTables makes the tables of a store. They share its lock, so that a unit and a table's write never cross.
func openTables(s *Store) *tables.Store {
	return tables.New(tables.Options{Now: s.now, Lock: &s.mu, Park: func(park []poison.Entry, unpark []int64) error {
		if _, ok := s.parked.take(unpark, false); !ok {
			return table.ErrGone
		}
		s.parked.put(park)
		return nil
	}})
}
