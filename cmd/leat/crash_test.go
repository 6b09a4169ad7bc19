package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/leatdev/leat/pipeline"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/eventstore/sqlite"
	"github.com/leatdev/leat/pipeline/poison"
	"github.com/leatdev/leat/pipeline/seedtest"
	"github.com/leatdev/leat/pipeline/table"
)

// underLoad has a file that grows and a bus that takes events while the daemon comes and goes.
const underLoad = `
server: { listen: "${ADDR}" }
pipelines:
  files:
    source: { file: { path: in.ndjson, follow: true } }
    steps:
      - filter: data.amount > 100
      - append: { stream: "order/{{ data.order_id }}" }
      - project: { table: totals, key: { order_id: data.order_id }, add: { total: data.amount, n: 1 } }
      - { from: start, forward: { file: { path: files.ndjson } } }
  bus:
    source: { put_events: {} }
    steps:
      - append: { stream: "ping/{{ data.key }}" }
      - { from: start, forward: { file: { path: bus.ndjson } } }
`

// load is the traffic of a test: lines for the file, entries for the bus.
type load struct {
	t     testing.TB
	dir   string
	addr  string
	bus   publisher
	lines int
	stop  context.CancelFunc
	done  sync.WaitGroup
}

func startLoad(t testing.TB) *load {
	dir := t.TempDir()
	l := &load{t: t, dir: dir, addr: freePort(t)}
	l.bus = publisher{addr: l.addr, acked: map[string]string{}}
	write(t, dir, "pipeline.yaml", underLoad)
	write(t, dir, "in.ndjson", "")
	ctx, stop := context.WithCancel(context.Background())
	l.stop = stop
	l.done.Go(func() { l.grow(ctx) })
	for w := range 4 {
		l.done.Go(func() { l.bus.send(ctx, w) })
	}
	t.Cleanup(l.end)
	return l
}

func (l *load) end() {
	l.stop()
	l.done.Wait()
}

