package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/leatdev/leat/pipeline"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/eventstore/postgres"
	"github.com/leatdev/leat/pipeline/eventstore/postgres/pgtest"
	"github.com/leatdev/leat/pipeline/poison"
	"github.com/leatdev/leat/pipeline/table"
)

// shared is what each replica runs: a file and a schedule, which one of them reads, and a bus of its own; all write one
// log, whose tables and forwards they share.
const shared = `
server: { listen: "${ADDR}" }
stores: { main: { postgres: { dsn: "${DSN}" } } }
defaults: { lease: 2s }
pipelines:
  files:
    source: { file: { path: in.ndjson, follow: true } }
    steps:
      - filter: data.amount > 100
      - append: { stream: "order/{{ data.order_id }}" }
      - project: { table: totals, key: { order_id: data.order_id }, add: { total: data.amount, n: 1 } }
      - { name: out, from: start, shards: 3, forward: { http: { url: "${HOOK}/files", allow_private: true } } }
  bus:
    source: { put_events: {} }
    steps:
      - append: { stream: "ping/{{ data.key }}" }
      - project: { table: pings, key: { key: data.key }, add: { n: 1 } }
      - project: { table: counted, inline: true, key: { key: data.key }, add: { n: 1 } }
      - { name: out, from: start, forward: { http: { url: "${HOOK}/bus", allow_private: true } } }
  ticks:
    source: { schedule: { cron: "@every 1s", missed: all } }
    steps:
      - append: { stream: tick/all }
`

// fleet is three replicas on one PostgreSQL, under load.
type fleet struct {
	*testing.T
	dir, dsn string
	server   *pgtest.Server
	hook     *receiver
	addrs    [3]string
	replicas [3]*child
	buses    [3]publisher
	lines    int
	stop     context.CancelFunc
	done     sync.WaitGroup
	store    *postgres.Store // for reading
}

// receiver is what the forwards post to. It notes when each event came first.
type receiver struct {
	*httptest.Server
	mu    sync.Mutex
	first map[string][]string // path → ids in the order of their first delivery
	seen  map[string]int      // how often, by path and id
	got   int
}

func newReceiver(t *testing.T) *receiver {
	r := &receiver{first: map[string][]string{}, seen: map[string]int{}}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		var events []struct{ ID string }
		body, err := io.ReadAll(req.Body)
		if err != nil {
			return // the sender was killed: it has no answer, nor have we the events
		}
		if err := json.Unmarshal(body, &events); err != nil {
			t.Errorf("%s: %v", req.URL, err)
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		for _, e := range events {
			r.got++
			if r.seen[req.URL.Path+e.ID]++; r.seen[req.URL.Path+e.ID] == 1 {
				r.first[req.URL.Path] = append(r.first[req.URL.Path], e.ID)
			}
		}
	}))
	t.Cleanup(r.Close)
	return r
}

func startFleet(t *testing.T) *fleet {
	f := &fleet{T: t, dir: t.TempDir(), server: pgtest.New(t), hook: newReceiver(t)}
	f.dsn = f.server.DSN() + "&application_name=fleet"
	write(t, f.dir, "pipeline.yaml", shared)
	write(t, f.dir, "in.ndjson", "")
	for i := range f.replicas {
		f.addrs[i] = freePort(t)
		f.buses[i] = publisher{addr: f.addrs[i], acked: map[string]string{}}
		f.start(i)
	}
	var err error
	if f.store, err = postgres.Open(t.Context(), postgres.Config{DSN: f.server.DSN(), ReadOnly: true, Connections: 2}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.store.Close() })
	var ctx context.Context
	ctx, f.stop = context.WithCancel(context.Background())
	f.done.Go(func() { f.grow(ctx) })
	for i := range f.buses {
		f.done.Go(func() { f.buses[i].send(ctx, i) })
	}
	t.Cleanup(func() { f.stop(); f.done.Wait() })
	return f
}

// start starts a replica and waits until it takes events.
func (f *fleet) start(i int) {
	f.Helper()
	env := []string{"ADDR=" + f.addrs[i], "DSN=" + f.dsn, "HOOK=" + f.hook.URL}
	f.replicas[i] = startLeat(f, f.dir, env, "run", "pipeline.yaml", "--log-format", "json")
	if !f.replicas[i].ready(f, f.addrs[i]) {
		f.Fatalf("leat ended by itself:\n%s", clip(f.replicas[i].stderr.String()))
	}
}

