package http

import (
	nethttp "net/http"
	"testing"

	"github.com/leatdev/leat/pipeline/event"
)

func TestTraceContext(t *testing.T) {
	const a, b = "00-5759e988bd862e3fe1be46a994272793-53995c3f42cd8ad8-01", "00-5759e988bd862e3fe1be46a994272793-53995c3f42cd8ad9-01"
	of := func(parents ...string) (batch []event.Recorded, all []int) {
		for i, p := range parents {
			var e event.Recorded
			e.SetMeta("traceparent", p)
			if p != "" {
				e.SetMeta("tracestate", "v=1")
			}
			batch, all = append(batch, e), append(all, i)
		}
		return batch, all
	}
	for _, tt := range []struct {
		parents []string
		set     string
		want    string
	}{
		{parents: []string{a}, want: a},
		{parents: []string{a, a}, want: a},
		{parents: []string{a, b}},
		{parents: []string{a, ""}},
		{parents: []string{""}},
		{parents: []string{a}, set: b, want: b},
	} {
		h := nethttp.Header{}
		if tt.set != "" {
			h.Set("Traceparent", tt.set)
		}
		batch, all := of(tt.parents...)
		carry(h, batch, all)
		state := h.Get("Tracestate")
		if h.Get("Traceparent") != tt.want || (state == "v=1") != (tt.want == a) {
			t.Errorf("%+v: %v", tt, h)
		}
	}
}
