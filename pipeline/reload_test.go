package pipeline

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/pipeline/control"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/sources"
)

const two = `
pipelines:
  a:
    source: { feed: {} }
    steps:
      - filter: data.amount > 1
      - append: { stream: "a/{{ data.order_id }}" }
      - project: { table: a, key: { id: data.order_id }, add: { total: data.amount } }
  b:
    source: { feed: {} }
    steps:
      - append: { stream: "b/{{ data.order_id }}" }
      - forward: { catch: { name: out } }
`

// reload gives the daemon another configuration.
func (r *rig) reload(yaml string) (control.Reloaded, error) {
	r.Helper()
	r.load(yaml)
	for _, p := range r.cfg.Pipelines {
		if c, ok := p.Source.Plugin.Config.(feedConfig); ok && r.feeds[p.Name] == nil {
			r.feeds[p.Name] = newFeed(r.T, c)
		}
	}
	got, err := r.daemon.Reload(context.Background(), r.cfg)
	r.wait()
	return got, err
}

func (r *rig) pipeNow(name string) *pipe {
	r.Helper()
	x, err := r.daemon.postOf(name)
	if err != nil {
		r.Fatal(err)
	}
	return x.pipe
}

func TestReloadTouchesNothingElse(t *testing.T) {
	run(t, two, func(r *rig) {
		r.start()
		b := r.pipeNow("b")
		router := b.started
		r.feeds["a"].send(order("e-1", "o", 1), order("e-2", "o", 2)).is("filtered committed")
		// b's sink hangs with an event in hand: a reload that waited for it, or cancelled it, would show.
		release := make(chan struct{})
		r.sink("out").failing(func(ctx context.Context, _ []event.Recorded) error {
			select {
			case <-release:
				return nil
			case <-ctx.Done():
				t.Error("b was cancelled")
				return ctx.Err()
			}
		})
		r.feeds["b"].send(order("e-3", "o", 3)).is("committed")
		r.wait()
		got, err := r.reload(strings.Replace(two, "amount > 1", "amount > 0", 1))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(control.Reloaded{Changed: []string{"a"}, Unchanged: []string{"b"}}, got); diff != "" {
			t.Errorf("reloaded (-want +got):\n%s", diff)
		}
		if r.pipeNow("b") != b || b.started != router {
			t.Error("b is another pipe")
		}
		close(release)
		r.feeds["a"].send(order("e-4", "o", 1)).is("committed")
		r.feeds["b"].send(order("e-5", "o", 5)).is("committed")
		r.wait()
		same(r, "rows of a", r.rows("a"), []string{"o 3"})
		same(r, "b delivered", r.sink("out").ids(), []string{"e-3", "e-5"})
		s := r.daemon.Summary()
		same(r, "a counts on", [3]int64{s.Pipelines[0].Received, s.Pipelines[0].Committed, s.Pipelines[0].Projected}, [3]int64{3, 2, 2})
		c := r.daemon.Status().Config
		same(r, "reloads", [2]int64{c.Reloads, c.Failed}, [2]int64{1, 0})
		same(r, "hash", r.counter("leat_config_info", "hash", hashOf(r.cfg)), 1)
		r.drain()
		r.ok()
	})
}

func TestReloadAddsAndRemoves(t *testing.T) {
	run(t, two, func(r *rig) {
		r.start()
		r.feeds["b"].send(order("e-1", "o", 1)).is("committed")
		r.wait()
		got, err := r.reload(strings.ReplaceAll(two, "  b:\n", "  c:\n"))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(control.Reloaded{Added: []string{"c"}, Removed: []string{"b"}, Unchanged: []string{"a"}}, got); diff != "" {
			t.Errorf("reloaded (-want +got):\n%s", diff)
		}
		r.feeds["c"].send(order("e-2", "o", 2)).is("committed")
		r.wait()
		same(r, "log", r.logged(), []string{"b/o@1 OrderCreated e-1", "b/o@2 OrderCreated e-2"})
		same(r, "delivered", r.sink("out").ids(), []string{"e-1", "e-2"})
		var names []string
		for _, p := range r.daemon.Status().Pipelines {
			names = append(names, p.Name+" "+p.State)
		}
		same(r, "status", names, []string{"a running", "c running"})
		r.finish()
		r.ok()
	})
}

