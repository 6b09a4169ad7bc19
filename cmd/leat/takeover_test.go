package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/leatdev/leat/pipeline/aws"
	"github.com/leatdev/leat/pipeline/aws/dynamofake"
	"github.com/leatdev/leat/pipeline/eventstore/serverless/lambdatest"
)

const takeover = `
server: { listen: "${ADDR}" }
aws: { region: eu-west-1, endpoint: "${ENDPOINT}" }
stores: { main: { dynamodb: { table: leat, SHARED } } }
tables: { streams: { columns: { id: text, changes: numeric } } }
pipelines:
  read-model:
    source: { event_log: { streams: [golden] } }
    steps:
      - project: { table: streams, key: { id: stream }, add: { changes: 1 } }
`

// TestTakeover goes the way of docs/takeover.md with the program itself: a table of the Lambda's is taken over, both write
// for a time, and then the streams move on, to leat's own table and to another store.
func TestTakeover(t *testing.T) {
	fake := dynamofake.New(nil)
	t.Cleanup(fake.Close)
	awsEnv(t, fake.URL)
	cfg, err := aws.Load(t.Context(), aws.Settings{Region: "eu-west-1", Endpoint: fake.URL}, http.DefaultTransport, 8)
	if err != nil {
		t.Fatal(err)
	}
	c := aws.NewDynamoDB(cfg)
	l := &lambdatest.Lambda{Client: c, Table: lambdatest.Table(t, c)}
	var ids []string
	for i := range 3 {
		id, err := l.Create(t.Context(), "golden", "created", fmt.Sprintf(`{"n":%d}`, i))
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	next := int64(2)
	byLambda := func(payload string) {
		t.Helper()
		if status, err := l.Append(t.Context(), "golden", ids[0], next, "changed", payload); status != 201 {
			t.Fatal(status, err)
		}
		next++
	}
	byLambda("text, not JSON")

	dir, addr := t.TempDir(), freePort(t)
	t.Setenv("ADDR", addr)
	write(t, dir, "pipeline.yaml", strings.Replace(takeover, "SHARED", "serverless_event_store: { table: "+l.Table+", poll: 100ms }", 1))

	// What is there is looked at, then taken in, and the commands read it.
	if r := leat(t, dir, nil, "doctor", "pipeline.yaml", "--text").want(t, 0); !strings.Contains(r.out, "is a serverless-event-store's") {
		t.Errorf("doctor: %s", r.out)
	}
	r := leat(t, dir, nil, "store", "init", "pipeline.yaml").want(t, 0, "the shared table has 3 streams; 4 events of them taken in now")
	if !strings.Contains(r.out, `"position":4`) {
		t.Errorf("init says %s", r.out)
	}
	leat(t, dir, nil, "store", "init", "pipeline.yaml").want(t, 0, "3 streams; 0 events of them")
	if r := leat(t, dir, nil, "store", "streams", "pipeline.yaml").want(t, 0); strings.Count(r.out, "golden/") != 3 {
		t.Errorf("streams: %s", r.out)
	}
	if r := leat(t, dir, nil, "store", "read", "golden/"+ids[0], "pipeline.yaml").want(t, 0); !strings.Contains(r.out, "text, not JSON") {
		t.Errorf("read: %s", r.out)
	}
	leat(t, dir, nil, "store", "verify", "pipeline.yaml").want(t, 0)

	// Both write.
	daemon := startLeat(t, dir, nil, "run", "pipeline.yaml")
	if !daemon.ready(t, addr) {
		t.Fatalf("leat ended by itself:\n%s", daemon.stderr.String())
	}
	put := func(revision int64) int {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), "PUT", fmt.Sprintf("http://%s/streams/golden/%s/events/%d", addr, ids[0], revision), strings.NewReader(`{"event":{"eventType":"paid","payload":"{}"}}`))
		if err != nil {
			t.Fatal(err)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		_, _ = io.Copy(io.Discard, res.Body)
		return res.StatusCode
	}
	if status := put(next); status != 201 {
		t.Errorf("append: %d", status)
	}
	next++
	byLambda(`{"by":"lambda"}`)
	if status := put(next - 1); status != 409 {
		t.Errorf("append behind the Lambda: %d", status)
	}
	fresh, err := l.Create(t.Context(), "golden", "created", `{}`)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"golden/" + ids[0]: "4", "golden/" + ids[1]: "1", "golden/" + ids[2]: "1", "golden/" + fresh: "1"}
	deadline := time.Now().Add(40 * time.Second)
	for {
		got := map[string]string{}
		for _, row := range objects[struct {
			ID      string
			Changes json.Number
		}](t, leat(t, dir, nil, "table", "streams", "--server", addr, "--json").want(t, 0).out) {
			got[row.ID] = row.Changes.String()
		}
		if fmt.Sprint(got) == fmt.Sprint(want) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the table has %v, want %v:\n%s", got, want, daemon.stderr.String())
		}
		time.Sleep(20 * time.Millisecond) // another process: there is nothing but asking
	}
	_ = daemon.cmd.Process.Signal(syscall.SIGTERM)
	if code := daemon.exit(t, 40*time.Second); code != 0 {
		t.Fatalf("exit %d:\n%s", code, daemon.stderr.String())
	}
	theirs, _ := l.Events(t, ids[0])
	if len(theirs) != 4 {
		t.Errorf("the Lambda reads %v", theirs)
	}
	leat(t, dir, nil, "store", "verify", "pipeline.yaml").want(t, 0)

	// The Lambda goes: the store is leat's own without the block, and its log goes anywhere.
	log := leat(t, dir, nil, "store", "export", "pipeline.yaml").want(t, 0).out
	write(t, dir, "own.yaml", strings.Replace(takeover, ", SHARED", "", 1))
	leat(t, dir, nil, "store", "verify", "own.yaml").want(t, 0)
	leat(t, dir, nil, "store", "append", "golden/"+ids[0], "--type", "sent", "--payload", "{}", "own.yaml").want(t, 0)
	leat(t, dir, strings.NewReader(log), "store", "import", "-", "--data", "sqlite").want(t, 0)
	type line struct {
		Stream, ID, Type   string
		Revision, Position int64
		Data               json.RawMessage
		Time               time.Time
	}
	was, is := objects[line](t, log), objects[line](t, leat(t, dir, nil, "store", "export", "--data", "sqlite").want(t, 0).out)
	if len(was) != 7 || len(is) != len(was) {
		t.Fatalf("%d events exported, %d imported", len(was), len(is))
	}
	for i := range was {
		a, b := was[i], is[i]
		if a.Stream != b.Stream || a.ID != b.ID || a.Type != b.Type || a.Revision != b.Revision || a.Position != b.Position || !bytes.Equal(a.Data, b.Data) || !a.Time.Equal(b.Time) {
			t.Errorf("%+v became %+v", a, b)
		}
	}
}
