package pipelinetest

import (
	"bytes"
	"fmt"
	"runtime"
	"runtime/metrics"
	"time"
)

// rest waits until nothing moves: every goroutine of the process but its own waits for another, or for a time. While the
// clock is one that is moved by hand, that is the moment to move it.
//
// The numbers are the scheduler's own (Go 1.26, runtime/metrics): goroutines that run, that could run, and that are in a
// system call. Two readings in a row must say the same, as one is not taken in a single instant. Then, and where they do not
// say so for a while, the stacks are looked at, with the world stopped: that is exact, and costs more. The numbers alone
// miss a goroutine that has left a system call and is in no queue yet, for as long as a busy machine keeps its thread there.
type rest struct {
	own      func()
	patience time.Duration
	samples  []metrics.Sample
	// idle is how many goroutines sit in system calls at rest: that of os/signal, where there is one.
	idle uint64
	// before are the goroutines that sat in system calls before the first test: they may do so for good.
	before map[string]bool
	stacks []byte // room for all stacks
}

func newRest(o *Options) *rest {
	r := &rest{own: o.Rest, patience: o.Patience, before: map[string]bool{}, samples: []metrics.Sample{
		{Name: "/sched/goroutines/running:goroutines"},
		{Name: "/sched/goroutines/runnable:goroutines"},
		{Name: "/sched/goroutines/not-in-go:goroutines"},
	}}
	signals, busy := r.moving()
	for id, state := range busy {
		if state == inCall {
			r.before[id] = true
		}
	}
	r.idle = uint64(signals)
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
	return value(0) <= 1 && value(1) == 0 && value(2) <= r.idle
}

// stopped is quiet by the stacks.
func (r *rest) stopped() bool {
	signals, busy := r.moving()
	for id, state := range busy {
		if state != inCall || !r.before[id] {
			return false
		}
	}
	r.idle = uint64(signals)
	return true
}

const inCall = "syscall"

// moving gives the goroutines but the caller's that run, could run, or are in a system call, by their numbers, with what
// they do; and how many there are that wait for signals, which is a system call for the scheduler.
func (r *rest) moving() (signals int, busy map[string]string) {
	n := runtime.Stack(r.stacks, true)
	for n == len(r.stacks) {
		r.stacks = make([]byte, max(64<<10, 2*n))
		n = runtime.Stack(r.stacks, true)
	}
	busy = map[string]string{}
	i := -1
	for g := range bytes.SplitSeq(r.stacks[:n], []byte("\n\n")) {
		i++
		// goroutine 7 [chan receive, 2 minutes]:
		head, stack, _ := bytes.Cut(g, []byte("\n"))
		id, state, _ := bytes.Cut(bytes.TrimPrefix(head, []byte("goroutine ")), []byte(" ["))
		switch state = bytes.TrimRight(state[:max(0, bytes.IndexAny(state, ",]"))], " "); {
		case i == 0: // our own stands first
		case bytes.HasPrefix(stack, []byte("os/signal.signal_recv(")):
			signals++
		default:
			for _, moves := range []string{"running", "runnable", inCall, "preempted", "copystack"} {
				if bytes.HasPrefix(state, []byte(moves)) {
					busy[string(id)] = moves
				}
			}
		}
	}
	return signals, busy
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
	start, exact := time.Now(), 20*time.Millisecond
	for n, streak := 1, 0; ; n++ {
		runtime.Gosched()
		if !r.quiet() {
			streak = 0
		} else if streak++; streak == 2 {
			if r.stopped() {
				return nil
			}
			streak = 0
		}
		if n%looks > 0 {
			continue
		}
		took := time.Since(start)
		if took > exact {
			if r.stopped() {
				return nil
			}
			exact = took + min(took, 50*time.Millisecond)
		}
		switch {
		case took > r.patience:
			return fmt.Errorf("nothing came to rest within %s: a step, a handler or a lookup is busy all the time", r.patience)
		case took > 5*time.Millisecond:
			time.Sleep(50 * time.Microsecond) //nolint:forbidigo // nothing tells when others come to rest
		}
	}
}