// TestReloadOfTables: a table, a fragment or a default is part of the pipelines that use it.
func TestReloadOfWhatIsShared(t *testing.T) {
	for what, change := range map[string]func(string) string{
		"table": func(s string) string {
			return s + "\ntables: { a: { columns: { id: text, total: numeric }, version: 2 } }\n"
		},
		"defaults": func(s string) string { return s + "\ndefaults: { retry: { attempts: 9 } }\n" },
		"fragment": func(s string) string {
			return strings.Replace(s, "- filter: data.amount > 1", "- use: big", 1) + "\nfragments: { big: [ { filter: data.amount > 2 } ] }\n"
		},
	} {
		t.Run(what, func(t *testing.T) {
			run(t, two, func(r *rig) {
				r.start()
				r.feeds["a"].send(order("e-1", "o", 3)).is("committed")
				r.wait()
				got, err := r.reload(change(two))
				if err != nil {
					t.Fatal(err)
				}
				want := []string{"a"}
				if what == "defaults" {
					want = []string{"a", "b"}
				}
				same(r, "changed", got.Changed, want)
				r.feeds["a"].send(order("e-2", "o", 4)).is("committed")
				r.wait()
				same(r, "rows", r.rows("a"), []string{"o 7"})
				r.finish()
				r.ok()
			})
		})
	}
}

// TestReloadOfSomethingBroken: what cannot be opened leaves what ran before.
func TestReloadOfSomethingBroken(t *testing.T) {
	run(t, two, func(r *rig) {
		r.start()
		was := r.cfg
		r.feeds["a"].send(order("e-1", "o", 2)).is("committed")
		r.wait()
		// The projection means something else under the same version.
		_, err := r.reload(strings.Replace(two, "total: data.amount", "total: data.amount * 2", 1))
		if err == nil || !strings.Contains(err.Error(), "raise `version`") {
			t.Fatalf("a changed projection: %v", err)
		}
		r.feeds["a"].send(order("e-2", "o", 3)).is("committed")
		r.wait()
		same(r, "rows as before", r.rows("a"), []string{"o 5"})
		if err := r.daemon.Ready(); err != nil {
			t.Errorf("not ready: %v", err)
		}
		c := r.daemon.Status().Config
		if c.Failed != 1 || c.Reloads != 0 || !strings.Contains(c.Error, "version") || c.Hash != hashOf(was) {
			t.Errorf("status %+v", c)
		}
		if !r.log.has("not reloaded") {
			t.Error("the log says nothing")
		}
		if _, err := r.reload(strings.Replace(two, "amount > 1", "amount > 0", 1)); err != nil {
			t.Fatal(err)
		}
		same(r, "mended", r.daemon.Status().Config.Error, "")
		r.finish()
		r.ok()
	})
}

// TestReloadRestartsWhatFailed: a pipeline that failed starts again with the next reload.
func TestReloadRestartsWhatFailed(t *testing.T) {
	run(t, two, func(r *rig) {
		broken := errors.New("no such queue")
		r.o.OpenSource = func(_ context.Context, _ config.Plugin, env sources.Env) (sources.Source, error) {
			if env.Pipeline == "c" && broken != nil {
				return nil, broken
			}
			return r.feeds[env.Pipeline], nil
		}
		r.start()
		with := two + strings.Replace(two[strings.Index(two, "  b:"):], "  b:", "  c:", 1)
		if _, err := r.reload(with); !errors.Is(err, broken) {
			t.Fatalf("%v", err)
		}
		if err := r.daemon.Ready(); err == nil || !strings.Contains(err.Error(), "c") {
			t.Errorf("ready without c: %v", err)
		}
		broken = nil
		if _, err := r.reload(with); err != nil {
			t.Fatal(err)
		}
		r.feeds["c"].send(order("e-1", "o", 1)).is("committed")
		if err := r.daemon.Ready(); err != nil {
			t.Error(err)
		}
		r.finish()
		r.ok()
	})
}

func TestReloadNeedsARestart(t *testing.T) {
	run(t, two, func(r *rig) {
		r.start()
		got, err := r.reload(two + "\nserver: { listen: 127.0.0.1:9999 }\n")
		if err != nil {
			t.Fatal(err)
		}
		same(r, "pending", got.Pending, []string{"server"})
		same(r, "in the status", r.daemon.Status().Config.Pending, []string{"server"})
		if len(got.Changed) > 0 {
			t.Errorf("changed %q", got.Changed)
		}
		r.finish()
		r.ok()
	})
}

