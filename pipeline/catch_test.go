package pipeline

import (
	"context"
	"errors"
	"strings"
	"sync"

	"github.com/leatdev/leat/pipeline/event"
)

type catchConfig struct {
	Name   string `yaml:"name"`
	InPart bool   `yaml:"in_part,omitempty"`
	Late   bool   `yaml:"late,omitempty"`
}

func (c catchConfig) Target() string { return c.Name }

// catch is a sink that remembers what it got; fail decides about each call.
type catch struct {
	mu    sync.Mutex
	got   []event.Recorded
	calls []string // the ids of each call, "!" before those that failed
	fail  func(ctx context.Context, batch []event.Recorded) error
	// busy counts calls under way, most is the most of them at a time.
	busy, most int
	closed     int
	// deferred and synced tell of a lateCatch: how many events were there at each Sync; unsynced makes Sync fail.
	deferred bool
	synced   []int
	unsynced error
}

// partialCatch is a catch that says that it may fail in part.
type partialCatch struct{ *catch }

func (partialCatch) FailsInPart() bool { return true }

// lateCatch is a catch that leaves it to Sync to make events safe.
type lateCatch struct{ *catch }

func (c lateCatch) Defer() { c.deferred = true }

func (c lateCatch) Sync(context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.unsynced == nil {
		c.synced = append(c.synced, len(c.got))
	}
	return c.unsynced
}

func (c *catch) Write(ctx context.Context, batch []event.Recorded) error {
	c.mu.Lock()
	fail := c.fail
	c.busy++
	c.most = max(c.most, c.busy)
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.busy--
	}()
	var err error
	if fail != nil {
		err = fail(ctx, batch)
	}
	var partial *event.BatchError
	errors.As(err, &partial)
	c.mu.Lock()
	defer c.mu.Unlock()
	var names []string
	for i := range batch {
		if err != nil && (partial == nil || partial.Failed[i] != nil) {
			names = append(names, "!"+batch[i].ID)
			continue
		}
		names = append(names, batch[i].ID)
		e := batch[i]
		e.Event = e.Clone()
		c.got = append(c.got, e)
	}
	c.calls = append(c.calls, strings.Join(names, " "))
	return err
}

func (c *catch) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed++
	return nil
}

// failing sets what decides about calls; nil takes everything.
func (c *catch) failing(fail func(ctx context.Context, batch []event.Recorded) error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fail = fail
}

// refuse fails single events by id, with what of gives for each; nil takes it.
func (c *catch) refuse(of func(id string) error) {
	c.failing(func(_ context.Context, batch []event.Recorded) error {
		var failed *event.BatchError
		for i := range batch {
			if err := of(batch[i].ID); err != nil {
				failed = failed.Fail(i, err)
			}
		}
		return failed.Err()
	})
}

// refuseCall fails whole calls that hold an id.
func (c *catch) refuseCall(id string, err error) {
	c.failing(func(_ context.Context, batch []event.Recorded) error {
		for i := range batch {
			if batch[i].ID == id {
				return err
			}
		}
		return nil
	})
}

func (c *catch) bodies() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []string
	for i := range c.got {
		out = append(out, string(c.got[i].Raw))
	}
	return out
}

func (c *catch) ids() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return ids(c.got)
}

func (c *catch) said() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]string(nil), c.calls...)
}

var errRefused = errors.New("catch: refused")
