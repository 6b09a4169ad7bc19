package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/handlers"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/eventstore/memory"
	"github.com/leatdev/leat/pipeline/poison"
	"github.com/leatdev/leat/pipeline/table"
	tables "github.com/leatdev/leat/pipeline/table/memory"
	"github.com/leatdev/leat/pipeline/telemetry"
	"github.com/leatdev/leat/sinks"
	"github.com/leatdev/leat/sources"
)

// The rig runs pipelines from YAML with sources that the test feeds (feed_test.go), sinks that it watches
// (catch_test.go) and a store that it can break (broken_test.go).
//
//	source: { feed: {} }                   sinks: forward: { catch: { name: x } }
//
// Each test is a synctest bubble: time stands still while anything runs, r.wait returns when nothing moves any more,
// time.Sleep turns the clock on, and a goroutine that is left over fails the test.

var errNoRig = errors.New("rig: opened outside a test")

func init() {
	sources.Register("feed", func(context.Context, feedConfig, sources.Env) (sources.Source, error) { return nil, errNoRig })
	handlers.Register("stub", func(context.Context, stubConfig, handlers.Env) (handlers.Handler, error) { return nil, errNoRig })
	sinks.Register("catch", func(context.Context, catchConfig, sinks.Env) (sinks.Sink, error) { return nil, errNoRig })
	table.Register("rig", func(context.Context, struct{}) (table.Database, error) { return nil, errNoRig })
	eventstore.Register("rig", func(context.Context, struct{}, eventstore.Env) (eventstore.Store, error) { return nil, errNoRig })
}

// stubConfig names the function of the test that handles the event: rig.handle.
type stubConfig struct {
	Name   string      `yaml:"name,omitempty"`
	Stream config.Text `yaml:"stream,omitempty"`
	State  string      `yaml:"state,omitempty"`
}

type rig struct {
	*testing.T
	cfg     *config.Config
	store   *brokenStore
	metrics *telemetry.Metrics
	feeds   map[string]*feed // by pipeline
	sinks   map[string]*catch
	// handle holds the functions of handlers by name; open makes others.
	handle  map[string]handlers.Func
	open    func(c stubConfig, env handlers.Env) (handlers.Handler, error)
	log     *logBook
	daemon  *Daemon
	others  map[string]eventstore.Store // beside main
	other   *tables.Store               // another database, for tables
	o       Options                     // what differs from the rig's own
	broken  atomic.Bool
	shared  bool // the store is one that several processes may have open
	stop    context.CancelFunc
	kill    context.CancelFunc
	ended   chan struct{}
	summary Summary
	err     error
}

// run makes a rig in a bubble of its own.
func run(t *testing.T, yaml string, test func(r *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { test(newRig(t, yaml, memory.Open(memory.Options{}))) })
}

func newRig(t *testing.T, yaml string, store eventstore.Store) *rig {
	t.Helper()
	r := &rig{T: t, store: &brokenStore{Store: store}, feeds: map[string]*feed{}, sinks: map[string]*catch{}, handle: map[string]handlers.Func{}, log: &logBook{out: t.Output()}}
	r.load(yaml)
	t.Cleanup(func() {
		r.halt()
		if store != nil {
			store.Close()
		}
	})
	return r
}

// load takes another configuration for the next start.
func (r *rig) load(yaml string) *rig {
	r.Helper()
	cfg, diags := config.LoadBytes("test.yaml", []byte(yaml+"\nstores: { main: { rig: {} }, other: { rig: {} } }\n"), config.Options{})
	for _, d := range diags {
		if d.Severity == config.Error {
			r.Fatalf("config: %v", d)
		}
	}
	r.cfg = cfg
	return r
}

// start runs a daemon on the rig's store; a second start is a restart.
func (r *rig) start() *rig {
	r.Helper()
	if err := r.try(); err != nil {
		r.Fatalf("the daemon did not start: %v", err)
	}
	return r
}

