package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/eventstore/memory"
	"github.com/leatdev/leat/pipeline/poison"
	"github.com/leatdev/leat/pipeline/table"
	"github.com/leatdev/leat/sources"
)

// crew is several daemons with one store, as replicas of one deploy have them: each is a rig, the sinks are shared.
type crew struct {
	*testing.T
	yaml  string
	store eventstore.Store
	sinks map[string]*catch
}

func together(t *testing.T, yaml string, test func(c *crew)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c := &crew{T: t, yaml: yaml, store: memory.Open(memory.Options{}), sinks: map[string]*catch{}}
		t.Cleanup(func() { c.store.Close() })
		test(c)
	})
}

// replica makes a daemon that is not started yet.
func (c *crew) replica(name string) *rig {
	r := newRig(c.T, c.yaml, nil)
	r.store = &brokenStore{Store: c.store}
	r.sinks, r.shared = c.sinks, true
	r.o.Instance = name
	return r
}

func (c *crew) start(names ...string) []*rig {
	c.Helper()
	var out []*rig
	for _, n := range names {
		out = append(out, c.replica(n).start())
	}
	sleepFor(5 * time.Second)
	return out
}

// owners gives who has which seat, "name=owner" in the order of the names.
func (c *crew) owners(r *rig) string {
	c.Helper()
	names := []string{}
	for _, x := range r.pipe().seats.all {
		names = append(names, x.name)
	}
	got, err := c.store.(eventstore.Replicas).Roster(context.Background(), "p", names)
	if err != nil {
		c.Fatal(err)
	}
	var out []string
	for _, l := range got.Leases {
		out = append(out, strings.TrimPrefix(strings.TrimPrefix(l.Name, "p/forward catch "), "p/project ")+"="+l.Owner)
	}
	return strings.Join(out, " ")
}

// count gives how many seats an owner has.
func count(owners, owner string) int { return strings.Count(owners, "="+owner) }

// mine gives the relays of an owner out of what owners gave, as they are called.
func mine(owners, owner string) (out []string) {
	for _, x := range strings.Fields(owners) {
		if name, o, _ := strings.Cut(x, "="); o == owner {
			if name = "forward catch " + name; len(name) > len("forward catch x") {
				name = strings.Replace(name, "forward catch", "project", 1)
			}
			out = append(out, name)
		}
	}
	return out
}

// duties says what a replica does and stands by for, as it tells.
func duties(r *rig) string {
	var does, others []string
	for _, d := range r.daemon.Duties() {
		name := d.Source + d.Relay
		switch {
		case d.Standby && d.Owner != "" && d.Owner != r.o.Instance:
			others = append(others, name)
		case !d.Standby && d.Owner == r.o.Instance:
			does = append(does, name)
		default:
			does = append(does, fmt.Sprintf("%+v", d))
		}
	}
	return strings.Join(does, ", ") + "; stands by for " + strings.Join(others, ", ")
}

// severed is a store that cannot be reached any more.
func severed(r *rig) {
	r.store.breaks(func(string) error { return errors.New("connection lost") }, nil)
}

var fourSinks = pipelineOf(toA, toB, "forward: { catch: { name: c } }", toOrders)

func TestShare(t *testing.T) {
	seats := []string{}
	for i := range 24 {
		seats = append(seats, fmt.Sprint("p/forward sqs queue", i))
	}
	load := func(m map[string]string) map[string]int {
		out := map[string]int{}
		for _, o := range m {
			out[o]++
		}
		return out
	}
	var owners []string
	last := map[string]string{}
	for n := 1; n <= 30; n++ {
		owners = append(owners, fmt.Sprint("host-", n))
		got := share(seats, owners)
		most := (len(seats) + n - 1) / n
		moved, toOld := 0, 0
		for _, s := range seats {
			if got[s] == "" {
				t.Fatalf("%d owners: nobody has %s", n, s)
			}
			if last[s] != "" && last[s] != got[s] {
				moved++
				if got[s] != owners[n-1] {
					toOld++
				}
			}
		}
		for o, k := range load(got) {
			if k > most {
				t.Errorf("%d owners: %s has %d of %d, more than %d", n, o, k, len(seats), most)
			}
		}
		if moved > len(seats)/2+most {
			t.Errorf("%d owners: %d of %d seats move (%d among those that were there)", n, moved, len(seats), toOld)
		}
		shuffled := slices.Clone(seats)
		slices.Reverse(shuffled)
		others := slices.Clone(owners)
		slices.Reverse(others)
		for s, o := range share(shuffled, others) {
			if got[s] != o {
				t.Errorf("the order of what is known changes who has %s", s)
			}
		}
		last = got
	}
	if len(share(seats, nil)) != 0 {
		t.Error("nobody is there, and somebody has a seat")
	}
}

