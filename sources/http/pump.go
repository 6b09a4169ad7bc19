package http

import (
	"context"
	"errors"
	"strconv"
	"sync/atomic"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/leatdev/leat/pipeline/event"
)

// request is what the pipeline does with the events of one HTTP request. Its outcomes may be read when done is closed.
type request struct {
	key      string // the sender's name for the request, "" where it gave none
	single   bool
	outcomes []outcome
	left     atomic.Int64
	done     chan struct{}
}

// outcome is what became of one event.
type outcome struct {
	outcome event.Outcome
	err     error
}

func newRequest(key string, n int, single bool) *request {
	r := &request{key: key, single: single, outcomes: make([]outcome, n), done: make(chan struct{})}
	r.left.Store(int64(n))
	if n == 0 {
		close(r.done)
	}
	return r
}

// settle notes one outcome; each index is settled once.
func (r *request) settle(i int, o event.Outcome, err error) {
	r.outcomes[i] = outcome{o, err}
	if r.left.Add(-1) == 0 {
		close(r.done)
	}
}

// idempotency names event i of the request.
func (r *request) idempotency(i int) string {
	if r.key == "" || r.single {
		return r.key
	}
	return r.key + "/" + strconv.Itoa(i)
}

// delivery is a run of a request's events that fits into one batch.
type delivery struct {
	of     *request
	first  int // index of the first in the request
	events []event.Event
	size   int
}

func (d *delivery) fail(err error) {
	for i := range d.events {
		d.of.settle(d.first+i, event.Released, err)
	}
}

var (
	errStopping = errors.New("http: the pipeline stops")
	errFull     = errors.New("http: the pipeline has all that it may hold")
)

// split cuts a request's events into deliveries, each within the limits of a batch. Events beyond the largest size are
// cut to one byte more, so that the pipeline sees that they are too large and memory stays flat.
func (s *Source) split(of *request, events []event.Event) []*delivery {
	var out []*delivery
	var d *delivery
	for i := range events {
		e := &events[i]
		if limit := s.env.MaxEventSize; limit > 0 && len(e.Raw) > limit {
			e.Raw = e.Raw[: limit+1 : limit+1]
		}
		if d == nil || !s.fits(len(d.events), d.size, 1, len(e.Raw)) {
			d = &delivery{of: of, first: i}
			out = append(out, d)
		}
		d.events = events[d.first : i+1]
		d.size += len(e.Raw)
	}
	return out
}

func (s *Source) fits(events, size, moreEvents, moreSize int) bool {
	return (s.env.MaxEvents <= 0 || events+moreEvents <= s.env.MaxEvents) && (s.env.MaxBytes <= 0 || size+moreSize <= s.env.MaxBytes)
}

// parcel is the batch that is being put together: requests that wait at the same time travel as one, and each is
// answered by its own events alone.
type parcel struct {
	deliveries []*delivery
	events     int
	size       int
}

func (p *parcel) add(d *delivery) {
	p.deliveries = append(p.deliveries, d)
	p.events += len(d.events)
	p.size += d.size
}

func (p *parcel) fail(err error) {
	for _, d := range p.deliveries {
		d.fail(err)
	}
}

// place says whose event one of the batch is.
type place struct {
	of *request
	i  int
}

func (p *parcel) batch() *event.Batch {
	if len(p.deliveries) == 1 {
		d := p.deliveries[0]
		return &event.Batch{
			Events: d.events, Bytes: d.size,
			Key:      func(i int) string { return d.of.idempotency(d.first + i) },
			OnSettle: func(i int, o event.Outcome, err error) { d.of.settle(d.first+i, o, err) },
		}
	}
	events := make([]event.Event, 0, p.events)
	places := make([]place, 0, p.events)
	for _, d := range p.deliveries {
		events = append(events, d.events...)
		for i := range d.events {
			places = append(places, place{d.of, d.first + i})
		}
	}
	return &event.Batch{
		Events: events, Bytes: p.size,
		Key:      func(i int) string { return places[i].of.idempotency(places[i].i) },
		OnSettle: func(i int, o event.Outcome, err error) { places[i].of.settle(places[i].i, o, err) },
	}
}

// pump hands the pipeline what requests bring, until ctx is done. While the pipeline does not take a batch, it grows.
func (s *Source) pump(ctx context.Context, out chan<- *message.Message) {
	var next *delivery // did not fit into the last batch
	for {
		var p parcel
		if next != nil {
			p.add(next)
			next = nil
		} else {
			select {
			case d := <-s.in:
				p.add(d)
			case <-ctx.Done():
				return
			}
		}
		next = s.gather(&p)
		if !s.send(ctx, &p, &next, out) {
			p.fail(errStopping)
			if next != nil {
				next.fail(errStopping)
			}
			return
		}
	}
}

// gather takes what waits already; it gives back what does not fit.
func (s *Source) gather(p *parcel) (over *delivery) {
	for {
		select {
		case d := <-s.in:
			if !s.fits(p.events, p.size, len(d.events), d.size) {
				return d
			}
			p.add(d)
		default:
			return nil
		}
	}
}

// send offers the batch and goes on gathering until it is taken. False: ctx was done first.
func (s *Source) send(ctx context.Context, p *parcel, over **delivery, out chan<- *message.Message) bool {
	m := p.batch().Message(context.WithoutCancel(ctx))
	for {
		in := s.in
		if *over != nil {
			in = nil
		}
		select {
		case out <- m:
			return true
		case d := <-in:
			if !s.fits(p.events, p.size, len(d.events), d.size) {
				*over = d
				continue
			}
			p.add(d)
			*over = s.gather(p)
			m = p.batch().Message(context.WithoutCancel(ctx))
		case <-ctx.Done():
			return false
		}
	}
}
