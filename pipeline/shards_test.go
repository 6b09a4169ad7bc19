package pipeline

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/poison"
)

const fourShards = "{ name: out, shards: 4, forward: { catch: { name: a, in_part: true } } }"

// inOrder checks that every stream's events came once and in their order: ids are e-STREAM-N.
func inOrder(r *rig, ids []string, streams, each int) {
	r.Helper()
	next := map[string]int{}
	for _, id := range ids {
		at := strings.LastIndexByte(id, '-')
		if want := fmt.Sprint(next[id[:at]]); id[at+1:] != want {
			r.Errorf("%s came where %s-%s belongs", id, id[:at], want)
		}
		next[id[:at]]++
	}
	for s, n := range next {
		if n != each {
			r.Errorf("%d of %d events of %s", n, each, s)
		}
	}
	same(r, "streams", len(next), streams)
}

func TestShards(t *testing.T) {
	run(t, pipelineOf(fourShards), func(r *rig) {
		f := r.start().feed()
		for n := range 20 {
			var bodies []string
			for s := range 25 {
				bodies = append(bodies, order(fmt.Sprintf("e-%d-%d", s, n), fmt.Sprint("s", s), 1))
			}
			f.send(bodies...)
		}
		r.finish()
		r.ok()
		inOrder(r, r.sink("a").ids(), 25, 20)
		same(r, "the sink is closed once", r.sink("a").closed, 1)
		same(r, "relays", r.relays(), []string{"p/out#1/4 500", "p/out#2/4 500", "p/out#3/4 500", "p/out#4/4 500"})
		counts := map[int]int{}
		for s := range 25 {
			counts[shardOf(event.Stream{Type: "order", ID: fmt.Sprint("s", s)}, 4)]++
		}
		if len(counts) != 4 {
			t.Errorf("streams by shard: %v", counts)
		}
	})
}

// TestShardsOfAStreamStay: where a stream goes is part of what is stored, and may never change.
func TestShardsOfAStreamStay(t *testing.T) {
	var got []int
	for _, id := range []string{"1", "2", "3", "4", "5", "é", "", "order/7"} {
		got = append(got, shardOf(event.Stream{Type: "order", ID: id}, 16))
	}
	if fmt.Sprint(got) != shardsOfStreams {
		t.Errorf("shards %v, they were %v", got, shardsOfStreams)
	}
}

func TestShardCountIsFixed(t *testing.T) {
	for _, tt := range []struct{ first, then, want string }{
		{fourShards, strings.Replace(fourShards, "4", "2", 1), `relay "out" was created with shards: 4 and has 2 now`},
		{fourShards, strings.Replace(fourShards, "shards: 4, ", "", 1), "write `shards: 4`"},
		{strings.Replace(fourShards, "shards: 4, ", "", 1), fourShards, "created with shards: 1 and has 4 now"},
		{fourShards, strings.Replace(fourShards, "name: out, shards: 4", "name: other, was: out, shards: 8", 1), `relay "out" was created with shards: 4 and has 8 now`},
		{fourShards, strings.Replace(fourShards, "name: out", "name: other, was: out", 1), ""},
		{fourShards, strings.Replace(fourShards, "name: out, shards: 4", "name: other, shards: 8", 1), ""},
	} {
		run(t, pipelineOf(tt.first), func(r *rig) {
			r.start().feed().send(order("e-1", "o", 1)).is("committed")
			r.finish()
			r.ok()
			err := r.load(pipelineOf(tt.then)).try()
			if (tt.want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%s: the start says %v", tt.then, err)
			}
			if err == nil {
				r.finish()
				r.ok()
				same(r, "delivered once", r.sink("a").ids(), []string{"e-1"})
			}
		})
	}
}

// TestShardsOverReplicas: replicas come and go, one of them falls silent, and each stream's events arrive in order.
func TestShardsOverReplicas(t *testing.T) {
	together(t, pipelineOf(strings.Replace(fourShards, "4", "8", 1)), func(c *crew) {
		a := c.start("a")[0]
		n := 0
		send := func(r *rig) {
			for range 3 {
				var bodies []string
				for s := range 20 {
					bodies = append(bodies, order(fmt.Sprintf("e-%d-%d", s, n), fmt.Sprint("s", s), 1))
				}
				n++
				r.feed().send(bodies...)
				sleepFor(100 * time.Millisecond)
			}
		}
		send(a)
		b := c.start("b")[0]
		owners := c.owners(a)
		same(a, owners, [2]int{count(owners, "a"), count(owners, "b")}, [2]int{4, 4})
		send(a)
		d := c.start("d")[0]
		owners = c.owners(a)
		if count(owners, "d") < 2 || count(owners, "a") > 3 || count(owners, "b") > 3 {
			t.Errorf("three replicas share 8 shards so: %s", owners)
		}
		send(b)
		severed(a)
		send(d)
		sleepFor(15 * time.Second)
		owners = c.owners(b)
		same(b, owners, [2]int{count(owners, "b"), count(owners, "d")}, [2]int{4, 4})
		send(b)
		sleepFor(5 * time.Second)
		// Repeats are allowed: what counts is when an event came first.
		var first []string
		seen := map[string]bool{}
		for _, id := range c.sinks["a"].ids() {
			if !seen[id] {
				seen[id] = true
				first = append(first, id)
			}
		}
		inOrder(b, first, 20, n)
		a.store.breaks(nil, nil)
		for _, r := range []*rig{a, b, d} {
			r.drain()
			r.ok()
		}
	})
}

func TestShardsHoldTheirStreams(t *testing.T) {
	run(t, pipelineOf(fourShards), func(r *rig) {
		r.sink("a").refuse(only("e-1", event.Poison(errRefused)))
		f := r.start().feed()
		f.send(order("e-1", "o", 1), order("e-2", "o", 2), order("e-3", "q", 3), order("e-4", "z", 3)).outcomes()
		r.wait()
		same(r, "parked", r.parked(), []string{"out parked poison 1 1", "out held held 2 0"})
		same(r, "delivered", len(r.sink("a").ids()), 2)
		r.sink("a").failing(nil)
		r.again(poison.Filter{Step: "out"})
		same(r, "parked", len(r.entries()), 0)
		same(r, "delivered", len(r.sink("a").ids()), 4)
		r.finish()
		r.ok()
	})
}

const shardsOfStreams = "[3 10 13 12 15 6 7 15]"