// try is start that may fail.
func (r *rig) try() error {
	r.Helper()
	r.metrics = telemetry.NewMetrics("test")
	for _, p := range r.cfg.Pipelines {
		if c, ok := p.Source.Plugin.Config.(feedConfig); ok {
			r.feeds[p.Name] = newFeed(r.T, c)
		}
	}
	o := r.o
	o.Log, o.Metrics, o.Stdout = slog.New(slog.NewTextHandler(r.log, nil)), r.metrics, io.Discard
	o.OpenStore = func(_ context.Context, name string, _ config.Plugin) (eventstore.Store, error) {
		if s, ok := r.others[name]; ok {
			return s, nil
		}
		if r.shared {
			return sharedStore{r.store}, nil
		}
		return r.store, nil
	}
	if o.OpenSource == nil {
		o.OpenSource = func(_ context.Context, _ config.Plugin, env sources.Env) (sources.Source, error) {
			return r.feeds[env.Pipeline], nil
		}
	}
	o.OpenDatabase = func(context.Context, string, config.Plugin) (table.Database, error) {
		if r.other == nil {
			r.other = tables.New(tables.Options{})
		}
		return otherDatabase{brokenTables{r.other, r.store}}, nil
	}
	o.OpenSink = func(_ context.Context, p config.Plugin, _ sinks.Env) (sinks.Sink, error) {
		c := p.Config.(catchConfig)
		s := r.sink(c.Name)
		switch {
		case c.InPart:
			return partialCatch{s}, nil
		case c.Late:
			return lateCatch{s}, nil
		}
		return s, nil
	}
	o.OpenHandler = func(_ context.Context, p config.Plugin, env handlers.Env) (handlers.Handler, error) {
		c := p.Config.(stubConfig)
		if r.open != nil {
			return r.open(c, env)
		}
		return handlers.Func(func(ctx context.Context, e event.Recorded) ([]handlers.Emitted, error) {
			return r.handle[c.Name](ctx, e)
		}), nil
	}
	r.daemon = New(r.cfg, o)
	var soft, hard context.Context
	soft, r.stop = context.WithCancel(context.Background())
	hard, r.kill = context.WithCancel(context.Background())
	r.ended = make(chan struct{})
	go func() {
		defer close(r.ended)
		r.summary, r.err = r.daemon.Run(soft, hard)
	}()
	select {
	case <-r.daemon.Started():
		return nil
	case <-r.ended:
		return r.err
	}
}

func (r *rig) sink(name string) *catch {
	if r.sinks[name] == nil {
		r.sinks[name] = &catch{}
	}
	return r.sinks[name]
}

func (r *rig) feed() *feed { return r.feeds[r.cfg.Pipelines[0].Name] }
func (r *rig) pipe() *pipe { return r.daemon.pipes[0] }

// wait returns when nothing moves any more.
func (r *rig) wait() *rig {
	synctest.Wait()
	return r
}

// finish ends the input and waits for the daemon.
func (r *rig) finish() PipelineSummary {
	r.Helper()
	for _, f := range r.feeds {
		f.end()
	}
	return r.join()
}

// drain asks the daemon to stop and waits for it.
func (r *rig) drain() PipelineSummary {
	r.Helper()
	r.stop()
	return r.join()
}

// die ends everything at once, as far as that goes within a process.
func (r *rig) die() PipelineSummary {
	r.Helper()
	r.kill()
	return r.join()
}

func (r *rig) join() PipelineSummary {
	r.Helper()
	select {
	case <-r.ended:
	case <-time.After(24 * time.Hour): // of the bubble's time
		r.Fatalf("the daemon does not end: %+v", r.daemon.Status())
	}
	r.stop()
	r.kill()
	if err := r.metrics.Conserved(); err != nil {
		r.Errorf("events are not conserved: %v", err)
	}
	if len(r.summary.Pipelines) == 0 {
		return PipelineSummary{}
	}
	return r.summary.Pipelines[0]
}

// halt stops the daemon if it runs.
func (r *rig) halt() {
	if r.stop == nil {
		return
	}
	r.stop()
	r.kill()
	<-r.ended
}

// ok checks that the daemon ended without an error.
func (r *rig) ok() {
	r.Helper()
	if r.err != nil {
		r.Errorf("the daemon failed: %v", r.err)
	}
}

// logged gives the log, an event a line: stream@revision type id.
func (r *rig) logged() []string {
	r.Helper()
	var out []string
	for e, err := range r.store.ReadAll(context.Background(), eventstore.ReadOptions{}) {
		if err != nil {
			r.Fatal(err)
		}
		out = append(out, fmt.Sprintf("%s@%d %s %s", e.Stream, e.Revision, e.Type, e.ID))
	}
	return out
}