func TestReplicasShareTheWork(t *testing.T) {
	together(t, fourSinks, func(c *crew) {
		a := c.start("a")[0]
		same(a, "alone it has all", count(c.owners(a), "a"), 4)
		b := c.start("b")[0]
		owners := c.owners(a)
		same(a, "shared "+owners, [2]int{count(owners, "a"), count(owners, "b")}, [2]int{2, 2})
		var want []string
		for i := range 40 {
			r, id := a, fmt.Sprint("e-", i)
			if i%2 == 1 {
				r = b
			}
			r.feed().send(order(id, "o", 1)).is("committed")
			want = append(want, id)
		}
		sleepFor(2 * time.Second)
		for _, name := range []string{"a", "b", "c"} {
			same(a, "sink "+name, c.sinks[name].ids(), want)
		}
		same(a, "rows", a.rows("orders"), []string{"o 40"})
		// Nothing moves while nobody comes or goes.
		sleepFor(time.Hour)
		same(a, "an hour later", c.owners(a), owners)

		st := b.daemon.Status().Pipelines[0]
		standby := 0
		for _, rs := range st.Relays {
			if rs.Standby {
				standby++
			}
			if rs.Owner == "" || rs.Position != 40 || rs.Lag != 0 {
				t.Errorf("b says %+v", rs)
			}
			if rs.Standby != (rs.Owner == "a") {
				t.Errorf("b says %+v", rs)
			}
		}
		same(b, "b stands by for", standby, 2)
		same(b, "duties of b", duties(b), "feed, "+strings.Join(mine(owners, "b"), ", ")+"; stands by for "+strings.Join(mine(owners, "a"), ", "))
		if err := b.daemon.Ready(); err != nil {
			t.Errorf("a replica that stands by is ready, not %v", err)
		}
		owned := 0
		for _, name := range []string{"catch a", "catch b", "catch c", "orders"} {
			owned += b.counter("leat_relay_owner", "component", name)
		}
		same(b, "relays that b's metrics own", owned, 2)

		b.drain()
		b.ok()
		same(b, "seats that b says another has taken over", b.log.count("given up to another replica"), 0)
		sleepFor(2 * time.Second)
		same(a, "b has gone", count(c.owners(a), "a"), 4)
		a.feed().send(order("e-40", "o", 1)).is("committed")
		sleepFor(time.Second)
		same(a, "sink a", c.sinks["a"].ids(), append(want, "e-40"))
		a.drain()
		a.ok()
		same(a, "leases", c.owners(a), "")
	})
}

