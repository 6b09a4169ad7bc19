package pipeline

import (
	"context"
	"fmt"
	"hash/fnv"
	"regexp"
	"strconv"
	"strings"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
)

// shards gives the relays of a forward, one for each shard: each reads the events of its own streams, with a lease, an
// epoch and a checkpoint of its own. The number is part of their ids, as it says which streams are whose.
func (r *relayPlan) shards() []*relayPlan {
	n := r.frame.Shards
	if n < 2 {
		return []*relayPlan{r}
	}
	out := make([]*relayPlan, n)
	for k := range out {
		one := *r
		suffix := fmt.Sprintf("#%d/%d", k+1, n)
		one.id, one.name = r.id+suffix, r.name+suffix
		if r.was != "" {
			one.was = r.was + suffix
		}
		one.shard, one.of = k, n
		one.frame.Limits.Rate /= float64(n) // together they keep the step's
		out[k] = &one
	}
	return out
}

// step is the relay's name without its shard.
func (r *relayPlan) step() string { return unsharded(r.name) }

// keep leaves of events those of the relay's own streams. The page is its reader's: others see the same events.
func (r *relayPlan) keep(events []event.Recorded) []event.Recorded {
	if r.of < 2 {
		return events
	}
	var out []event.Recorded
	for i := range events {
		if shardOf(events[i].Stream, r.of) == r.shard {
			out = append(out, events[i])
		}
	}
	return out
}

// shardOf says to which of n shards a stream belongs. It never changes: the checkpoints of shards stand on it.
func shardOf(s event.Stream, n int) int {
	h := fnv.New64a()
	_, _ = h.Write([]byte(s.Type))
	_, _ = h.Write([]byte{0})
	_, _ = h.Write([]byte(s.ID))
	x := h.Sum64()
	x ^= x >> 32 // FNV's low bits alone are poor for short texts
	return int(x % uint64(n))
}

var shardSuffix = regexp.MustCompile(`#\d+/(\d+)$`)

func unsharded(id string) string { return shardSuffix.ReplaceAllString(id, "") }

// shardsIn gives the number of shards that a relay's id tells of.
func shardsIn(id string) int {
	if m := shardSuffix.FindStringSubmatch(id); m != nil {
		n, err := strconv.Atoi(m[1])
		if err == nil {
			return n
		}
	}
	return 1
}

// checkShards refuses another number of shards than the relay was created with: its streams would go to other
// checkpoints, and be skipped or repeated out of order.
func (p *pipe) checkShards(ctx context.Context, specs []eventstore.RelaySpec) error {
	known, err := p.store.ListRelays(ctx, p.cfg.Name)
	if err != nil {
		return fmt.Errorf("list relays: %w", err)
	}
	created := map[string]int{}
	for i := range known {
		created[unsharded(known[i].ID)] = shardsIn(known[i].ID)
	}
	for i := range specs {
		now := shardsIn(specs[i].ID)
		for _, id := range []string{specs[i].ID, specs[i].Was} {
			base := unsharded(id)
			if n, ok := created[base]; ok && n != now {
				name := strings.TrimPrefix(base, p.cfg.Name+"/")
				return fmt.Errorf("relay %q was created with shards: %d and has %d now, which would break the order of its streams: write `shards: %d`, or give the step another name, under which it is a new relay",
					name, n, now, n)
			}
		}
	}
	return nil
}
