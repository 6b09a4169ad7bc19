package main

import (
	"fmt"
	"math/rand/v2"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/leatdev/leat/pipeline/aws/awsfake"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/eventstore/sqlite"
	"github.com/leatdev/leat/pipeline/poison"
	"github.com/leatdev/leat/pipeline/seedtest"
)

// fromQueues reads a standard and a FIFO queue into one log.
const fromQueues = `
server: { listen: "${ADDR}" }
aws: { region: eu-west-1, endpoint: "${ENDPOINT}" }
pipelines:
  standard:
    source: { sqs: { queue: orders, receivers: { min: 2 } } }
    steps: [ append: { stream: "standard/{{ data.g }}" } ]
  fifo:
    source: { sqs: { queue: orders.fifo, receivers: { min: 2 } } }
    steps: [ append: { stream: "fifo/{{ data.g }}" } ]
`

// kill -9 in the middle of reading queues that throttle, fail entries and hand things out twice: what the log holds in the
// end is each message once, each FIFO group in its order. LEAT_TEST_KILLS=100 is the whole of it.
func TestKillReadingQueues(t *testing.T) {
	kills := 6
	if n, err := strconv.Atoi(os.Getenv("LEAT_TEST_KILLS")); err == nil {
		kills = n
	} else if testing.Short() {
		kills = 2
	}
	seed := seedtest.New(t)
	t.Logf("%d kills", kills)
	rng := rand.New(rand.NewPCG(seed, 0))
	plan := awsfake.Rough(seed)
	plan.Slow = 0 // a kill is what takes time away here
	cloud := awsfake.New(plan.Faults)
	for _, q := range []string{"orders", "orders.fifo"} {
		cloud.CreateQueue(awsfake.Queue{Name: q, Visibility: 2 * time.Second})
	}
	srv := httptest.NewServer(cloud)
	defer srv.Close()
	awsEnv(t, srv.URL)
	dir, addr := t.TempDir(), freePort(t)
	write(t, dir, "p.yaml", fromQueues)
	start := func() *child {
		return startLeat(t, dir, []string{"ADDR=" + addr, "LEAT_DATA=" + filepath.Join(dir, "data")}, "run", "p.yaml", "--log-format", "json")
	}
	sent := 0
	send := func(n int) {
		for range n {
			g := rng.IntN(20)
			m := awsfake.Message{Body: fmt.Sprintf(`{"g":"%d","n":%d}`, g, sent), Group: fmt.Sprint(g), Dedup: fmt.Sprint("d", sent)}
			cloud.Send("orders", m)
			cloud.Send("orders.fifo", m)
			sent++
		}
	}
	for range kills {
		send(100 + rng.IntN(200))
		c := start()
		if rng.IntN(5) > 0 && !c.ready(t, addr) {
			t.Fatalf("leat ended by itself:\n%s", c.stderr.String())
		}
		time.Sleep(time.Duration(rng.IntN(250)) * time.Millisecond) // the moment of the kill is the point
		c.kill()
	}
	c := start()
	deadline := time.Now().Add(2*time.Minute + time.Duration(kills)*4*time.Second)
	for len(cloud.Messages("orders"))+len(cloud.Messages("orders.fifo")) > 0 {
		if time.Now().After(deadline) {
			t.Fatalf("%d and %d messages left\n%s", len(cloud.Messages("orders")), len(cloud.Messages("orders.fifo")), clip(c.stderr.String()))
		}
		time.Sleep(10 * time.Millisecond) // another process empties them
	}
	_ = c.cmd.Process.Signal(syscall.SIGTERM)
	if code := c.exit(t, time.Minute); code != 0 {
		t.Errorf("exit code %d\n%s", code, clip(c.stderr.String()))
	}
	checkQueues(t, filepath.Join(dir, "data"), sent)
}

func checkQueues(t *testing.T, data string, sent int) {
	t.Helper()
	s, err := sqlite.Open(t.Context(), sqlite.Config{Dir: data, ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for e, err := range s.ListParked(t.Context(), poison.Filter{}) {
		t.Fatalf("parked: %s %s, %v", e.Code, e.Reason, err)
	}
	seen, last := map[string]int{}, map[string]int{}
	for e, err := range s.ReadAll(t.Context(), eventstore.ReadOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		_, text, _ := strings.Cut(string(e.Data), `"n":`)
		n, err := strconv.Atoi(strings.TrimSuffix(text, "}"))
		if err != nil {
			t.Fatal(err)
		}
		seen[e.Stream.Type+text]++
		if before, ok := last[e.Stream.String()]; ok && e.Stream.Type == "fifo" && n <= before {
			t.Errorf("%s: %d came after %d", e.Stream, n, before)
		}
		last[e.Stream.String()] = n
	}
	twice := 0
	for _, n := range seen {
		if n > 1 {
			twice++
		}
	}
	if len(seen) != 2*sent || twice > 0 {
		t.Errorf("%d of %d events in the log, %d of them more than once", len(seen), 2*sent, twice)
	}
	t.Logf("%d events", len(seen))
}
