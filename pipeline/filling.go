package pipeline

import (
	"github.com/leatdev/leat/pipeline/eventstore"
)

// fill puts pages together until one is full or the first of it has waited for `batch: {wait}`. Pages without events
// are handed on at once with what there is: nobody waits for them. At the end of the input nothing waits any more.
func (r *relay) fill(t *tenure, in <-chan *eventstore.Page, out chan<- *eventstore.Page) {
	b := &r.plan.frame.Batch
	stop := t.stop.Done()
	for {
		var page *eventstore.Page
		select {
		case page = <-in:
		case <-stop:
			return
		}
		if len(page.Events) > 0 {
			timer := r.pipe.clock.NewTimer(b.Wait)
		gather:
			for len(page.Events) < b.Events && size(page) < int(b.Bytes) {
				select {
				case more := <-in:
					page.Events = append(page.Events, more.Events...)
					page.Through, page.Head = more.Through, more.Head
				case <-timer.C:
					break gather
				case <-r.pipe.noMore:
					break gather
				case <-stop:
					timer.Stop()
					return
				}
			}
			timer.Stop()
		}
		select {
		case out <- page:
		case <-stop:
			return
		}
	}
}

func size(p *eventstore.Page) int {
	n := 0
	for i := range p.Events {
		n += len(p.Events[i].Raw)
	}
	return n
}