// TestSilentOwner: a replica that reaches the store no more stands back by itself, and another takes over when its lease
// has run out; when it comes back it takes its share again. What it had in hand it cannot commit.
func TestSilentOwner(t *testing.T) {
	together(t, pipelineOf(toA, toOrders), func(c *crew) {
		a := c.start("a")[0]
		b := c.start("b")[0]
		a.feed().send(order("e-1", "o", 1)).is("committed")
		sleepFor(time.Second)
		severed(a)
		b.feed().send(order("e-2", "o", 1)).is("committed")
		sleepFor(12 * time.Second)
		owners := c.owners(b)
		same(b, "a is silent", [2]int{count(owners, "a"), count(owners, "b")}, [2]int{0, 2})
		same(b, "sink a", c.sinks["a"].ids()[len(c.sinks["a"].ids())-1:], []string{"e-2"})
		same(b, "rows", b.rows("orders"), []string{"o 2"})
		if a.daemon.Ready() == nil {
			t.Error("a does not reach its store and says that it is ready")
		}
		a.store.breaks(nil, nil)
		sleepFor(5 * time.Second)
		owners = c.owners(b)
		same(b, "a is back", [2]int{count(owners, "a"), count(owners, "b")}, [2]int{1, 1})
		if err := a.daemon.Ready(); err != nil {
			t.Errorf("a is back and not ready: %v", err)
		}
		b.feed().send(order("e-3", "o", 1)).is("committed")
		sleepFor(time.Second)
		same(b, "rows", b.rows("orders"), []string{"o 3"})
		a.drain()
		a.ok()
		b.drain()
		b.ok()
	})
}

// TestWriteUnderALostLease: a call to the sink that outlives the lease ends without a checkpoint.
func TestWriteUnderALostLease(t *testing.T) {
	together(t, pipelineOf(toA), func(c *crew) {
		a := c.start("a")[0]
		hang := make(chan struct{})
		c.sinks["a"].failing(func(context.Context, []event.Recorded) error { <-hang; return nil }) // heeds nothing
		a.feed().send(order("e-1", "o", 1)).is("committed")
		a.wait()
		severed(a)
		c.sinks["a"].failing(nil)
		b := c.start("b")[0]
		sleepFor(15 * time.Second)
		same(b, "b has it", c.owners(b), "a=b")
		same(b, "and delivered", c.sinks["a"].ids(), []string{"e-1"})
		b.feed().send(order("e-2", "o", 1)).is("committed")
		b.wait()
		at := b.relays()
		a.store.breaks(nil, nil)
		close(hang)
		sleepFor(5 * time.Second)
		same(b, "the checkpoint stands", b.relays(), at)
		same(b, "first deliveries", c.sinks["a"].ids(), []string{"e-1", "e-2", "e-1"})
		a.drain()
		a.ok()
		b.drain()
		b.ok()
	})
}

// TestHoldsAreHandedOver: what waits behind a parked event waits in the next replica too, and goes out behind it.
func TestHoldsAreHandedOver(t *testing.T) {
	together(t, pipelineOf("forward: { catch: { name: a, in_part: true } }"), func(c *crew) {
		a := c.start("a")[0]
		a.sink("a").refuse(only("e-1", event.Poison(errRefused)))
		a.feed().send(order("e-1", "o", 1), order("e-2", "o", 2), order("e-3", "q", 3)).is("committed committed committed")
		a.wait()
		same(a, "parked", a.parked(), []string{"forward catch a parked poison 1 1", "forward catch a held held 2 0"})
		severed(a)
		b := c.start("b")[0]
		sleepFor(15 * time.Second)
		b.feed().send(order("e-4", "o", 4), order("e-5", "q", 5)).is("committed committed")
		b.wait()
		same(b, "held", b.sink("a").ids(), []string{"e-3", "e-5"})
		a.store.breaks(nil, nil)
		a.drain()
		b.sink("a").failing(nil)
		b.again(poison.Filter{States: []poison.State{poison.Parked}})
		same(b, "mended", b.sink("a").ids(), []string{"e-3", "e-5", "e-1", "e-2", "e-4"})
		same(b, "parked", len(b.entries()), 0)
		b.drain()
		b.ok()
	})
}

// TestSentAgainFromAnotherReplica: whoever is asked, the owner does it.
func TestSentAgainFromAnotherReplica(t *testing.T) {
	together(t, pipelineOf("forward: { catch: { name: a, in_part: true } }"), func(c *crew) {
		both := c.start("a", "b")
		owner, other := both[0], both[1]
		if c.owners(owner) == "a=b" {
			owner, other = other, owner
		}
		owner.sink("a").refuse(only("e-1", event.Poison(errRefused)))
		other.feed().send(order("e-1", "o", 1)).is("committed")
		owner.wait()
		owner.sink("a").failing(nil)
		other.again(poison.Filter{})
		same(owner, "mended", owner.sink("a").ids(), []string{"e-1"})
		for _, r := range both {
			r.drain()
			r.ok()
		}
	})
}

