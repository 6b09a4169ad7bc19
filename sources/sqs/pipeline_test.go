package sqs_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/pipeline"
	"github.com/leatdev/leat/pipeline/aws/awsfake"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/eventstore/memory"
	"github.com/leatdev/leat/pipeline/poison"
	"github.com/leatdev/leat/sources"
	"github.com/leatdev/leat/sources/sqs"
)

// kept is a store that outlives the daemons that open it.
type kept struct{ eventstore.Store }

func (kept) Close() error { return nil }

// Whole pipelines, from a queue under a plan of faults to the log, through restarts: nothing is lost, nothing appended
// twice, nothing parked, and each group of a FIFO queue is in the log in its order. CI runs a few seeds of fewer messages;
// LEAT_TEST_SEEDS=200 LEAT_TEST_MESSAGES=10000 is the whole of it.
func TestPipelineUnderFaults(t *testing.T) {
	number := func(name string, otherwise int) int {
		if n, err := strconv.Atoi(os.Getenv(name)); err == nil {
			return n
		}
		return otherwise
	}
	seeds, messages := number("LEAT_TEST_SEEDS", 4), number("LEAT_TEST_MESSAGES", 1000)
	for seed := range seeds {
		synctest.Test(t, func(t *testing.T) { underFaults(t, uint64(seed), messages) })
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

func underFaults(t *testing.T, seed uint64, messages int) {
	rng := rand.New(rand.NewPCG(seed, 7))
	queue := []string{"orders", "orders.fifo"}[seed%2]
	cfg, diags := config.LoadBytes("p.yaml", []byte(`
pipelines:
  p:
    source:
      sqs: { queue: `+queue+`, receivers: { min: `+strconv.Itoa(1+rng.IntN(4))+` } }
    steps:
      - append: { stream: "g/{{ data.g }}" }
stores: { main: { memory: {} } }
`), config.Options{})
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	cloud := awsfake.New(awsfake.Rough(seed).Faults)
	cloud.CreateQueue(awsfake.Queue{Name: "dead.fifo"})
	cloud.CreateQueue(awsfake.Queue{Name: "dead"})
	cloud.CreateQueue(awsfake.Queue{Name: queue, Visibility: time.Duration(10+rng.IntN(60)) * time.Second})
	groups := 1 + rng.IntN(40)
	for n := range messages {
		g := rng.IntN(groups)
		m := awsfake.Message{Body: fmt.Sprintf(`{"g":"%d","n":%d}`, g, n), Dedup: fmt.Sprint("d", n)}
		if strings.HasSuffix(queue, ".fifo") {
			m.Group = fmt.Sprint(g)
		}
		cloud.Send(queue, m)
	}
	store := memory.Open(memory.Options{})
	defer store.Close()
	deadline := time.Now().Add(72 * time.Hour)
	for len(cloud.Messages(queue)) > 0 {
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d messages still there after three days", len(cloud.Messages(queue)), messages)
		}
		daemon(t, cfg, store, cloud, queue, time.Duration(10+rng.IntN(600))*time.Second)
	}
	check(t, store, queue, messages)
}

// daemon runs until the queue is empty, or for a while.
func daemon(t *testing.T, cfg *config.Config, store eventstore.Store, cloud *awsfake.Cloud, queue string, within time.Duration) {
	t.Helper()
	d := pipeline.New(cfg, pipeline.Options{
		OpenStore: func(context.Context, string, config.Plugin) (eventstore.Store, error) { return kept{store}, nil },
		OpenSource: func(_ context.Context, p config.Plugin, env sources.Env) (sources.Source, error) {
			return sqs.OpenOver(p.Config.(sqs.Config), env, cloud.Transport()), nil
		},
	})
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := d.Run(ctx, context.WithoutCancel(ctx))
		ended <- err
	}()
	for until := time.Now().Add(within); time.Now().Before(until) && len(cloud.Messages(queue)) > 0; {
		time.Sleep(time.Second)
	}
	stop()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
}

func check(t *testing.T, store eventstore.Store, queue string, messages int) {
	t.Helper()
	for e, err := range store.ListParked(t.Context(), poison.Filter{}) {
		t.Fatalf("parked: %s %s, %v", e.Code, e.Reason, err)
	}
	seen, last := map[string]int{}, map[string]int{}
	for e, err := range store.ReadAll(t.Context(), eventstore.ReadOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		_, text, _ := strings.Cut(string(e.Data), `"n":`)
		n, err := strconv.Atoi(strings.TrimSuffix(text, "}"))
		if err != nil {
			t.Fatalf("%s: %v", e.Data, err)
		}
		seen[text]++
		if before, ok := last[e.Stream.ID]; ok && strings.HasSuffix(queue, ".fifo") && n <= before {
			t.Errorf("group %s: %d came after %d", e.Stream.ID, n, before)
		}
		last[e.Stream.ID] = n
	}
	twice := 0
	for _, n := range seen {
		if n > 1 {
			twice++
		}
	}
	if len(seen) != messages || twice > 0 {
		t.Errorf("%d of %d events in the log, %d of them more than once", len(seen), messages, twice)
	}
}