func (f *fleet) grow(ctx context.Context) {
	in, err := os.OpenFile(filepath.Join(f.dir, "in.ndjson"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		f.Error(err)
		return
	}
	defer in.Close()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for ctx.Err() == nil {
		var out []byte
		for range 40 {
			f.lines++
			out = fmt.Appendf(out, `{"id":"f%d","source":"fleet","detail-type":"Order","detail":{"order_id":"o%d","amount":%d}}`+"\n", f.lines, f.lines%37, f.lines%400)
		}
		if _, err := in.Write(out); err != nil {
			f.Error(err)
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}

// head gives the log's end, 0 while the database is away.
func (f *fleet) head() int64 {
	h, err := f.store.Head(f.Context())
	if err != nil {
		return 0
	}
	return h.Position
}

// progress waits until the log has grown and what the hook has got too: whatever happened, somebody goes on.
func (f *fleet) progress(what string) {
	f.Helper()
	got := func() int {
		f.hook.mu.Lock()
		defer f.hook.mu.Unlock()
		return len(f.hook.first["/files"])
	}
	begun := time.Now()
	at, delivered := f.head(), got()
	for at == 0 && time.Since(begun) < time.Minute { // the database is on its way back
		time.Sleep(20 * time.Millisecond)
		at = f.head()
	}
	for f.head() < at+500 || got() < delivered+100 {
		if time.Since(begun) > 2*time.Minute {
			f.tell()
			f.Fatalf("%s: nothing goes on: the log from %d to %d, delivered from %d to %d", what, at, f.head(), delivered, got())
		}
		time.Sleep(20 * time.Millisecond) // other processes: there is nothing but asking
	}
	f.Logf("%s: %.1f s until it went on", what, time.Since(begun).Seconds())
}

// tell logs what the replicas say of themselves.
func (f *fleet) tell() {
	for i := range f.replicas {
		out := f.replicas[i].stderr.String()
		_, status := get("http://" + f.addrs[i] + "/api/v1/status")
		f.Logf("replica %d:\n%s\n%s", i, out[max(0, len(out)-4000):], status)
	}
}

func (f *fleet) signal(i int, s syscall.Signal) {
	f.Helper()
	if err := f.replicas[i].cmd.Process.Signal(s); err != nil {
		f.Fatal(err)
	}
}

// turns gives how many disturbances a test makes: few in CI, LEAT_TEST_KILLS for more.
func turns(few int) int {
	if n, err := strconv.Atoi(os.Getenv("LEAT_TEST_KILLS")); err == nil {
		return n
	}
	if testing.Short() {
		return 1
	}
	return few
}

// faults gives the kinds of disturbances that a test makes in turn: all, or the one that LEAT_TEST_FAULT names, where the
// test knows it.
func faults(t *testing.T, all ...string) []string {
	only := os.Getenv("LEAT_TEST_FAULT")
	if only == "" {
		return all
	}
	if !slices.Contains(all, only) {
		t.Skipf("LEAT_TEST_FAULT is %s; this test knows %s", only, strings.Join(all, ", "))
	}
	return []string{only}
}

// TestReplicas kills, pauses and stops three replicas in turn, under load.
func TestReplicas(t *testing.T) {
	kinds := faults(t, "kill", "pause", "kill", "stop")
	f := startFleet(t)
	f.progress("start")
	for n := range turns(4) {
		i := n % len(f.replicas)
		switch kinds[n%len(kinds)] {
		case "kill":
			f.replicas[i].kill()
			f.progress(fmt.Sprintf("kill %d", i))
			f.start(i)
		case "pause":
			f.signal(i, syscall.SIGSTOP)
			time.Sleep(time.Duration(1500+rand.IntN(3000)) * time.Millisecond) // shorter and longer than a lease: the pause is the point
			f.progress(fmt.Sprintf("pause %d", i))
			f.signal(i, syscall.SIGCONT)
			f.progress(fmt.Sprintf("wake %d", i))
		case "stop":
			terminate(t, f.replicas[i])
			f.progress(fmt.Sprintf("stop %d", i))
			f.start(i)
		}
	}
	f.finish()
}

// TestDatabaseFaults ends the sessions of three replicas, and stops the server as a crash does, under load.
func TestDatabaseFaults(t *testing.T) {
	kinds := faults(t, "sessions", "sessions", "sessions", "server")
	f := startFleet(t)
	f.progress("start")
	for n := range turns(4) {
		if kinds[n%len(kinds)] == "server" {
			f.server.Stop(true)
			time.Sleep(time.Duration(rand.IntN(500)) * time.Millisecond) // how long it is away is the point
			if err := f.server.Start(); err != nil {
				t.Fatal(err)
			}
			f.progress("restart of the server")
			continue
		}
		f.server.Exec(t, "", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'fleet'")
		f.progress("end of all sessions")
	}
	f.finish()
}

// finish ends the load, lets the replicas work off what is there, stops them, and checks what is left behind.
func (f *fleet) finish() {
	f.Helper()
	f.stop()
	f.done.Wait()
	deadline := time.Now().Add(60 * time.Second)
	for left := "?"; left != ""; {
		if left = f.unsettled(); left != "" && time.Now().After(deadline) {
			f.tell()
			f.Fatalf("not worked off: %s", left)
		}
		time.Sleep(50 * time.Millisecond) // other processes: there is nothing but asking
	}
	for i, c := range f.replicas {
		_, metrics := get("http://" + f.addrs[i] + "/metrics")
		for _, p := range []string{"files", "bus", "ticks"} {
			label := fmt.Sprintf("pipeline=%q", p)
			received, settled := sum(f, metrics, "leat_events_received_total", label), 0.0
			if strings.Contains(metrics, "leat_events_settled_total{") {
				settled = total(metrics, "leat_events_settled_total", label)
			}
			if flight := sum(f, metrics, "leat_events_in_flight", label); received != settled+flight {
				f.Errorf("replica %d, %s: received %v, settled %v, in flight %v", i, p, received, settled, flight)
			}
		}
		terminate(f, c)
	}
	f.check()
}

// total is sum where there may be no sample.
func total(metrics, name string, label string) (n float64) {
	for _, m := range sample.FindAllStringSubmatch(metrics, -1) {
		if m[1] == name && strings.Contains(m[2], label) {
			v, _ := strconv.ParseFloat(m[3], 64)
			n += v
		}
	}
	return n
}

// unsettled says what is still to be done, "" where nothing is: the file's last line is in the log, each relay is at its
// end, and somebody owns each.
func (f *fleet) unsettled() string {
	last := f.lines
	for last%400 <= 100 {
		last--
	}
	found := false
	stream := event.Stream{Type: "order", ID: "o" + strconv.Itoa(last%37)}
	for e, err := range f.store.ReadStream(f.Context(), stream, eventstore.ReadOptions{Backwards: true, Max: 1}) {
		found = err == nil && e.ID == "f"+strconv.Itoa(last)
	}
	if !found {
		return fmt.Sprintf("line %d is not in the log", last)
	}
	// What a client gave up waiting for may still be under way, and is in the log a moment later.
	for i := range f.replicas {
		for _, p := range f.status(i).Pipelines {
			if p.Name != "ticks" && p.Flight > 0 {
				return fmt.Sprintf("replica %d has %d events of %s in hand", i, p.Flight, p.Name)
			}
		}
	}
	code, body := get("http://" + f.addrs[0] + "/api/v1/status")
	var status pipeline.Status
	if err := json.Unmarshal([]byte(body), &status); code != http.StatusOK || err != nil {
		return fmt.Sprintf("%d %v", code, err)
	}
	for _, p := range status.Pipelines {
		var at int64 // of the pipeline's last event: ticks go on
		for e, err := range f.store.ReadAll(f.Context(), eventstore.ReadOptions{Backwards: true, Max: 1, Filter: eventstore.Filter{Origins: []string{p.Name}}}) {
			if err != nil {
				return err.Error()
			}
			at = e.Position
		}
		for _, r := range p.Relays {
			if r.Owner == "" || r.Position < at {
				return fmt.Sprintf("%s at %d of %d, owned by %q", r.ID, r.Position, at, r.Owner)
			}
		}
	}
	return ""
}

// check is the oracle: the promises of the design, from what is left behind.
func (f *fleet) check() {
	f.Helper()
	ctx := f.Context()
	v, err := f.store.Verify(ctx, func(x eventstore.Fault) { f.Errorf("store: %s at %d: %s", x.Stream, x.Position, x.What) })
	if err != nil || v.Faults > 0 {
		f.Errorf("verify: %+v, %v", v, err)
	}
	if n, _, err := f.store.CountParked(ctx, poison.Filter{}); err != nil || n != 0 {
		f.Errorf("%d events are poisoned, %v", n, err)
	}
	byPath := map[string][]event.Recorded{}
	ids, notes := map[string]int{}, map[string]int{}
	totals, pings := map[string]string{}, map[string]string{}
	sums, counts := map[string][2]int64{}, map[string]int64{}
	ticks := map[time.Time]int{}
	for e, err := range f.store.ReadAll(ctx, eventstore.ReadOptions{}) {
		if err != nil {
			f.Fatal(err)
		}
		ids[e.ID]++
		var d struct {
			Note, Key string
			OrderID   string `json:"order_id"`
			Amount    int64
		}
		if err := json.Unmarshal(e.Data, &d); err != nil {
			f.Fatal(err)
		}
		switch e.Stream.Type {
		case "tick":
			ticks[e.Time]++
		case "ping":
			notes[d.Note]++
			counts[d.Key]++
			pings[d.Key] = fmt.Sprint(counts[d.Key])
			byPath["/bus"] = append(byPath["/bus"], *e)
		default:
			s := sums[d.OrderID]
			sums[d.OrderID] = [2]int64{s[0] + d.Amount, s[1] + 1}
			totals[d.OrderID] = fmt.Sprint(sums[d.OrderID][0], " ", sums[d.OrderID][1])
			byPath["/files"] = append(byPath["/files"], *e)
		}
	}
	for id, n := range ids {
		if n > 1 {
			f.Errorf("event %s is in the log %d times", id, n)
		}
	}
	for at, n := range ticks {
		if n > 1 {
			f.Errorf("the tick of %s is in the log %d times", at, n)
		}
	}
	want := 0
	for i := 1; i <= f.lines; i++ {
		if i%400 > 100 {
			want++
			if ids["f"+strconv.Itoa(i)] == 0 {
				f.Errorf("line %d of the file is not in the log", i)
			}
		}
	}
	acked := 0
	for i := range f.buses {
		acked += f.buses[i].count()
		for note := range f.buses[i].acked {
			if notes[note] != 1 {
				f.Errorf("acknowledged %s is in the log %d times", note, notes[note])
			}
		}
		if f.buses[i].count() == 0 {
			f.Errorf("replica %d took nothing in: the test shows nothing", i)
		}
	}
	f.Logf("%d events in the log: %d from the file, %d acknowledged on the buses, %d ticks; %d deliveries", v.Events, want, acked, len(ticks), f.hook.got)
	f.rows("totals", "order_id", []string{"total", "n"}, totals)
	f.rows("pings", "key", []string{"n"}, pings)
	f.rows("counted", "key", []string{"n"}, pings)
	for path, log := range byPath {
		f.inOrder(path, log)
	}
}

// rows compares a table with the fold of the log.
func (f *fleet) rows(name, key string, columns []string, want map[string]string) {
	f.Helper()
	def, rows, err := f.store.Tables().Query(f.Context(), table.Query{Table: name})
	if err != nil {
		f.Fatal(err)
	}
	n := 0
	for row, err := range rows {
		if err != nil {
			f.Fatal(err)
		}
		n++
		var got []string
		for _, c := range columns {
			got = append(got, fmt.Sprint(row[def.Index(c)]))
		}
		k := fmt.Sprint(row[def.Index(key)])
		if strings.Join(got, " ") != want[k] {
			f.Errorf("%s of %s is %s, the log says %s", name, k, got, want[k])
		}
	}
	if n != len(want) {
		f.Errorf("%s has %d rows, the log %d keys", name, n, len(want))
	}
}

// inOrder checks that every event was delivered, and came first behind those before it in its stream.
func (f *fleet) inOrder(path string, log []event.Recorded) {
	f.Helper()
	place := map[string]int{}
	for i, id := range f.hook.first[path] {
		place[id] = i + 1
	}
	last := map[event.Stream]int{}
	for i := range log {
		e := &log[i]
		at := place[e.ID]
		switch {
		case at == 0:
			f.Errorf("%s: event %s at position %d was not delivered", path, e.ID, e.Position)
		case at < last[e.Stream]:
			f.Errorf("%s: event %s of %s came before one ahead of it", path, e.ID, e.Stream)
		}
		last[e.Stream] = at
	}
	if len(place) != len(log) {
		f.Errorf("%s: %d different events were delivered, the log has %d", path, len(place), len(log))
	}
}
