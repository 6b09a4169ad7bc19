package pipeline

import (
	"sync"
	"time"

	"github.com/leatdev/leat/pipeline/event"
)

// places are cursors that are settled and not yet committed: the last one of each key.
type places struct {
	mu    sync.Mutex
	at    map[string]string
	saved time.Time
}

func (p *places) note(c event.Cursor) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.at == nil {
		p.at = map[string]string{}
	}
	p.at[c.Key] = c.Value
}

// due reports whether a second has gone by since the last save.
func (p *places) due(now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.at) > 0 && now.Sub(p.saved) >= time.Second
}

// drop forgets the place of a key: a unit carries a later one.
func (p *places) drop(key string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.at, key)
}

func (p *places) take(now time.Time) []event.Cursor {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []event.Cursor
	for k, v := range p.at {
		out = append(out, event.Cursor{Key: k, Value: v})
	}
	p.at, p.saved = nil, now
	return out
}

// frontier finds the place behind which everything of a source is settled, where lanes settle batches out of order.
type frontier struct {
	mu    sync.Mutex
	open  map[string][]*event.Batch // by cursor key, in the order in which they came
	ended map[*event.Batch]bool
	moved func(event.Cursor)
}

func newFrontier(moved func(event.Cursor)) *frontier {
	return &frontier{open: map[string][]*event.Batch{}, ended: map[*event.Batch]bool{}, moved: moved}
}

// enter notes a batch, in the order of the source.
func (f *frontier) enter(b *event.Batch) {
	if f == nil || b.Cursor == nil || len(b.Events) == 0 {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	k := b.Cursor(0).Key
	f.open[k] = append(f.open[k], b)
}

// done notes that every event of a batch is settled and moves the place as far as it goes. Behind a batch of which
// something was released it stays.
func (f *frontier) done(b *event.Batch) {
	if f == nil || b.Cursor == nil || len(b.Events) == 0 {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if b.Released() {
		return
	}
	f.ended[b] = true
	k := b.Cursor(0).Key
	queue := f.open[k]
	var last *event.Batch
	for len(queue) > 0 && f.ended[queue[0]] {
		last = queue[0]
		delete(f.ended, last)
		queue = queue[1:]
	}
	f.open[k] = queue
	if last != nil {
		f.moved(last.Cursor(len(last.Events) - 1))
	}
}
