package lru_test

import (
	"testing"
	"time"

	"github.com/leatdev/leat/pipeline/lru"
)

func TestCache(t *testing.T) {
	now := time.Unix(0, 0)
	c := lru.New[string, int](2, time.Minute, func() time.Time { return now })
	want := func(what, key string, value int, there bool) {
		t.Helper()
		if got, ok := c.Get(key); got != value || ok != there {
			t.Errorf("%s: %s is %d, %v", what, key, got, ok)
		}
	}
	want("empty", "a", 0, false)
	c.Put("a", 1)
	c.Put("b", 2)
	want("used", "a", 1, true)
	c.Put("c", 3)
	want("used longest ago", "b", 0, false)
	want("used", "a", 1, true)
	now = now.Add(30 * time.Second)
	c.Put("a", 4)
	now = now.Add(30 * time.Second)
	want("its time is over", "c", 0, false)
	want("put again", "a", 4, true)
	now = now.Add(30 * time.Second)
	want("its time is over", "a", 0, false)
	if c.Len() != 0 {
		t.Errorf("%d entries", c.Len())
	}
}

func TestNoCache(t *testing.T) {
	for _, c := range []*lru.Cache[int, int]{nil, lru.New[int, int](0, time.Hour, time.Now), lru.New[int, int](5, 0, time.Now)} {
		c.Put(1, 1)
		if _, ok := c.Get(1); ok || c.Len() != 0 {
			t.Error("it holds something")
		}
	}
}