func TestReloadAfterTheStop(t *testing.T) {
	run(t, two, func(r *rig) {
		r.start()
		r.drain()
		if _, err := r.reload(two); err == nil {
			t.Error("a daemon that has stopped was reloaded")
		}
	})
}

// TestReloadAfterTheEnd: with Stay an input that has ended is not the end.
func TestReloadAfterTheEnd(t *testing.T) {
	run(t, two, func(r *rig) {
		r.o.Stay = true
		r.start()
		r.feeds["a"].end()
		r.feeds["b"].end()
		sleepFor(time.Minute)
		r.feeds["a"] = newFeed(r.T, feedConfig{})
		if _, err := r.reload(strings.Replace(two, "amount > 1", "amount > 0", 1)); err != nil {
			t.Fatal(err)
		}
		r.feeds["a"].send(order("e-1", "o", 1)).is("committed")
		r.drain()
		r.ok()
	})
}

// mux is a listener.
type mux struct{ handlers map[string]http.Handler }

func (m *mux) Mount(pattern string, h http.Handler) (func(), error) {
	if m.handlers[pattern] != nil {
		return nil, errors.New("taken")
	}
	m.handlers[pattern] = h
	return func() { delete(m.handlers, pattern) }, nil
}

func (m *mux) status(pattern string) int {
	h := m.handlers[pattern]
	if h == nil {
		return http.StatusNotFound
	}
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, httptest.NewRequest(http.MethodPost, "/", nil))
	return rec.Code
}

// mounted is a feed with a place on the listener while it is open.
type mounted struct {
	*feed
	remove func()
}

func (m *mounted) Close() error { m.remove(); return m.feed.Close() }

// TestReloadKeepsTheListener: between two pipelines at one post the listener answers 503, and a path that the new one
// does not have is gone.
func TestReloadKeepsTheListener(t *testing.T) {
	run(t, two, func(r *rig) {
		m := &mux{handlers: map[string]http.Handler{}}
		r.o.Mux = m
		path := "POST /in"
		var between []int
		r.o.OpenSource = func(_ context.Context, _ config.Plugin, env sources.Env) (sources.Source, error) {
			f := r.feeds[env.Pipeline]
			if env.Pipeline != "a" {
				return f, nil
			}
			between = append(between, m.status("POST /in"))
			remove, err := env.Mount(path, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusAccepted) }))
			return &mounted{f, remove}, err
		}
		r.start()
		same(r, "running", m.status("POST /in"), http.StatusAccepted)
		if _, err := r.reload(strings.Replace(two, "amount > 1", "amount > 0", 1)); err != nil {
			t.Fatal(err)
		}
		same(r, "before the first, and between the two", between, []int{404, 503})
		same(r, "the new one", m.status("POST /in"), http.StatusAccepted)
		path = "POST /elsewhere"
		if _, err := r.reload(two); err != nil {
			t.Fatal(err)
		}
		same(r, "moved", [2]int{m.status("POST /in"), m.status("POST /elsewhere")}, [2]int{404, 202})
		if _, err := r.reload("pipelines:\n" + two[strings.Index(two, "  b:"):]); err != nil {
			t.Fatal(err)
		}
		same(r, "removed", len(m.handlers), 0)
		r.finish()
		r.ok()
	})
}

func TestPause(t *testing.T) {
	run(t, two, func(r *rig) {
		r.start()
		p := func(a control.Pause) {
			t.Helper()
			if err := r.daemon.Pause(context.Background(), a); err != nil {
				t.Fatal(err)
			}
			r.wait()
		}
		state := func() string {
			s := r.daemon.Status().Pipelines[1]
			return strings.TrimSpace(s.State + " " + s.Paused)
		}
		r.feeds["b"].send(order("e-1", "o", 1)).is("committed")
		r.wait()
		p(control.Pause{Pipeline: "b"})
		same(r, "state", state(), "paused pipeline")
		waits := r.feeds["b"].send(order("e-2", "o", 2))
		sleepFor(time.Minute)
		waits.isNow("pending")
		if err := r.daemon.Ready(); err != nil {
			t.Errorf("a pipeline that is paused on purpose is no fault: %v", err)
		}
		same(r, "metric", r.counter("leat_pipeline_paused", "part", "pipeline"), 1)
		r.feeds["a"].send(order("e-9", "o", 2)).is("committed")

		// It stays paused over a restart.
		r.drain()
		r.ok()
		r.start()
		same(r, "after a restart", state(), "paused pipeline")
		waits = r.feeds["b"].send(order("e-2", "o", 2))
		sleepFor(time.Minute)
		waits.isNow("pending")
		p(control.Pause{Pipeline: "b", Resume: true})
		same(r, "resumed", state(), "running")
		waits.is("committed")
		r.wait()
		same(r, "delivered", r.sink("out").ids(), []string{"e-1", "e-2"})
		same(r, "metric", r.counter("leat_pipeline_paused", "part", "pipeline"), 0)
		r.finish()
		r.ok()
	})
}

