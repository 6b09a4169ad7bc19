package live

import (
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
)

// Pages bounds an option's pages where it does not: by 1000 events and 4 MiB.
func Pages(o eventstore.SubscribeOptions) eventstore.SubscribeOptions {
	if o.MaxEvents <= 0 {
		o.MaxEvents = 1000
	}
	if o.MaxBytes <= 0 {
		o.MaxBytes = 4 << 20
	}
	return o
}

// Page is a page that is being filled.
type Page struct {
	eventstore.Page
	Full bool // nothing more goes into it
	o    eventstore.SubscribeOptions
	size int
}

// NewPage begins the page behind a position, of a log that ends at head.
func NewPage(after, head int64, o eventstore.SubscribeOptions) *Page {
	return &Page{Page: eventstore.Page{Through: after, Head: head}, o: o}
}

// Add adds those of the next events of the log that are selected and lie before the page's head, until it is full.
func (p *Page) Add(next []event.Recorded) {
	for i := 0; i < len(next) && !p.Full; i++ {
		if p.Events == nil && p.o.Filter.Selects(&next[i]) {
			p.Events = make([]event.Recorded, 0, min(len(next)-i, p.o.MaxEvents))
		}
		p.Take(&next[i])
	}
}

// Take is Add for one event.
func (p *Page) Take(r *event.Recorded) {
	if p.Full = r.Position > p.Head; p.Full {
		return
	}
	if p.o.Filter.Selects(r) {
		p.size += len(r.Raw) + len(r.Data) + len(r.Metadata)
		if p.Full = len(p.Events) > 0 && p.size > p.o.MaxBytes; p.Full {
			return
		}
		p.Events = append(p.Events, *r)
	}
	p.Through = r.Position
	p.Full = len(p.Events) == p.o.MaxEvents
}
