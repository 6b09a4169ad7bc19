package awsfake

import (
	"math/rand/v2"
	"net/http"
	"sync"
	"time"
)

// Fault is what goes wrong with one call. The zero Fault is none.
type Fault struct {
	Delay time.Duration // before anything is done
	// Code refuses the call, with Status.
	Code   string
	Status int
	Lost   bool // the call is done, the connection breaks before its answer
	Cut    bool // the call is done, its answer breaks in the middle of its body
	// Fail has a bit for each entry of a batch that fails, with EntryCode (InternalError where it is empty).
	Fail      uint16
	EntryCode string
	// Duplicate leaves what a receive hands out visible, as if its copy on another server had not heard of it. Standard
	// queues only, as Shuffle.
	Duplicate bool
	Shuffle   bool
	// Expire ends the visibility timeout of everything in flight before the call is done.
	Expire bool
}

// Plan makes faults by chance, the same ones for the same seed and sequence of calls. Rates are between 0 and 1.
type Plan struct {
	Throttle, ServerError, Lost, Cut, Slow, Partial, Duplicate, Shuffle, Expire float64

	mu  sync.Mutex
	rng *rand.Rand
}

// Rough is a plan in which about one call in three meets some fault.
func Rough(seed uint64) *Plan {
	return &Plan{
		Throttle: 0.05, ServerError: 0.05, Lost: 0.04, Cut: 0.04, Slow: 0.05, Partial: 0.15, Duplicate: 0.05, Shuffle: 0.3, Expire: 0.02,
		rng: rand.New(rand.NewPCG(seed, 0x1ea7)),
	}
}

// Faults is for New.
func (p *Plan) Faults(op string, _ int) (f Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	hit := func(rate float64) bool { return p.rng.Float64() < rate }
	if op == "GetQueueUrl" || op == "GetQueueAttributes" || op == "CreateQueue" || op == "DescribeEventBus" {
		return f // a source that cannot start says so: the faults are for what runs
	}
	if hit(p.Slow) {
		f.Delay = time.Duration(p.rng.IntN(5000)) * time.Millisecond
	}
	switch {
	case hit(p.Throttle):
		f.Code, f.Status = "RequestThrottled", http.StatusBadRequest
	case hit(p.ServerError):
		f.Code, f.Status = "InternalFailure", http.StatusInternalServerError
	case hit(p.Lost):
		f.Lost = true
	case hit(p.Cut):
		f.Cut = true
	}
	if hit(p.Partial) {
		f.Fail = uint16(p.rng.IntN(1 << 10))
		if hit(0.5) {
			f.EntryCode = "ThrottlingException"
		}
	}
	f.Duplicate, f.Shuffle, f.Expire = hit(p.Duplicate), hit(p.Shuffle), hit(p.Expire)
	return f
}

// fails reports whether the i-th entry of a batch fails.
func (f Fault) fails(i int) bool { return i < 16 && f.Fail&(1<<i) != 0 }

func (f Fault) entryCode() string {
	if f.EntryCode != "" {
		return f.EntryCode
	}
	return "InternalError"
}
