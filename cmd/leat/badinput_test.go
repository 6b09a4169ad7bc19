package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/leatdev/leat/pipeline"
	"github.com/leatdev/leat/pipeline/race"
)

// keepBig is the file that the README fixes by name.
const keepBig = `
server: { listen: "off" }
pipelines:
  keep-big:
    source: { file: { path: "-" } }
    steps:
      - filter: type == "OrderCreated" && data.amount > 500
      - append: { stream: "order/{{ data.order_id }}", type: "{{ type }}", expect: any }
      - project: { table: orders, key: { order_id: data.order_id }, add: { total: data.amount } }
      - forward: { file: { path: out.ndjson } }
`

// order is a line; detail stands behind the usual fields, so that it can say them again.
func order(id, amount, detail string) string {
	return fmt.Sprintf(`{"id":%q,"source":"shop","detail-type":"OrderCreated","detail":{"order_id":"o-1","amount":%s%s}}`, id, amount, detail)
}

// TestBadLines sends one line of each kind of damage between good ones. Each gets its own verdict, and the good ones
// get through as the bytes in which they came.
func TestBadLines(t *testing.T) {
	const (
		committed = "committed"
		filtered  = "filtered"
		duplicate = "duplicate"
	)
	huge := strings.Repeat("x", 10<<20)
	cases := []struct{ name, line, want string }{ // want: an outcome, else the code under which it is parked
		{"good", order("good", "600", ""), committed},
		{"not json", `{"id":"x", not json`, "malformed"},
		{"cut off", order("cut", "600", "")[:60], "malformed"},
		{"two values", order("two", "600", "") + order("two2", "600", ""), "malformed"},
		{"NaN", order("nan", "NaN", ""), "malformed"},
		{"Infinity", order("inf", "-Infinity", ""), "malformed"},
		{"leading zero", order("zero", "0900", ""), "malformed"},
		{"invalid UTF-8", order("utf", "600", `,"n":"a`+"\xff"+`b"`), "malformed"},
		{"control character", order("ctl", "600", ",\"n\":\"a\x01b\""), "malformed"},
		{"arrays 10,000 deep", order("deep", "600", `,"d":`+strings.Repeat("[", 10_000)+strings.Repeat("]", 10_000)), "malformed"},
		{"objects 10,000 deep", order("deeper", "600", `,"d":`+strings.Repeat(`{"a":`, 10_000)+"1"+strings.Repeat("}", 10_000)), "malformed"},
		{"10 MiB", order("huge", "600", `,"p":"`+huge+`"`), "too_large"},
		{"a number for an id", `{"id":5,"source":"shop","detail-type":"OrderCreated","detail":{"order_id":"o-1","amount":900}}`, "malformed"},
		{"no time", `{"id":"t","time":"yesterday","source":"shop","detail-type":"OrderCreated","detail":{"order_id":"o-1","amount":900}}`, "malformed"},
		{"an id of 400 bytes", order(strings.Repeat("long", 100), "600", ""), "too_large"},
		{"no detail", `{"id":"nodetail","source":"shop","detail-type":"OrderCreated"}`, "malformed"},
		{"no stream", `{"id":"nostream","source":"shop","detail-type":"OrderCreated","detail":{"amount":900}}`, "stream"},
		{"an empty stream", order("emptystream", "600", `,"order_id":""`), "stream"},
		{"duplicate key, the last counts", order("twice", "600", `,"amount":1`), filtered},
		{"the filter's field missing", `{"id":"m","source":"shop","detail-type":"OrderCreated","detail":{"order_id":"o-1"}}`, filtered},
		{"text under a numeric filter", order("text", `"lots"`, ""), filtered},
		{"an object under a numeric filter", order("object", `{"a":900}`, ""), filtered},
		{"unknown type", strings.Replace(order("unknown", "600", ""), "OrderCreated", "NeverHeardOf", 1), filtered},
		{"an empty object", `{}`, filtered},
		{"an array", `[1,2,3]`, filtered},
		{"null", `null`, filtered},
		{"without an id", `{"source":"shop","detail-type":"OrderCreated","detail":{"order_id":"o-1","amount":700}}`, committed},
		{"the same id, the same event", order("good", "600", ""), duplicate},
		{"the same id, another event", order("good", "700", ""), "id_reused"},
		{"a line that ends in CR", order("cr", "600", "") + "\r", committed},
		{"good again", order("last", "600", ""), committed},
	}
	dir := t.TempDir()
	write(t, dir, "pipeline.yaml", keepBig)
	var in strings.Builder
	want := map[string]int64{"received": int64(len(cases))}
	var codes []string
	var out []string
	for _, c := range cases {
		in.WriteString(c.line + "\n\n") // empty lines are no events
		switch c.want {
		case committed:
			out = append(out, strings.TrimSuffix(c.line, "\r"))
			fallthrough
		case filtered, duplicate:
			want[c.want]++
		default:
			want["poisoned"]++
			codes = append(codes, c.want)
		}
	}
	run := leat(t, dir, strings.NewReader(in.String()), "run", "pipeline.yaml", "--json", "--log-level", "error").want(t, 0)
	if run.out != "" {
		t.Errorf("stdout is for data alone, it has:\n%s", clip(run.out))
	}
	s := objects[struct{ Summary pipeline.Summary }](t, run.err)[0].Summary.Pipelines[0]
	got := map[string]int64{"received": s.Received, committed: s.Committed, filtered: s.Filtered, duplicate: s.Duplicate, "poisoned": s.Poisoned}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the summary (-want +got):\n%s", diff)
	}
	if s.RelayPoisoned+s.Undelivered+s.Dropped+s.Released != 0 || s.Projected != s.Committed || s.Forwarded != s.Committed {
		t.Errorf("not everything was delivered: %+v", s)
	}

	// Each that failed is parked with its reason, and its payload up to the limit.
	type parked struct{ Code, Reason string }
	var parkedCodes []string
	for _, p := range objects[parked](t, leat(t, dir, nil, "poison", "ls", "--json").want(t, 0).out) {
		parkedCodes = append(parkedCodes, p.Code)
		if p.Reason == "" {
			t.Errorf("an entry with the code %s has no reason", p.Code)
		}
	}
	if diff := cmp.Diff(count(codes), count(parkedCodes)); diff != "" {
		t.Errorf("parked (-want +got):\n%s", diff)
	}

	forwarded, err := os.ReadFile(filepath.Join(dir, "out.ndjson"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(out, strings.Split(strings.TrimSuffix(string(forwarded), "\n"), "\n")); diff != "" {
		t.Errorf("forwarded (-want +got):\n%s", diff)
	}
	if table := leat(t, dir, nil, "table", "orders").want(t, 0).out; table != `{"order_id":"o-1","total":2500}`+"\n" {
		t.Errorf("the table is %s", table)
	}
	leat(t, dir, nil, "store", "verify").want(t, 0)

	// All of it again adds nothing to the log: what has an id is known.
	again := leat(t, dir, strings.NewReader(order("good", "600", "")+"\n"+order("last", "600", "")+"\n"), "run", "pipeline.yaml", "--json", "--log-level", "error").want(t, 0)
	if s := objects[struct{ Summary pipeline.Summary }](t, again.err)[0].Summary.Pipelines[0]; s.Duplicate != 2 || s.Committed != 0 || s.Forwarded != 0 {
		t.Errorf("run again: %+v", s)
	}
}

func count(words []string) map[string]int {
	n := map[string]int{}
	for _, w := range words {
		n[w]++
	}
	return n
}

func TestEmptyInput(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "pipeline.yaml", keepBig)
	for _, in := range []string{"", "\n", "\n \n\r\n"} {
		leat(t, dir, strings.NewReader(in), "run", "pipeline.yaml").want(t, 0, "received 0 ", "poisoned 0")
	}
}