// grow adds lines to the file, some hundred at a time, sometimes half a line.
func (l *load) grow(ctx context.Context) {
	f, err := os.OpenFile(filepath.Join(l.dir, "in.ndjson"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		l.t.Error(err)
		return
	}
	defer f.Close()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for ctx.Err() == nil {
		var out []byte
		for range 100 {
			l.lines++
			out = fmt.Appendf(out, `{"id":"f%d","source":"crash","detail-type":"Order","detail":{"order_id":"o%d","amount":%d,"seq":%d}}`+"\n", l.lines, l.lines%37, l.lines%400, l.lines)
		}
		half := rand.IntN(len(out))
		_, err1 := f.Write(out[:half])
		_, err2 := f.Write(out[half:])
		if err1 != nil || err2 != nil {
			l.t.Error(err1, err2)
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}

func (l *load) leat() *child {
	return startLeat(l.t, l.dir, []string{"ADDR=" + l.addr, "LEAT_DATA=" + filepath.Join(l.dir, "data")}, "run", "pipeline.yaml", "--log-format", "json")
}

func TestKillUnderLoad(t *testing.T) {
	kills := 12
	if n, err := strconv.Atoi(os.Getenv("LEAT_TEST_KILLS")); err == nil {
		kills = n
	} else if testing.Short() {
		kills = 3
	}
	l := startLoad(t)
	seed := seedtest.New(t)
	random := rand.New(rand.NewPCG(seed, 0))
	t.Logf("%d kills", kills)
	for range kills {
		c := l.leat()
		if random.IntN(4) > 0 && !c.ready(t, l.addr) {
			t.Fatalf("leat ended by itself:\n%s", c.stderr.String())
		}
		time.Sleep(time.Duration(random.IntN(300)) * time.Millisecond) // the moment of the kill is the point
		c.kill()
	}
	l.finish()
	l.check()
}

func TestTerminateUnderLoad(t *testing.T) {
	stops := 4
	if n, err := strconv.Atoi(os.Getenv("LEAT_TEST_STOPS")); err == nil {
		stops = n
	} else if testing.Short() {
		stops = 1
	}
	l := startLoad(t)
	for range stops {
		c := l.leat()
		if !c.ready(t, l.addr) {
			t.Fatalf("leat ended by itself:\n%s", c.stderr.String())
		}
		time.Sleep(time.Duration(rand.IntN(200)) * time.Millisecond) // the moment of the stop is the point
		if err := c.cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		if code := c.exit(t, time.Minute); code != 0 {
			t.Fatalf("exit code %d:\n%s", code, c.stderr.String())
		}
	}
	l.finish()
	l.check()
}

// finish ends the load and lets a daemon work off what is there: the file to its end, the relays to the head.
func (l *load) finish() {
	l.end()
	c := l.leat()
	if !c.ready(l.t, l.addr) {
		l.t.Fatalf("leat ended by itself:\n%s", c.stderr.String())
	}
	deadline := time.Now().Add(60 * time.Second)
	for !l.settled() {
		if time.Now().After(deadline) {
			l.t.Fatalf("not worked off:\n%s", c.stderr.String())
		}
		time.Sleep(20 * time.Millisecond) // another process: there is nothing but asking
	}
	if err := c.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		l.t.Fatal(err)
	}
	if code := c.exit(l.t, time.Minute); code != 0 {
		l.t.Fatalf("exit code %d:\n%s", code, c.stderr.String())
	}
}

// open opens the store for reading, beside a daemon or after it.
func (l *load) open() *sqlite.Store {
	s, err := sqlite.Open(context.Background(), sqlite.Config{Dir: filepath.Join(l.dir, "data"), ReadOnly: true})
	if err != nil {
		l.t.Fatal(err)
	}
	return s
}

// settled reports whether the file's last line is in the log and every relay is at its head.
func (l *load) settled() bool {
	last := l.lines
	for last%400 <= 100 {
		last--
	}
	s := l.open()
	defer s.Close()
	found := false
	stream := event.Stream{Type: "order", ID: "o" + strconv.Itoa(last%37)}
	for e, err := range s.ReadStream(context.Background(), stream, eventstore.ReadOptions{Backwards: true, Max: 1}) {
		found = err == nil && e.ID == "f"+strconv.Itoa(last)
	}
	if !found {
		return false
	}
	head, err := s.Head(context.Background())
	if err != nil {
		return false
	}
	res, err := http.Get("http://" + l.addr + "/api/v1/status")
	if err != nil {
		return false
	}
	defer res.Body.Close()
	var status pipeline.Status
	if err := json.NewDecoder(res.Body).Decode(&status); err != nil {
		return false
	}
	for _, p := range status.Pipelines {
		for _, r := range p.Relays {
			if r.Position < head.Position {
				return false
			}
		}
	}
	return len(status.Pipelines) == 2
}

// check is the oracle: nothing acknowledged is lost, nothing is there twice, the table is the fold of the log, and what
// was forwarded has each stream's order.
func (l *load) check() {
	t, ctx := l.t, context.Background()
	s := l.open()
	defer s.Close()
	v, err := s.Verify(ctx, func(f eventstore.Fault) { t.Errorf("store: %s at %d: %s", f.Stream, f.Position, f.What) })
	if err != nil || v.Faults > 0 {
		t.Errorf("verify: %+v, %v", v, err)
	}
	if n, _, err := s.CountParked(ctx, poison.Filter{}); err != nil || n != 0 {
		t.Errorf("%d events are poisoned, %v", n, err)
	}
	var log []event.Recorded
	notes, ids := map[string]int{}, map[string]int{}
	totals := map[string][2]int64{}
	for e, err := range s.ReadAll(ctx, eventstore.ReadOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		log = append(log, *e)
		ids[e.ID]++
		var d struct {
			Note    string
			OrderID string `json:"order_id"`
			Amount  int64
		}
		if err := json.Unmarshal(e.Data, &d); err != nil {
			t.Fatal(err)
		}
		if e.Stream.Type == "ping" {
			notes[d.Note]++
		} else {
			sum := totals[d.OrderID]
			totals[d.OrderID] = [2]int64{sum[0] + d.Amount, sum[1] + 1}
		}
	}
	for id, n := range ids {
		if n > 1 {
			t.Errorf("event %s is in the log %d times", id, n)
		}
	}
	if l.bus.count() == 0 {
		t.Error("nothing was acknowledged: the test shows nothing")
	}
	for note := range l.bus.acked {
		if notes[note] != 1 {
			t.Errorf("acknowledged %s is in the log %d times", note, notes[note])
		}
	}
	want := 0
	for i := 1; i <= l.lines; i++ {
		if i%400 > 100 {
			want++
			if ids["f"+strconv.Itoa(i)] == 0 {
				t.Errorf("line %d of the file is not in the log", i)
			}
		}
	}
	t.Logf("%d events in the log, %d of them from the file, %d acknowledged on the bus", len(log), want, l.bus.count())
	l.checkTable(s, totals)
	l.checkForwarded("files.ndjson", "order", log)
	l.checkForwarded("bus.ndjson", "ping", log)
}

func (l *load) checkTable(s eventstore.Store, totals map[string][2]int64) {
	def, rows, err := s.Tables().Query(context.Background(), table.Query{Table: "totals"})
	if err != nil {
		l.t.Fatal(err)
	}
	n := 0
	for row, err := range rows {
		if err != nil {
			l.t.Fatal(err)
		}
		n++
		key := fmt.Sprint(row[def.Index("order_id")])
		got := fmt.Sprint(row[def.Index("total")], " ", row[def.Index("n")])
		if want := fmt.Sprint(totals[key][0], " ", totals[key][1]); got != want {
			l.t.Errorf("totals of %s are %s, the log says %s", key, got, want)
		}
	}
	if n != len(totals) {
		l.t.Errorf("the table has %d rows, the log %d keys", n, len(totals))
	}
}

// checkForwarded compares a file that a forward wrote with the log: every event is there, and where it came for the
// first time it stands behind those before it in its stream. Repeats after a kill are allowed.
func (l *load) checkForwarded(name, streamType string, log []event.Recorded) {
	f, err := os.Open(filepath.Join(l.dir, name))
	if err != nil {
		l.t.Fatal(err)
	}
	defer f.Close()
	at := map[string]int{} // id → place of its first line
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var e struct{ ID string }
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			l.t.Errorf("%s: %v: %s", name, err, lines.Text())
			continue
		}
		if _, seen := at[e.ID]; !seen {
			at[e.ID] = len(at)
		}
	}
	last := map[event.Stream]int{}
	n := 0
	for i := range log {
		e := &log[i]
		if e.Stream.Type != streamType {
			continue
		}
		n++
		place, ok := at[e.ID]
		if !ok {
			l.t.Errorf("%s: event %s at position %d was not forwarded", name, e.ID, e.Position)
			continue
		}
		if place < last[e.Stream] {
			l.t.Errorf("%s: event %s of %s came before one ahead of it", name, e.ID, e.Stream)
		}
		last[e.Stream] = place
	}
	if n != len(at) {
		l.t.Errorf("%s: %d different events, the log has %d", name, len(at), n)
	}
}
