package entries

import (
	"sync"

	"github.com/leatdev/leat/pipeline/event"
)

// outcomes gathers what failed of a batch. It is safe for concurrent use.
type outcomes struct {
	mu     sync.Mutex
	failed *event.BatchError
}

// fail notes the failure of an event.
func (o *outcomes) fail(i int, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.failed = o.failed.Fail(i, err)
}

// err is what Write returns for a batch of n: nothing, one outage where all of it met one, else what failed by event.
func (o *outcomes) err(n int) error {
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