func TestIntakeAlone(t *testing.T) {
	yaml := strings.Replace(pipelineOf(toA), "{ ordered: true }", "{ ordered: true, cursor: true, alone: true }", 1)
	together(t, yaml, func(c *crew) {
		a := c.start("a")[0]
		a.feed().send(order("e-1", "o", 1)).is("committed")
		b := c.start("b")[0]
		reads, waits := a, b
		if strings.Contains(c.owners(a), "#intake=b") {
			reads, waits = b, a
		}
		if st := waits.daemon.Status().Pipelines[0]; !st.Standby || st.Intake != reads.o.Instance {
			t.Errorf("who waits says %+v", st)
		}
		same(a, "metrics", [2]int{reads.counter("leat_intake_owner", "pipeline", "p"), waits.counter("leat_intake_owner", "pipeline", "p")}, [2]int{1, 0})
		same(a, "duties", [2]Duty{reads.daemon.Duties()[0], waits.daemon.Duties()[0]}, [2]Duty{
			{Pipeline: "p", Source: "feed", Owner: reads.o.Instance},
			{Pipeline: "p", Source: "feed", Owner: reads.o.Instance, Standby: true},
		})
		s := waits.feed().send(order("e-2", "o", 2))
		sleepFor(time.Hour)
		s.isNow("pending")
		if err := waits.daemon.Ready(); err != nil {
			t.Errorf("not ready: %v", err)
		}
		given := reads.log.count("given up to another replica") + waits.log.count("given up to another replica")
		reads.drain()
		reads.ok()
		s.is("committed") // by the one that took over
		waits.wait()      // and brought on its way: a drain leaves what relays have not begun to the next run
		waits.drain()
		waits.ok()
		same(a, "at the ends nobody says that another took over", reads.log.count("given up to another replica")+waits.log.count("given up to another replica"), given)
		same(waits, "delivered", c.sinks["a"].ids(), []string{"e-1", "e-2"})
	})
}

// TestFencedIntake: what was read under a lease that is another's by now is given back, and the place stays the other's.
func TestFencedIntake(t *testing.T) {
	for _, lanes := range []bool{false, true} {
		yaml := strings.Replace(pipelineOf(toA), "{ ordered: true }", "{ ordered: true, cursor: true, alone: true }", 1)
		if lanes {
			yaml = strings.Replace(yaml, "alone: true }", "alone: true }, order_by: data.order_id", 1)
			yaml = strings.Replace(yaml, "    source: { feed: { ordered: true, cursor: true, alone: true }, order_by: data.order_id }", "    source: { feed: { ordered: true, cursor: true, alone: true }, order_by: data.order_id }", 1)
		}
		together(t, yaml, func(c *crew) {
			a := c.start("a")[0]
			a.feed().send(order("e-1", "o", 1)).is("committed")
			sleepFor(2 * time.Second)
			same(a, "place", a.cursor(), "1")
			// Another has taken over, and a does not know.
			name := "p#intake"
			l := a.pipe().intake.held.now()
			if err := c.store.Release(context.Background(), l); err != nil {
				t.Fatal(err)
			}
			other, err := c.store.Acquire(context.Background(), name, "z", time.Minute)
			if err != nil || other.Epoch <= l.Epoch {
				t.Fatalf("%+v %v", other, err)
			}
			if err := c.store.Commit(context.Background(), []*eventstore.Unit{{Pipeline: "p", Cursor: &event.Cursor{Key: "feed", Value: "7"}}}, eventstore.CommitOptions{Fence: &other}); err != nil {
				t.Fatal(err)
			}
			s := a.feed().send(order("e-2", "o", 2))
			sleepFor(10 * time.Second)
			if lanes {
				s.isNow("committed") // its mark makes it a duplicate wherever it comes again
			} else {
				s.isNow("released")
				same(a, "log", a.logged(), []string{"order/o@1 OrderCreated e-1"})
			}
			same(a, "place", a.cursor(), "7")
			if err := a.daemon.Ready(); err != nil {
				t.Errorf("not ready: %v", err)
			}
			a.drain()
			a.ok()
			same(a, "place", a.cursor(), "7")
		})
	}
}

