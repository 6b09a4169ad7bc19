package aws

import (
	"sync"

	"github.com/leatdev/leat/pipeline/event"
)

// Cut cuts entries into runs of at most most entries and bytes: the i-th weighs size(i), one that is heavier has a run of
// its own. It gives the ends of the runs.
func Cut(n, most, bytes int, size func(i int) int) (ends []int) {
	count, sum := 0, 0
	for i := range n {
		s := size(i)
		if count > 0 && (count == most || sum+s > bytes) {
			ends = append(ends, i)
			count, sum = 0, 0
		}
		count++
		sum += s
	}
	if count > 0 {
		ends = append(ends, n)
	}
	return ends
}

// Parallel calls do for each run between the ends, at most calls of them at a time, and waits for all.
func Parallel(ends []int, calls int, do func(from, to int)) {
	if len(ends) == 1 {
		do(0, ends[0])
		return
	}
	slots := make(chan struct{}, calls)
	var all sync.WaitGroup
	from := 0
	for _, to := range ends {
		slots <- struct{}{}
		at := from
		all.Go(func() {
			defer func() { <-slots }()
			do(at, to)
		})
		from = to
	}
	all.Wait()
}

// Outcomes gathers what failed of a sink's batch. It is safe for concurrent use.
type Outcomes struct {
	mu     sync.Mutex
	failed *event.BatchError
}

// Fail notes the failure of an event.
func (o *Outcomes) Fail(i int, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.failed = o.failed.Fail(i, err)
}

// Err is what Write returns for a batch of n: nothing, one outage where all of it met one, else what failed by event.
func (o *Outcomes) Err(n int) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.failed == nil || len(o.failed.Failed) < n {
		return o.failed.Err()
	}
	var longest error
	for _, err := range o.failed.Failed {
		after, down := event.AsUnavailable(err)
		if !down {
			return o.failed.Err()
		}
		if so, _ := event.AsUnavailable(longest); longest == nil || after > so {
			longest = err
		}
	}
	return longest
}