// parked gives the poison table, an entry a line: step state code key attempts.
func (r *rig) parked() []string {
	r.Helper()
	var out []string
	for _, e := range r.entries() {
		out = append(out, fmt.Sprintf("%s %s %s %s %d", e.Step, e.State, e.Code, e.Key, e.Attempts))
	}
	return out
}

func (r *rig) entries() []poison.Entry {
	r.Helper()
	var out []poison.Entry
	for e, err := range r.store.ListParked(context.Background(), poison.Filter{}) {
		if err != nil {
			r.Fatal(err)
		}
		out = append(out, e)
	}
	return out
}

// again sends parked events again.
func (r *rig) again(f poison.Filter) {
	r.Helper()
	if _, err := r.store.SetParked(context.Background(), f, poison.Retrying); err != nil {
		r.Fatal(err)
	}
	r.daemon.RetryPoison(context.Background(), "")
	sleepFor(time.Minute)
}

// rows gives a table, a row a line.
func (r *rig) rows(name string) []string {
	r.Helper()
	from := r.store.Tables()
	if r.other != nil {
		from = r.other
	}
	_, rows, err := from.Query(context.Background(), table.Query{Table: name})
	if err != nil {
		return []string{"no table"}
	}
	var out []string
	for row, err := range rows {
		if err != nil {
			r.Fatal(err)
		}
		var cols []string
		for _, v := range row {
			cols = append(cols, string(table.AppendText(nil, v)))
		}
		out = append(out, strings.Join(cols, " "))
	}
	return out
}

// cursors gives the places of the first pipeline's source.
func (r *rig) cursor() string {
	r.Helper()
	v, err := r.store.Cursor(context.Background(), r.cfg.Pipelines[0].Name, "feed")
	if err != nil {
		r.Fatal(err)
	}
	return v
}

// relays gives the relays that the store knows, one a line: id position, and what is special about it.
func (r *rig) relays() []string {
	r.Helper()
	all, err := r.store.ListRelays(context.Background(), "")
	if err != nil {
		r.Fatal(err)
	}
	var out []string
	for _, k := range all {
		line := fmt.Sprintf("%s %d", k.ID, k.Position)
		if k.Removed {
			line += " removed"
		}
		out = append(out, line)
	}
	return out
}

// same compares what was got with what was wanted.
func same[T any](r *rig, what string, got, want T) {
	r.Helper()
	if d := cmp.Diff(want, got); d != "" {
		r.Errorf("%s (-want +got):\n%s", what, d)
	}
}

// order makes a body in EventBridge's shape.
func order(id, orderID string, amount int) string {
	return fmt.Sprintf(`{"id":%q,"source":"shop","detail-type":"OrderCreated","detail":{"order_id":%q,"amount":%d}}`, id, orderID, amount)
}

// orders makes n of them, ids e-1 …, spread over streams o-0 … o-(streams-1).
func orders(n, streams int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = order(fmt.Sprintf("e-%d", i+1), fmt.Sprintf("o-%d", i%streams), i+1)
	}
	return out
}

// logBook keeps what the daemon logs.
type logBook struct {
	mu    sync.Mutex
	out   io.Writer
	lines []string
}

func (l *logBook) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, string(b))
	return l.out.Write(b)
}

// has reports whether a line holds every part.
func (l *logBook) has(parts ...string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.ContainsFunc(l.lines, func(line string) bool {
		return !slices.ContainsFunc(parts, func(p string) bool { return !strings.Contains(line, p) })
	})
}

func (l *logBook) count(part string) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, line := range l.lines {
		n += strings.Count(line, part)
	}
	return n
}

// ids gives the ids of events, in order.
func ids(events []event.Recorded) []string {
	out := make([]string, len(events))
	for i := range events {
		out[i] = events[i].ID
	}
	return out
}

// sleepFor turns the bubble's clock on.
func sleepFor(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// counter sums a counter's samples that have a label's value.
func (r *rig) counter(name, label, value string) int {
	r.Helper()
	rec := httptest.NewRecorder()
	r.metrics.Handler().ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	n, seen := 0, false
	for line := range strings.Lines(rec.Body.String()) {
		if strings.HasPrefix(line, name+"{") && strings.Contains(line, label+`="`+value+`"`) {
			var v float64
			fmt.Sscanf(line[strings.LastIndex(line, " ")+1:], "%g", &v)
			n, seen = n+int(v), true
		}
	}
	if !seen {
		r.Errorf("no metric %s with %s=%q", name, label, value)
	}
	return n
}
