package putevents

import (
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/leatdev/leat/pipeline/pattern"
)

// What an embedded bus says of itself where EventBridge has an account and a default.
const (
	defaultBus    = "default"
	account       = "000000000000"
	defaultRegion = "us-east-1"
)

// buses are the embedded buses of one daemon.
type buses struct {
	log *slog.Logger
	now func() time.Time
	// How long an entry waits for a pipeline that is full, and how long an answer waits for the pipelines.
	acceptWithin, answerWithin time.Duration

	mu     sync.Mutex
	named  map[string]*bus
	users  int
	remove func() // takes the handler off the listener
	left   []rule // of pipelines that have left
}

// bus is one of them: the pipelines that listen, found by their patterns.
type bus struct {
	name  string
	born  time.Time
	rules *pattern.Set[*Source]
}

// rule is a pipeline's place on a bus.
type rule struct {
	pipeline string
	bus      *bus
	id       pattern.ID
}

func newBuses(log *slog.Logger, now func() time.Time) *buses {
	return &buses{log: log, now: now, acceptWithin: 5 * time.Second, answerWithin: 50 * time.Second, named: map[string]*bus{}}
}

// join puts a pipeline on its bus; the first one also mounts the handler. Leave takes it off again, but for its rule: as
// long as requests may be under way, what is for a pipeline that has stopped must fail, not be taken as nobody's. The
// rule goes when the pipeline joins again, or with the buses.
func (bs *buses) join(s *Source) (leave func(), err error) {
	bs.mu.Lock()
	defer bs.mu.Unlock()
	if bs.users == 0 {
		if bs.remove, err = s.env.Mount("POST /{$}", bs); err != nil {
			return nil, err
		}
		bs.named, bs.left = map[string]*bus{}, nil
	}
	bs.users++
	bs.left = slices.DeleteFunc(bs.left, func(r rule) bool {
		return r.pipeline == s.env.Pipeline && r.bus.rules.Remove(r.id)
	})
	b := bs.named[s.cfg.Bus]
	if b == nil {
		b = &bus{name: s.cfg.Bus, born: bs.now(), rules: pattern.NewSet[*Source]()}
		bs.named[s.cfg.Bus] = b
	}
	id := b.rules.AddPattern(s.pattern, s)
	return func() {
		bs.mu.Lock()
		defer bs.mu.Unlock()
		bs.left = append(bs.left, rule{s.env.Pipeline, b, id})
		if bs.users--; bs.users == 0 {
			bs.remove()
		}
	}, nil
}

func (bs *buses) bus(name string) *bus {
	bs.mu.Lock()
	defer bs.mu.Unlock()
	return bs.named[name]
}

// list gives the buses by name.
func (bs *buses) list() []*bus {
	bs.mu.Lock()
	defer bs.mu.Unlock()
	out := make([]*bus, 0, len(bs.named))
	for _, name := range slices.Sorted(maps.Keys(bs.named)) {
		out = append(out, bs.named[name])
	}
	return out
}
