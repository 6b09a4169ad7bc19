package putevents

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/leatdev/leat/pipeline/event"
)

type answerPut struct {
	FailedEntryCount int
	Entries          []result
}

// delivery is what one pipeline gets of a request.
type delivery struct {
	to      *Source
	entries []int // by their index in the request
	batch   *event.Batch
	taken   bool
}

func (bs *buses) putEvents(r *http.Request, body []byte) (any, *fault) {
	var in struct{ Entries []entry }
	if f := decode(body, &in); f != nil {
		return nil, f
	}
	total := 0
	for i := range in.Entries {
		total += in.Entries[i].size()
	}
	switch n := len(in.Entries); {
	case n == 0:
		return nil, invalidRequest("1 validation error detected: Value '[]' at 'entries' failed to satisfy constraint: Member must have length greater than or equal to 1")
	case n > maxEntries:
		return nil, invalidRequest("1 validation error detected: Value '[PutEventsRequestEntry]' at 'entries' failed to satisfy constraint: Member must have length less than or equal to %d", maxEntries)
	case total > maxTotal:
		return nil, invalidRequest("Total size of the entries in the request is over the limit.")
	}
	results, deliveries, f := bs.route(r, in.Entries)
	if f != nil {
		return nil, f
	}
	bs.deliver(r, deliveries, results)
	return answerOf(results)
}

// answerOf gives the answer by entries. Where all of them failed and may fare better later, the request fails whole,
// since the SDKs repeat a request by themselves, but no entries of one.
func answerOf(results []result) (any, *fault) {
	out := answerPut{Entries: results}
	again := 0
	for _, r := range results {
		if r.failed() {
			out.FailedEntryCount++
		}
		if r.retriable() {
			again++
		}
	}
	if again < len(results) {
		return out, nil
	}
	if slices.ContainsFunc(results, func(r result) bool { return r.ErrorCode == codeInternal }) {
		return nil, &fault{http.StatusInternalServerError, codeInternal, results[0].ErrorMessage}
	}
	return nil, &fault{http.StatusBadRequest, codeThrottled, results[0].ErrorMessage}
}

// route checks the entries and finds which pipelines take them.
func (bs *buses) route(r *http.Request, entries []entry) ([]result, []*delivery, *fault) {
	results := make([]result, len(entries))
	var deliveries []*delivery
	now, in, trace := bs.now(), region(r), r.Header.Get("X-Amzn-Trace-Id")
	for i := range entries {
		e := &entries[i]
		at, ok := e.time(now)
		if !ok {
			return nil, nil, &fault{http.StatusBadRequest, "SerializationException", "Time is a number of seconds since 1970"}
		}
		if results[i] = e.check(); results[i].failed() {
			continue
		}
		b := bs.bus(e.bus())
		if b == nil {
			results[i] = invalid("EventBusName", "Event bus "+e.bus()+" does not exist; pipelines listen to "+bs.names()+".")
			continue
		}
		var ev event.Event
		if ev, results[i] = e.event(event.NewID(), in, trace, at); results[i].failed() {
			continue
		}
		taken := false
		_ = b.rules.Match(ev.Raw, func(s *Source) bool { // an error is for what is no JSON object
			taken = true
			deliveries = assign(deliveries, s, i, ev)
			return true
		})
		if !taken {
			bs.log.Debug("put_events: no pipeline takes the event", "bus", b.name, "source", e.Source, "type", e.DetailType)
		}
	}
	return results, deliveries, nil
}

func (bs *buses) names() string {
	var names []string
	for _, b := range bs.list() {
		names = append(names, b.name)
	}
	return strings.Join(names, ", ")
}

// assign adds an event to what a pipeline gets.
func assign(all []*delivery, to *Source, i int, ev event.Event) []*delivery {
	if limit := to.env.MaxEventSize; limit > 0 && len(ev.Raw) > limit {
		ev.Raw = ev.Raw[: limit+1 : limit+1] // too large for the pipeline, which says so
	}
	for _, d := range all {
		if d.to == to && (to.env.MaxEvents <= 0 || len(d.entries) < to.env.MaxEvents) {
			d.entries, d.batch.Events = append(d.entries, i), append(d.batch.Events, ev)
			return all
		}
	}
	return append(all, &delivery{to: to, entries: []int{i}, batch: &event.Batch{Events: []event.Event{ev}}})
}

// deliver hands the pipelines their batches and waits until all are settled. Entries that a pipeline did not take, or
// gave back, fail.
func (bs *buses) deliver(r *http.Request, deliveries []*delivery, results []result) {
	ctx, cancel := context.WithTimeout(r.Context(), bs.answerWithin)
	defer cancel()
	accept, cancel := context.WithTimeout(ctx, bs.acceptWithin)
	defer cancel()
	for _, d := range deliveries {
		select {
		case d.to.in <- d.batch:
			d.taken = true
		case <-d.to.stopped:
			d.fail(results, codeInternal, "The pipeline stops; send the event again.")
		case <-accept.Done():
			d.fail(results, codeThrottled, "The pipeline has all that it may hold; send the event later.")
		}
	}
	for _, d := range deliveries {
		if !d.taken {
			continue
		}
		select {
		case <-d.batch.Done():
		case <-ctx.Done():
		}
		for k, i := range d.entries {
			if o := d.batch.Outcome(k); o == event.Released || o == event.Pending {
				results[i] = result{ErrorCode: codeInternal, ErrorMessage: "The pipeline is not done with the event; send it again."}
			}
		}
	}
}

func (d *delivery) fail(results []result, code, message string) {
	for _, i := range d.entries {
		results[i] = result{ErrorCode: code, ErrorMessage: message}
	}
}
