package pattern

import "sync"

// Set holds many patterns, each with a value of the caller's, and finds all that match an event in one pass over its bytes. What
// the patterns have in common is looked at once, so that the time for an event depends on the fields that they name and on how many
// match, and hardly on how many there are.
//
// Patterns may be added and removed while other goroutines match: each match sees the set as it was at one moment.
type Set[V any] struct {
	mu      sync.RWMutex
	index   *index
	entries []entry[V] // by slot
	unused  []int32
	live    int
	scratch sync.Pool // of *worker[V]
}

// ID names a pattern in its Set. An ID is not used again after Remove.
type ID uint64

type entry[V any] struct {
	value V
	turn  uint32 // times that the slot was given out; odd while it is in use
}

// worker is the scratch memory of one call.
type worker[V any] struct {
	gatherer
	values []V
}

// NewSet returns an empty set.
func NewSet[V any]() *Set[V] {
	s := &Set[V]{index: newIndex()}
	s.scratch.New = func() any { return new(worker[V]) }
	return s
}

// Add compiles a pattern and puts it in the set with its value. The error is Compile's.
func (s *Set[V]) Add(text []byte, v V) (ID, error) {
	p, err := Compile(text)
	if err != nil {
		return 0, err
	}
	return s.AddPattern(p, v), nil
}

// AddPattern puts a compiled pattern in the set with its value.
func (s *Set[V]) AddPattern(p *Pattern, v V) ID {
	s.mu.Lock()
	defer s.mu.Unlock()
	var slot int32
	if n := len(s.unused); n > 0 {
		slot, s.unused = s.unused[n-1], s.unused[:n-1]
	} else {
		slot = int32(len(s.entries))
		s.entries = append(s.entries, entry[V]{})
	}
	e := &s.entries[slot]
	e.turn++
	e.value = v
	s.live++
	s.index.add(p, slot)
	return ID(e.turn)<<32 | ID(uint32(slot))
}

// Remove takes a pattern out and reports whether it was there.
func (s *Set[V]) Remove(id ID) bool {
	slot, turn := uint32(id), uint32(id>>32)
	s.mu.Lock()
	defer s.mu.Unlock()
	if int(slot) >= len(s.entries) || s.entries[slot].turn != turn || turn%2 == 0 {
		return false
	}
	s.index.remove(int32(slot))
	s.entries[slot] = entry[V]{turn: turn + 1}
	s.unused = append(s.unused, int32(slot))
	s.live--
	return true
}

// Len returns the number of patterns.
func (s *Set[V]) Len() int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.live
}

// AppendMatches appends to dst the values of all patterns that match the event, in no particular order, and returns the extended
// slice. It allocates only where dst or its scratch memory must grow. The error is that of Pattern.Match.
func (s *Set[V]) AppendMatches(dst []V, event []byte) ([]V, error) {
	return s.collect(dst, event, nil)
}

// AppendMatchesFields is AppendMatches for an event whose envelope is already taken apart.
func (s *Set[V]) AppendMatchesFields(dst []V, f *Fields) ([]V, error) {
	return s.collect(dst, nil, f)
}

// Match calls yield with the value of each pattern that matches the event, in no particular order, until yield returns false. No
// lock is held then: yield may change the set.
func (s *Set[V]) Match(event []byte, yield func(V) bool) error {
	return s.each(event, nil, yield)
}

// MatchFields is Match for an event whose envelope is already taken apart.
func (s *Set[V]) MatchFields(f *Fields, yield func(V) bool) error {
	return s.each(nil, f, yield)
}

func (s *Set[V]) each(event []byte, f *Fields, yield func(V) bool) error {
	w := s.scratch.Get().(*worker[V])
	values, err := s.gather(w, w.values[:0], event, f)
	for _, v := range values {
		if !yield(v) {
			break
		}
	}
	clear(values) // the pool keeps no value of the caller's alive
	w.values = values
	s.scratch.Put(w)
	return err
}

func (s *Set[V]) collect(dst []V, event []byte, f *Fields) ([]V, error) {
	w := s.scratch.Get().(*worker[V])
	dst, err := s.gather(w, dst, event, f)
	s.scratch.Put(w)
	return dst, err
}

func (s *Set[V]) gather(w *worker[V], dst []V, event []byte, f *Fields) ([]V, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	slots, err := w.gather(s.index, event, f)
	w.release()
	if err != nil {
		return dst, err
	}
	for _, slot := range slots {
		dst = append(dst, s.entries[slot].value)
	}
	return dst, nil
}