func TestRollingDeploy(t *testing.T) {
	together(t, pipelineOf(toA, toB, toOrders), func(c *crew) {
		old := c.start("old-1", "old-2")
		old[0].feed().send(order("e-1", "o", 1)).is("committed")
		sleepFor(time.Second)

		// One relay goes, one comes, one is changed; the table is built anew.
		c.yaml = pipelineOf("filter: data.amount > 0", toB, "{ from: start, forward: { catch: { name: c } } }", strings.Replace(toOrders, "data.amount", "data.amount * 10", 1)) +
			"tables: { orders: { version: 2 } }\n"
		now := c.start("new-1")[0]
		owners := c.owners(now)
		same(now, "the newest has all", owners, "b=new-1 c=new-1 orders=new-1")
		want := []string{"p/forward catch a 1 removed", "p/forward catch b 1", "p/forward catch c 1", "p/project orders 0"}
		same(now, "relays", now.relays(), want)
		if !old[0].log.has("newer definition of the pipeline") {
			t.Error("the old one does not say why it stands back")
		}
		if err := old[0].daemon.Ready(); err != nil {
			t.Errorf("the old one is not ready: %v", err)
		}
		// The old ones go on taking events in; the new one brings them to their targets.
		old[1].feed().send(order("e-2", "o", 2)).is("committed")
		sleepFor(time.Second)
		same(now, "a", c.sinks["a"].ids(), []string{"e-1"})
		same(now, "b", c.sinks["b"].ids(), []string{"e-1", "e-2"})
		same(now, "c", c.sinks["c"].ids(), []string{"e-1", "e-2"})
		same(now, "rows", now.rows("orders"), []string{"o 30"})

		// One of the old kind that is started again stands back too, although its table is of an older version by now.
		late := c.replica("old-3")
		late.load(pipelineOf(toA, toB, toOrders)).start()
		sleepFor(5 * time.Second)
		same(now, "owners", c.owners(now), owners)
		want[0] = "p/forward catch a 1 removed"
		same(now, "relays", now.relays()[:1], want[:1])
		for _, r := range append(old, late) {
			r.drain()
			r.ok()
		}
		now.drain()
		now.ok()
	})
}

// TestRollback: when the last of the newest is gone, those before it own the relays again.
func TestRollback(t *testing.T) {
	together(t, pipelineOf(toA), func(c *crew) {
		old := c.start("old")[0]
		c.yaml = pipelineOf(toA, toB)
		now := c.start("new")[0]
		same(now, "owners", c.owners(now), "a=new b=new")
		old.feed().send(order("e-1", "o", 1)).is("committed")
		now.drain()
		now.ok()
		sleepFor(5 * time.Second)
		same(old, "owners", c.owners(old), "a=old")
		same(old, "relays", old.relays(), []string{"p/forward catch a 1", "p/forward catch b 1 removed"})
		old.feed().send(order("e-2", "o", 2)).is("committed")
		sleepFor(time.Second)
		same(old, "a", c.sinks["a"].ids(), []string{"e-1", "e-2"})
		old.drain()
		old.ok()
	})
}

// TestChangedProjectionInADeploy: one that does not raise the version is refused with words, and the old ones go on.
func TestChangedProjectionInADeploy(t *testing.T) {
	together(t, pipelineOf(toOrders), func(c *crew) {
		old := c.start("old")[0]
		c.yaml = pipelineOf(strings.Replace(toOrders, "data.amount", "data.amount * 2", 1))
		var changed *table.ChangedError
		if err := c.replica("new").try(); !errors.As(err, &changed) || !strings.Contains(err.Error(), "raise `version`") {
			t.Errorf("the start says %v", err)
		}
		sleepFor(5 * time.Second)
		same(old, "owners", c.owners(old), "orders=old")
		old.feed().send(order("e-1", "o", 1)).is("committed")
		sleepFor(time.Second)
		same(old, "rows", old.rows("orders"), []string{"o 1"})
		old.drain()
		old.ok()
	})
}