func TestPauseOfTheIntake(t *testing.T) {
	run(t, two, func(r *rig) {
		r.start()
		r.sink("out").refuseCall("e-1", event.Unavailable(0, errRefused))
		r.feeds["b"].send(order("e-1", "o", 1)).is("committed")
		r.wait()
		if err := r.daemon.Pause(context.Background(), control.Pause{Pipeline: "b", Intake: true}); err != nil {
			t.Fatal(err)
		}
		waits := r.feeds["b"].send(order("e-2", "o", 2))
		sleepFor(time.Minute)
		waits.isNow("pending")
		r.sink("out").failing(nil)
		sleepFor(2 * time.Minute)
		same(r, "the relay goes on", r.sink("out").ids(), []string{"e-1"})
		for _, a := range []control.Pause{{Pipeline: "b", Intake: true}, {Pipeline: "b"}, {Pipeline: "b"}} {
			if err := r.daemon.Pause(context.Background(), a); err != nil {
				t.Errorf("%+v: %v", a, err)
			}
		}
		for _, a := range []control.Pause{{Pipeline: "b", Intake: true}, {Pipeline: "b", Intake: true, Resume: true}} {
			var refused *control.RefusedError
			if err := r.daemon.Pause(context.Background(), a); !errors.As(err, &refused) {
				t.Errorf("%+v of a pipeline that is paused: %v", a, err)
			}
		}
		if err := r.daemon.Pause(context.Background(), control.Pause{Pipeline: "b", Resume: true}); err != nil {
			t.Fatal(err)
		}
		waits.is("committed")
		r.finish()
		r.ok()
		same(r, "delivered", r.sink("out").ids(), []string{"e-1", "e-2"})
	})
}

func TestPauseOfARelay(t *testing.T) {
	run(t, two, func(r *rig) {
		r.start()
		pause := control.Pause{Pipeline: "b", Relay: "catch out"}
		pause.Relay = r.pipeNow("b").relays[0].plan.name
		if err := r.daemon.Pause(context.Background(), pause); err != nil {
			t.Fatal(err)
		}
		r.feeds["b"].send(order("e-1", "o", 1)).is("committed")
		sleepFor(time.Minute)
		same(r, "paused", len(r.sink("out").ids()), 0)
		same(r, "status", r.daemon.Status().Pipelines[1].Relays[0].Paused, true)
		r.drain()
		r.ok()
		r.start()
		sleepFor(time.Minute)
		same(r, "after a restart", len(r.sink("out").ids()), 0)
		same(r, "metric", r.counter("leat_relay_paused", "pipeline", "b"), 1)
		pause.Resume = true
		if err := r.daemon.Pause(context.Background(), pause); err != nil {
			t.Fatal(err)
		}
		r.wait()
		same(r, "resumed", r.sink("out").ids(), []string{"e-1"})
		r.finish()
		r.ok()
	})
}

func TestPauseOfWhatIsNotThere(t *testing.T) {
	run(t, two, func(r *rig) {
		r.start()
		for _, a := range []control.Pause{{Pipeline: "bb"}, {Pipeline: "b", Relay: "no"}} {
			var unknown *control.UnknownError
			if err := r.daemon.Pause(context.Background(), a); !errors.As(err, &unknown) || len(unknown.Have) == 0 {
				t.Errorf("%+v: %v", a, err)
			}
		}
		if !strings.Contains((&control.UnknownError{Kind: "pipeline", Name: "orderz", Have: []string{"orders"}}).Error(), `did you mean "orders"?`) {
			t.Error("no name is proposed")
		}
		r.finish()
		r.ok()
	})
}
