package http

import (
	nethttp "net/http"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/httpclient"
	"github.com/leatdev/leat/pipeline/trace"
)

// carry adds W3C's trace context to a request of one event, or of several that belong to one span: a request has one
// parent. Headers of the config stay.
func carry(h nethttp.Header, batch []event.Recorded, events []int) {
	if h.Get(trace.Traceparent) != "" {
		return
	}
	first := &batch[events[0]].Event
	parent, ok := trace.Of(first)
	if !ok {
		return
	}
	for _, i := range events[1:] {
		if p, ok := trace.Of(&batch[i].Event); !ok || p != parent {
			return
		}
	}
	h.Set(trace.Traceparent, parent.Traceparent())
	if parent.State != "" && httpclient.PlainLine(parent.State) {
		h.Set(trace.Tracestate, parent.State)
	}
}