// TestEndsTogether: two replicas whose inputs end, end when all is delivered, whoever does it.
func TestEndsTogether(t *testing.T) {
	together(t, fourSinks, func(c *crew) {
		both := c.start("a", "b")
		for i, r := range both {
			for j := range 10 {
				r.feed().send(order(fmt.Sprintf("e-%d-%d", i, j), "o", 1))
			}
			for _, f := range r.feeds {
				f.end()
			}
		}
		for _, r := range both {
			r.join()
			r.ok()
		}
		for _, name := range []string{"a", "b", "c"} {
			same(both[0], "sink "+name, len(c.sinks[name].ids()), 20)
		}
		same(both[0], "rows", both[0].rows("orders"), []string{"o 20"})
	})
}

// TestEndsBehindADeadReplica: a run whose input has ended takes up what was sent again also where the roster still shows
// the replica that died with the relay.
func TestEndsBehindADeadReplica(t *testing.T) {
	together(t, pipelineOf("forward: { catch: { name: a, in_part: true } }"), func(c *crew) {
		both := c.start("a", "b")
		dead, r := both[0], both[1]
		if c.owners(r) == "a=b" {
			dead, r = r, dead
		}
		dead.sink("a").refuse(only("e-1", event.Poison(errRefused)))
		r.feed().send(order("e-1", "o", 1), order("e-2", "o", 1)).is("committed committed")
		dead.wait()
		same(r, "parked", len(r.entries()), 2)
		severed(dead)
		dead.sink("a").failing(nil)
		if _, err := c.store.SetParked(t.Context(), poison.Filter{States: []poison.State{poison.Parked}}, poison.Retrying); err != nil {
			t.Fatal(err)
		}
		r.feed().end()
		r.join()
		r.ok()
		same(r, "parked", len(r.entries()), 0)
		ids := c.sinks["a"].ids() // the first may have gone out twice: the other cannot say what it delivers
		same(r, "mended", ids[max(0, len(ids)-2):], []string{"e-1", "e-2"})
		dead.store.breaks(nil, nil)
		dead.drain()
	})
}

// TestTakeOverOfABrokenSource: what a source lacks as it is taken over is waited for, and the pipeline goes on meanwhile.
func TestTakeOverOfABrokenSource(t *testing.T) {
	yaml := strings.Replace(pipelineOf(toA), "{ ordered: true }", "{ ordered: true, cursor: true, alone: true }", 1)
	together(t, yaml, func(c *crew) {
		a := c.start("a")[0]
		b := c.replica("b")
		b.o.OpenSource = func(_ context.Context, _ config.Plugin, env sources.Env) (sources.Source, error) {
			return brokenSource{b.feeds[env.Pipeline], &b.broken}, nil
		}
		b.broken.Store(true)
		b.start()
		a.feed().send(order("e-1", "o", 1)).is("committed")
		a.drain()
		a.ok()
		s := b.feed().send(order("e-2", "o", 2))
		sleepFor(10 * time.Second)
		s.isNow("pending")
		if err := b.daemon.Ready(); err == nil || !strings.Contains(err.Error(), "not there yet") {
			t.Errorf("b says that it is ready: %v", err)
		}
		b.broken.Store(false)
		s.is("committed")
		if err := b.daemon.Ready(); err != nil {
			t.Errorf("b is not ready: %v", err)
		}
		b.broken.Store(true)
		b.drain()
		b.ok()
	})
}

// brokenSource cannot be subscribed to while a test says so.
type brokenSource struct {
	*feed
	broken *atomic.Bool
}

func (s brokenSource) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	if s.broken.Load() {
		return nil, errors.New("not there yet")
	}
	return s.feed.Subscribe(ctx, topic)
}
