package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/leatdev/leat/pipeline"
	"github.com/leatdev/leat/pipeline/control"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/eventstore/client"
	"github.com/leatdev/leat/pipeline/eventstore/wire"
	"github.com/leatdev/leat/pipeline/table"
)

// TestReplicasAtWork pauses and resumes a pipeline, builds its table anew and replays its forward, on three replicas under
// load, of which the one that is asked is killed each time.
func TestReplicasAtWork(t *testing.T) {
	f := startFleet(t)
	f.progress("start")
	f.pauseAndKill()
	f.rebuildAndKill("files", "totals")
	f.rebuildAndKill("bus", "counted") // inline: all three write it
	f.replayAndKill()
	f.progress("all is back")
	f.finish()
}

// until asks until what is so; there is nothing but asking, as the processes are others.
func (f *fleet) until(what string, is func() bool) {
	f.Helper()
	begun := time.Now()
	for !is() {
		if time.Since(begun) > 60*time.Second {
			f.tell()
			f.Fatalf("not within a minute: %s", what)
		}
		time.Sleep(20 * time.Millisecond)
	}
	f.Logf("%s: after %.1f s", what, time.Since(begun).Seconds())
}

func (f *fleet) status(i int) (s pipeline.Status) {
	code, body := get("http://" + f.addrs[i] + "/api/v1/status")
	if code != http.StatusOK || json.Unmarshal([]byte(body), &s) != nil {
		return pipeline.Status{}
	}
	return s
}

// paused reports whether all replicas say that the pipeline files is, or is not, paused. One that is asked to pause drains
// first, and is paused in its state when it has nothing in hand any more.
func (f *fleet) paused(want string) bool {
	for i := range f.replicas {
		s := f.status(i)
		at := slices.IndexFunc(s.Pipelines, func(p pipeline.PipelineStatus) bool { return p.Name == "files" })
		if at < 0 || s.Pipelines[at].Paused != want || (s.Pipelines[at].State == "paused") != (want == control.PausedAll) {
			return false
		}
	}
	return true
}

// mark is how far the pipeline files has come: its last event in the log, and what the hook has got of it.
func (f *fleet) mark() [2]int64 {
	f.Helper()
	var at int64
	for e, err := range f.store.ReadAll(f.Context(), eventstore.ReadOptions{Backwards: true, Max: 1, Filter: eventstore.Filter{Origins: []string{"files"}}}) {
		if err != nil {
			f.Fatal(err)
		}
		at = e.Position
	}
	f.hook.mu.Lock()
	defer f.hook.mu.Unlock()
	var got int64
	for key, n := range f.hook.seen {
		if strings.HasPrefix(key, "/files") {
			got += int64(n)
		}
	}
	return [2]int64{at, got}
}

func (f *fleet) pauseAndKill() {
	f.Helper()
	leat(f, f.dir, nil, "pause", "files", "--server", f.addrs[0]).want(f.T, 0)
	f.until("all replicas have paused", func() bool { return f.paused(control.PausedAll) })
	at, head := f.mark(), f.head()
	f.replicas[0].kill() // the one that was asked
	f.start(0)
	f.until("the replica that is started again has paused too", func() bool { return f.paused(control.PausedAll) })
	f.until("the other pipelines go on", func() bool { return f.head() > head+100 })
	if now := f.mark(); now != at {
		f.Errorf("while it is paused the pipeline went from %v to %v (the log, deliveries)", at, now)
	}
	leat(f, f.dir, nil, "resume", "files", "--server", f.addrs[1]).want(f.T, 0)
	f.until("all replicas have resumed", func() bool { return f.paused("") })
	f.progress("resumed")
}

// live gives a live table, and how many events it counts.
func (f *fleet) live(name string) (i table.Info, n int64) {
	f.Helper()
	infos, err := f.store.Tables().Tables(f.Context())
	if err != nil {
		f.Fatal(err)
	}
	for _, x := range infos {
		if x.Def.Name == name && x.Live {
			i = x
		}
	}
	def, rows, err := f.store.Tables().Query(f.Context(), table.Query{Table: name})
	if err != nil {
		f.Fatal(err)
	}
	for row, err := range rows {
		if errors.Is(err, table.ErrFenced) { // it was swapped as it was read
			return i, -1
		}
		if err != nil {
			f.Fatal(err)
		}
		var one int64
		if _, err := fmt.Sscan(fmt.Sprint(row[def.Index("n")]), &one); err != nil {
			f.Fatal(err)
		}
		n += one
	}
	return i, n
}

