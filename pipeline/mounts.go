package pipeline

import (
	"errors"
	"net/http"
	"slices"
	"sync"
)

// vacant answers for a source that is not there at present: it will be again in a moment, or once it is resumed.
var vacant = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Retry-After", "1")
	http.Error(w, "the pipeline is being loaded anew", http.StatusServiceUnavailable)
})

// slot is a pattern on the listener. It outlives the source that asked for it while the pipeline changes, so that
// nobody is told that there is nothing.
type slot struct {
	pipeline string
	mu       sync.RWMutex
	handler  http.Handler
	checks   bool // the handler, or the last one, checks itself who sends
	remove   func()
}

// Authenticates reports whether the source's handler checks itself who sends (admin.Authenticating). While the pipeline
// changes it is what it was, so that senders are told to come again and not that they are strangers.
func (s *slot) Authenticates() bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.checks
}

// ServeHTTP implements http.Handler.
func (s *slot) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.RLock()
	h := s.handler
	s.mu.RUnlock()
	if h == nil {
		h = vacant
	}
	h.ServeHTTP(w, r)
}

func (s *slot) set(h http.Handler) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.handler = h
	if h != nil {
		a, ok := h.(interface{ Authenticates() bool })
		s.checks = ok && a.Authenticates()
	}
}

func (s *slot) free() bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.handler == nil
}

func (d *Daemon) mount(pipeline, pattern string, h http.Handler) (func(), error) {
	if d.o.Mux == nil {
		return nil, errors.New("pipeline: there is no listener; set server.listen")
	}
	d.mu.Lock()
	s := d.slots[pattern]
	d.mu.Unlock()
	if s == nil || !s.free() {
		s = &slot{pipeline: pipeline}
		s.set(h)
		var err error
		if s.remove, err = d.o.Mux.Mount(pattern, s); err != nil {
			return nil, err
		}
		d.mu.Lock()
		d.slots[pattern] = s
		d.mu.Unlock()
	} else {
		s.pipeline = pipeline
		s.set(h)
	}
	return sync.OnceFunc(func() {
		d.mu.Lock()
		i := slices.IndexFunc(d.posts, func(x *post) bool { return x.cfg.Name == pipeline })
		keep := i >= 0 && d.posts[i].changing
		if !keep {
			delete(d.slots, pattern)
		}
		d.mu.Unlock()
		if s.set(nil); !keep {
			s.remove()
		}
	}), nil
}

// vacate takes the patterns off the listener that a changed pipeline did not ask for again.
func (d *Daemon) vacate(pipeline string) {
	d.mu.Lock()
	var gone []*slot
	for pattern, s := range d.slots {
		i := slices.IndexFunc(d.posts, func(x *post) bool { return x.cfg.Name == s.pipeline })
		if s.pipeline == pipeline && s.free() && (i < 0 || d.posts[i].paused == "") {
			gone = append(gone, s)
			delete(d.slots, pattern)
		}
	}
	d.mu.Unlock()
	for _, s := range gone {
		s.remove()
	}
}
