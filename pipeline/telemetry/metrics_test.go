package telemetry_test

import (
	"context"
	"errors"
	"io"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/telemetry"
)

func scrape(t *testing.T, m *telemetry.Metrics) string {
	t.Helper()
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	b, err := io.ReadAll(w.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func want(t *testing.T, page string, lines ...string) {
	t.Helper()
	for _, line := range lines {
		if !strings.Contains(page, line+"\n") {
			t.Errorf("the page lacks %q", line)
		}
	}
}

func TestPage(t *testing.T) {
	m := telemetry.NewMetrics("v1.2.3")
	p := m.Pipeline("orders")
	p.Received(10)
	p.Received(0)
	p.Settled(event.Committed, 6)
	p.Settled(event.Poisoned, 1)
	p.Poisoned("append", event.CodeStream, 1)
	p.InFlight(3, 300)
	p.WrongType("filter", 2)
	p.Retries("append", 1)
	p.Conflicts(4)
	p.Commit(3*time.Millisecond, 6)
	p.EndToEnd(-time.Second)
	p.State("starting")
	p.State("running")
	r := p.Relay("orders/to-bus", "forward", "bus x")
	r.Delivered(5)
	r.Filtered(1)
	r.Poisoned(event.CodeSink, 1)
	r.Retries(2)
	r.Outage(true)
	r.Position(90, 100)
	r.LagSeconds(1.5)
	r.Write(time.Second, 5)

	page := scrape(t, m)
	want(t, page,
		`leat_events_received_total{pipeline="orders"} 10`,
		`leat_events_settled_total{outcome="committed",pipeline="orders"} 6`,
		`leat_events_settled_total{outcome="duplicate",pipeline="orders"} 0`,
		`leat_events_poisoned_total{code="stream",component="append",pipeline="orders"} 1`,
		`leat_events_in_flight{pipeline="orders"} 3`,
		`leat_events_in_flight_bytes{pipeline="orders"} 300`,
		`leat_expression_wrong_type_total{component="filter",pipeline="orders"} 2`,
		`leat_retries_total{component="append",pipeline="orders"} 1`,
		`leat_append_conflicts_total{pipeline="orders"} 4`,
		`leat_append_duration_seconds_count{pipeline="orders"} 1`,
		`leat_end_to_end_seconds_sum{pipeline="orders"} 0`,
		`leat_pipeline_state{pipeline="orders",state="running"} 1`,
		`leat_relay_events_total{component="to-bus",kind="forward",outcome="delivered",pipeline="orders"} 5`,
		`leat_relay_events_total{component="to-bus",kind="forward",outcome="poisoned",pipeline="orders"} 1`,
		`leat_relay_poisoned_total{code="sink",component="to-bus",kind="forward",pipeline="orders"} 1`,
		`leat_relay_outage{component="to-bus",kind="forward",pipeline="orders"} 1`,
		`leat_relay_lag_events{component="to-bus",kind="forward",pipeline="orders"} 10`,
		`leat_relay_lag_seconds{component="to-bus",kind="forward",pipeline="orders"} 1.5`,
	)
	if strings.Contains(page, `state="starting"`) {
		t.Error("the state before is still on the page")
	}
	for _, name := range []string{"leat_build_info{", `version="v1.2.3"`, "go_goroutines", "process_resident_memory_bytes"} {
		if !strings.Contains(page, name) {
			t.Errorf("the page lacks %s", name)
		}
	}
	p.Relay("orders/project totals", "project", "totals").Delivered(1)
	want(t, scrape(t, m), `leat_relay_events_total{component="totals",kind="project",outcome="delivered",pipeline="orders"} 1`)
	r.Outage(false)
	want(t, scrape(t, m), `leat_relay_outage{component="to-bus",kind="forward",pipeline="orders"} 0`)
}

func TestNilDoesNothing(t *testing.T) {
	var m *telemetry.Metrics
	p := m.Pipeline("x")
	p.Received(1)
	p.Settled(event.Committed, 1)
	p.Poisoned("a", "b", 1)
	p.InFlight(1, 1)
	p.WrongType("a", 1)
	p.Retries("a", 1)
	p.Conflicts(1)
	p.Commit(1, 1)
	p.EndToEnd(1)
	p.State("a")
	r := p.Relay("a", "b", "c")
	r.Delivered(1)
	r.Filtered(1)
	r.Poisoned("a", 1)
	r.Retries(1)
	r.Outage(true)
	r.Position(1, 2)
	r.LagSeconds(1)
	r.Write(1, 1)
	m.WatchStore("a", nil)()
	if totals := m.Totals(); len(totals) != 0 {
		t.Errorf("Totals() = %v", totals)
	}
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	if w.Code != 404 {
		t.Errorf("status %d", w.Code)
	}
}

func TestConserved(t *testing.T) {
	m := telemetry.NewMetrics("")
	p := m.Pipeline("orders")
	p.Received(6)
	for _, o := range event.Outcomes() {
		p.Settled(o, 1)
	}
	if err := m.Conserved(); err != nil {
		t.Error(err)
	}
	p.Received(5)
	p.Settled(event.Released, 1)
	p.Settled(event.Pending, 1) // none yet: does not count
	p.InFlight(3, 0)
	err := m.Conserved()
	if err == nil || !strings.Contains(err.Error(), "orders: 1 missing: 11 received = ") {
		t.Errorf("Conserved() = %v", err)
	}
	p.Settled(event.Filtered, 1)
	if err := m.Conserved(); err != nil {
		t.Error(err)
	}
}

func TestWatchStore(t *testing.T) {
	m := telemetry.NewMetrics("")
	var fail error
	remove := m.WatchStore("main", func(ctx context.Context) (int64, map[string]telemetry.Parked, error) {
		if _, bounded := ctx.Deadline(); !bounded {
			t.Error("the scrape has no deadline")
		}
		return 42, map[string]telemetry.Parked{
			"orders": {Events: 2, Oldest: time.Unix(1700000000, 0)}, "quiet": {},
		}, fail
	})
	page := scrape(t, m)
	want(t, page, `leat_store_head_position{component="main"} 42`, `leat_store_up{component="main"} 1`,
		`leat_poison_events{component="main",pipeline="orders"} 2`, `leat_poison_events{component="main",pipeline="quiet"} 0`,
		`leat_poison_oldest_timestamp_seconds{component="main",pipeline="orders"} 1.7e+09`)
	if strings.Contains(page, `oldest_timestamp_seconds{component="main",pipeline="quiet"`) {
		t.Error("a pipeline with nothing parked has an oldest entry")
	}
	fail = errors.New("down")
	page = scrape(t, m)
	want(t, page, `leat_store_up{component="main"} 0`)
	if strings.Contains(page, "leat_store_head_position{") {
		t.Error("a store that is down has a head")
	}
	remove()
	if strings.Contains(scrape(t, m), "leat_store_up{") {
		t.Error("a store that is no longer watched is on the page")
	}
}

func BenchmarkPipeline(b *testing.B) {
	p := telemetry.NewMetrics("").Pipeline("orders")
	b.ReportAllocs()
	for b.Loop() {
		p.Received(100)
		p.Settled(event.Committed, 100)
		p.InFlight(1, 2)
		p.Commit(time.Millisecond, 100)
	}
}
