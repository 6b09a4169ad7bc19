// Package lru is a bounded cache whose entries grow old: the one used longest ago goes when there is no room, and none is
// given once its time is over.
package lru

import (
	"container/list"
	"sync"
	"time"
)

// Cache holds values by key. It is safe for concurrent use. A nil Cache holds nothing.
type Cache[K comparable, V any] struct {
	size int
	ttl  time.Duration
	now  func() time.Time

	mu    sync.Mutex
	by    map[K]*list.Element
	order list.List // of entry[K, V], the latest used in front
}

type entry[K comparable, V any] struct {
	key   K
	value V
	until time.Time
}

// New makes a cache of so many entries, each for the given time. Where either is zero it gives nil.
func New[K comparable, V any](size int, ttl time.Duration, now func() time.Time) *Cache[K, V] {
	if size <= 0 || ttl <= 0 {
		return nil
	}
	return &Cache[K, V]{size: size, ttl: ttl, now: now, by: map[K]*list.Element{}}
}

// Get gives the value of a key.
func (c *Cache[K, V]) Get(key K) (value V, ok bool) {
	if c == nil {
		return value, false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	at := c.by[key]
	if at == nil {
		return value, false
	}
	e := at.Value.(entry[K, V])
	if !c.now().Before(e.until) {
		c.remove(at)
		return value, false
	}
	c.order.MoveToFront(at)
	return e.value, true
}

// Put keeps a value; its time begins anew.
func (c *Cache[K, V]) Put(key K, value V) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if at := c.by[key]; at != nil {
		c.remove(at)
	}
	for len(c.by) >= c.size {
		c.remove(c.order.Back())
	}
	c.by[key] = c.order.PushFront(entry[K, V]{key, value, c.now().Add(c.ttl)})
}

// Len gives the number of entries, those among them whose time is over too.
func (c *Cache[K, V]) Len() int {
	if c == nil {
		return 0
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.by)
}

func (c *Cache[K, V]) remove(at *list.Element) {
	c.order.Remove(at)
	delete(c.by, at.Value.(entry[K, V]).key)
}