func (f *fleet) client(i int) *client.Client {
	f.Helper()
	c, err := client.Connect("http://"+f.addrs[i], "main")
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = c.Close() })
	return c
}

func (f *fleet) rebuildAndKill(pipeline, name string) {
	f.Helper()
	was, least := f.live(name)
	f.until("a replica has begun the rebuild", func() bool {
		for i := range f.replicas {
			_, err := f.client(i).Rebuild(f.Context(), control.Rebuild{Table: name, Throttle: float64(max(2500, least/2))})
			var p *wire.Problem
			if err == nil {
				return true
			} else if !errors.As(err, &p) || p.Status != http.StatusConflict {
				f.Fatal(err)
			}
		}
		return false
	})
	owner := f.worker("rebuild")
	f.replicas[owner].kill()
	f.until("another has built the table anew", func() bool {
		i, n := f.live(name)
		if n >= 0 && n < least {
			f.Errorf("the table counts %d events, and had counted %d: what is in place was not whole", n, least)
		}
		least = max(least, n)
		return i.Def.Build != was.Def.Build && i.Building == 0
	})
	f.start(owner)
	f.until("nothing is left to do", func() bool { return !f.kept(pipeline, "$leat/rebuild ") })
}

// worker waits until a work of a kind is under way, and tells by whom: the seats that come back to a pipeline that has
// resumed may move once more, and the work with them.
func (f *fleet) worker(kind string) (who int) {
	f.Helper()
	f.until("the "+kind+" is under way", func() bool {
		for i := range f.replicas {
			for _, w := range f.status(i).Works {
				if w.Kind == kind && w.State == control.Running && w.Events > 0 {
					who = i
					return true
				}
			}
		}
		return false
	})
	return who
}

// kept reports whether the store has a work of a kind of a pipeline that is to go on.
func (f *fleet) kept(pipeline, kind string) bool {
	f.Helper()
	all, err := f.store.Cursors(f.Context(), pipeline)
	if err != nil {
		f.Fatal(err)
	}
	for key, value := range all {
		if strings.HasPrefix(key, kind) && value != "no" {
			return true
		}
	}
	return false
}

func (f *fleet) replayAndKill() {
	f.Helper()
	// Up to a position that all shards have passed, so that nothing below it comes by the live relays.
	to := int64(0)
	for _, p := range f.status(1).Pipelines {
		for _, r := range p.Relays {
			if p.Name == "files" && strings.HasPrefix(r.Name, "out") && (to == 0 || r.Position < to) {
				to = r.Position
			}
		}
	}
	ids := map[string]bool{}
	for e, err := range f.store.ReadAll(f.Context(), eventstore.ReadOptions{To: to, Filter: eventstore.Filter{Origins: []string{"files"}}}) {
		if err != nil {
			f.Fatal(err)
		}
		ids[strings.Clone(e.ID)] = true
	}
	f.hook.mu.Lock()
	before := maps.Clone(f.hook.seen)
	f.hook.mu.Unlock()
	page := max(200, len(ids)/4) // what it sends a second, and at once
	if _, err := f.client(0).Replay(f.Context(), control.Replay{Pipeline: "files", Relay: "out", To: fmt.Sprint(to), Throttle: float64(page)}); err != nil {
		f.Fatal(err)
	}
	worker := f.worker("replay")
	f.replicas[worker].kill()
	f.until("another has sent the rest", func() bool { return !f.kept("files", "$leat/replay ") })
	f.start(worker)
	f.hook.mu.Lock()
	defer f.hook.mu.Unlock()
	lost, twice := 0, 0
	for id := range ids {
		switch n := f.hook.seen["/files"+id] - before["/files"+id]; {
		case n == 0:
			lost++
		case n > 1:
			twice += n - 1
		}
	}
	f.Logf("%d events were replayed, %d of them sent twice", len(ids), twice)
	if lost > 0 || twice > page {
		f.Errorf("of %d events that were replayed %d did not come, %d came twice: the page in hand has %d", len(ids), lost, twice, page)
	}
}
