package pipelinetest

import (
	"fmt"
	"runtime"
	"runtime/metrics"
	"time"
)

// rest waits until nothing moves: every goroutine of the process but its own waits for another, or for a time. While the
// clock is one that is moved by hand, that is the moment to move it.
//
// The numbers are the scheduler's own (Go 1.26, runtime/metrics): goroutines that run, that could run, and that are in a
// system call. Two readings in a row must say the same, as one is not taken in a single instant.
type rest struct {
	own      func()
	patience time.Duration
	samples  []metrics.Sample
	// idle is how many goroutines sit in system calls at rest (os/signal has one); the least that was seen.
	idle uint64
}

func newRest(o *Options) *rest {
	r := &rest{own: o.Rest, patience: o.Patience, idle: ^uint64(0), samples: []metrics.Sample{
		{Name: "/sched/goroutines/running:goroutines"},
		{Name: "/sched/goroutines/runnable:goroutines"},
		{Name: "/sched/goroutines/not-in-go:goroutines"},
	}}
	return r
}

func (r *rest) quiet() bool {
	metrics.Read(r.samples)
	value := func(i int) uint64 {
		if r.samples[i].Value.Kind() != metrics.KindUint64 {
			return 0
		}
		return r.samples[i].Value.Uint64()
	}
	r.idle = min(r.idle, value(2))
	return value(0) <= 1 && value(1) == 0 && value(2) <= r.idle
}

// wait returns when nothing moves any more; an error says that something does not come to rest.
func (r *rest) wait() error {
	if r.own != nil {
		r.own()
		return nil
	}
	// A sleep costs a millisecond, and whoever wakes from one meets an idle thread that looks for work and counts as
	// running: so many looks come first, and between sleeps too.
	const looks = 100
	start := time.Now()
	for n, streak := 1, 0; ; n++ {
		runtime.Gosched()
		if !r.quiet() {
			streak = 0
		} else if streak++; streak == 2 {
			return nil
		}
		if n%looks > 0 {
			continue
		}
		switch took := time.Since(start); {
		case took > r.patience:
			return fmt.Errorf("nothing came to rest within %s: a step, a handler or a lookup is busy all the time", r.patience)
		case took > 5*time.Millisecond:
			time.Sleep(50 * time.Microsecond) //nolint:forbidigo // nothing tells when others come to rest
		}
	}
}
