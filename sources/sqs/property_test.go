package sqs

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leatdev/leat/pipeline/aws/awsfake"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/race"
)

func setting(t *testing.T, name string, otherwise int) int {
	t.Helper()
	v := os.Getenv(name)
	if v == "" {
		return otherwise
	}
	n, err := strconv.Atoi(v)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// Under every plan of faults: nothing is lost, nothing is taken twice by the inbox key, and each group of a FIFO queue
// keeps its order. LEAT_TEST_SEEDS and LEAT_TEST_MESSAGES make it longer.
func TestFaults(t *testing.T) {
	seeds, messages := setting(t, "LEAT_TEST_SEEDS", 200), setting(t, "LEAT_TEST_MESSAGES", 40)
	if race.Enabled {
		seeds = min(seeds, max(40, setting(t, "LEAT_TEST_SEEDS", 0)))
	}
	for seed := range seeds {
		synctest.Test(t, func(t *testing.T) { faults(t, uint64(seed), messages) })
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

// log is what a pipeline has committed: by inbox key, and in order.
type log struct {
	mu    sync.Mutex
	known map[string]bool
	order []string
}

func (l *log) commit(key, body string) event.Outcome {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.known[key] {
		return event.Duplicate
	}
	l.known[key] = true
	l.order = append(l.order, body)
	return event.Committed
}

func faults(t *testing.T, seed uint64, messages int) {
	rng := rand.New(rand.NewPCG(seed, 1))
	queue := []string{"orders", "orders.fifo"}[seed%2]
	groups := 1 + rng.IntN(6)
	cloud := awsfake.New(awsfake.Rough(seed).Faults)
	cloud.CreateQueue(awsfake.Queue{Name: queue, Visibility: time.Duration(2+rng.IntN(30)) * time.Second})
	for n := range messages {
		m := awsfake.Message{Body: fmt.Sprintf("g%d/%06d", rng.IntN(groups), n), Dedup: fmt.Sprint("d", n)}
		if queue == "orders.fifo" {
			m.Group, _, _ = strings.Cut(m.Body, "/")
		}
		cloud.Send(queue, m)
	}
	l := &log{known: map[string]bool{}}
	deadline := time.Now().Add(48 * time.Hour)
	for run := 0; len(cloud.Messages(queue)) > 0; run++ {
		if time.Now().After(deadline) {
			t.Errorf("%d of %d messages still there after two days", len(cloud.Messages(queue)), messages)
			return
		}
		life(t, cloud, queue, l, rand.New(rand.NewPCG(seed, uint64(run)+2)))
	}
	if len(l.order) != messages {
		t.Errorf("%d of %d events committed", len(l.order), messages)
	}
	last := map[string]string{}
	for _, body := range l.order {
		g, n, _ := strings.Cut(body, "/")
		if queue == "orders.fifo" && n <= last[g] {
			t.Errorf("%s came after %s/%s", body, g, last[g])
		}
		last[g] = n
	}
}

// life is one run of a source, or of two replicas, from the start to a stop somewhere in the middle: each event is
// committed after a while, or fails and goes back.
func life(t *testing.T, cloud *awsfake.Cloud, queue string, l *log, rng *rand.Rand) {
	var replicas sync.WaitGroup
	for range 1 + rng.IntN(2) {
		s := start(t, cloud, Config{Queue: queue, Reading: Reading{Receivers: Receivers{Min: 1 + rng.IntN(3)}}}, nil)
		own := rand.New(rand.NewPCG(rng.Uint64(), 0))
		replicas.Go(func() { consume(s, l, own) })
	}
	replicas.Wait()
}

// laned does what a pipeline does with lanes: one after another in each, and where one goes back, all behind it too.
type laned struct {
	mu      sync.Mutex
	waiting map[string][]job // of lanes that are busy
	work    sync.WaitGroup
}

type job struct {
	b  *event.Batch
	i  int
	do func() event.Outcome
}

func (l *laned) add(lane string, j job) {
	l.mu.Lock()
	defer l.mu.Unlock()
	queue, busy := l.waiting[lane]
	l.waiting[lane] = append(queue, j)
	if !busy {
		l.work.Go(func() { l.run(lane) })
	}
}

func (l *laned) run(lane string) {
	for {
		l.mu.Lock()
		queue := l.waiting[lane]
		if len(queue) == 0 {
			delete(l.waiting, lane)
			l.mu.Unlock()
			return
		}
		l.waiting[lane] = queue[1:]
		l.mu.Unlock()
		o := queue[0].do()
		back := []job{queue[0]}
		l.mu.Lock()
		if o == event.Released {
			back = append(back, l.waiting[lane]...)
			l.waiting[lane] = nil
		}
		l.mu.Unlock()
		for _, j := range back {
			j.b.Settle(j.i, o, nil)
		}
	}
}

func consume(s *started, l *log, rng *rand.Rand) {
	stop := time.After(time.Duration(1+rng.IntN(300)) * time.Second)
	lanes := &laned{waiting: map[string][]job{}}
	for more := true; more; {
		select {
		case m := <-s.msgs:
			b := event.FromMessage(m)
			for i := range b.Events {
				key, body := b.Key(i), string(b.Events[i].Raw)
				wait, fails := time.Duration(rng.ExpFloat64()*float64(3*time.Second)), rng.IntN(10) == 0
				lane := body // of its own
				if b.Lane != nil {
					lane = b.Lane(i)
				}
				lanes.add(lane, job{b, i, func() event.Outcome {
					time.Sleep(wait)
					if fails {
						return event.Released
					}
					return l.commit(key, body)
				}})
			}
		case <-stop:
			more = false
		}
	}
	s.stop()
	for m := range s.msgs {
		settle(event.FromMessage(m), event.Released)
	}
	lanes.work.Wait()
	if err := s.Close(); err != nil {
		s.t.Error(err)
	}
}