// TestMemoryStaysFlat feeds 500 MB of which most are lines of 10 MiB.
func TestMemoryStaysFlat(t *testing.T) {
	if testing.Short() || race.Enabled {
		t.Skip("takes a second, and measures memory")
	}
	dir := t.TempDir()
	write(t, dir, "pipeline.yaml", keepBig)
	const n, limit = 50, 256
	padding := strings.Repeat("x", 10<<20)
	r, w := io.Pipe()
	go func() {
		for i := range n {
			head, tail, _ := strings.Cut(order(fmt.Sprint("huge", i), "600", `,"p":"|"`), "|")
			for _, part := range []string{head, padding, tail, "\n", order(fmt.Sprint("small", i), "600", ""), "\n"} {
				if _, err := io.WriteString(w, part); err != nil {
					return
				}
			}
		}
		w.Close()
	}()
	run := leat(t, dir, r, "run", "pipeline.yaml", "--log-level", "error").want(t, 0, "received 100 ", "committed 50 ", "poisoned 50")
	t.Logf("peak %d MiB", run.rss>>10)
	if run.rss>>10 > limit {
		t.Errorf("the peak of memory was %d MiB, the limit is %d", run.rss>>10, limit)
	}
}

// TestPoisonEndToEnd mends what failed in the intake and in a relay, at rest and at a running daemon.
func TestPoisonEndToEnd(t *testing.T) {
	dir := t.TempDir()
	addr := freePort(t)
	write(t, dir, "pipeline.yaml", strings.ReplaceAll(strings.ReplaceAll(keepBig, `path: "-"`, `path: in.ndjson, follow: true`), `"off"`, `"`+addr+`"`))
	write(t, dir, "in.ndjson", strings.Join([]string{
		order("a", "600", ""),
		order("b", "600", `,"order_id":""`),        // no stream: parked in the intake
		order("c", "600", `,"order_id":"x\u0000"`), // no key of a row: parked in the relay of the table
		order("d", "600", `,"order_id":"x\u0000"`), // waits behind it
		order("e", "650", ""),
	}, "\n")+"\n")
	c := startLeat(t, dir, nil, "run", "pipeline.yaml")
	if !c.ready(t, addr) {
		t.Fatal(c.stderr.String())
	}
	type entry struct {
		ID                int64
		Code, State, Step string
		EventID           string `json:"event_id"`
		Payload           json.RawMessage
	}
	list := func(args ...string) []entry {
		return objects[entry](t, leat(t, dir, nil, append([]string{"poison", "ls", "--json"}, args...)...).want(t, 0).out)
	}
	var all []entry
	poll(t, c, "three entries", func() bool { all = list("--server", addr); return len(all) == 3 })
	byEvent := map[string]entry{}
	for _, e := range all {
		byEvent[e.EventID] = e
	}
	if b, x, d := byEvent["b"], byEvent["c"], byEvent["d"]; b.Code != "stream" || x.Code != "projection" || d.Code != "held" || d.State != "held" {
		t.Fatalf("parked: %+v", all)
	}
	if diff := cmp.Diff(all, list("--data", "data")); diff != "" {
		t.Errorf("the daemon and the store at rest give other lists:\n%s", diff)
	}
	id := fmt.Sprint(byEvent["b"].ID)
	leat(t, dir, nil, "poison", "show", id, "--server", addr).want(t, 0)
	leat(t, dir, nil, "poison", "retry", id, "--data", "data").want(t, 3, "--server")
	leat(t, dir, strings.NewReader(order("b", "600", `,"order_id":"o-2"`)), "poison", "edit", id, "--server", addr).want(t, 0)
	leat(t, dir, nil, "poison", "retry", id, "--server", addr).want(t, 0)
	poll(t, c, "the mended event in the log", func() bool {
		return strings.Contains(leat(t, dir, nil, "store", "read", "order/o-2", "--server", addr).out, `"id":"b"`)
	})
	poll(t, c, "its row gone", func() bool { return len(list("--server", addr)) == 2 })

	// A relay's entry that is dropped lets go what waited behind it, which fails on its own account.
	leat(t, dir, nil, "poison", "drop", fmt.Sprint(byEvent["c"].ID), "--yes", "--server", addr).want(t, 0)
	poll(t, c, "the held event tried", func() bool {
		now := list("--server", addr)
		return len(now) == 1 && now[0].EventID == "d" && now[0].Code == "projection"
	})
	terminate(t, c)
	leat(t, dir, nil, "poison", "drop", "--all", "--yes").want(t, 0)
	if left := list(); len(left) != 0 {
		t.Errorf("left: %+v", left)
	}
	if rows := leat(t, dir, nil, "table", "orders").want(t, 0).out; rows != `{"order_id":"o-1","total":1250}`+"\n"+`{"order_id":"o-2","total":600}`+"\n" {
		t.Errorf("the table is\n%s", rows)
	}
	leat(t, dir, nil, "store", "verify").want(t, 0)
}
