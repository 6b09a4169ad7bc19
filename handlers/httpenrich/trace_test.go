package httpenrich

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/leatdev/leat/pipeline/trace"
)

// The request is below the step's span, or else the event's, and the answer is known again in whatever trace.
func TestTraceContext(t *testing.T) {
	var got []string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = append(got, r.Header.Get("Traceparent")+" "+r.Header.Get("Tracestate"))
		_, _ = w.Write([]byte("1"))
	}))
	defer srv.Close()
	h := open(t, `url: "`+srv.URL+`/c/{{ data.id }}", allow_private: true, cache: { ttl: 1h }`, nil)
	const own, step = "00-5759e988bd862e3fe1be46a994272793-53995c3f42cd8ad8-01", "00-5759e988bd862e3fe1be46a994272793-53995c3f42cd8ad9-01"
	ctx := t.Context()
	for _, id := range []string{"1", "2", "2"} {
		e := customer(id)
		e.SetMeta("traceparent", own)
		e.SetMeta("tracestate", "v=1")
		if _, err := h.Handle(ctx, e); err != nil {
			t.Fatal(err)
		}
		p, _ := trace.ParseTraceparent(step)
		ctx = trace.With(ctx, p)
	}
	if len(got) != 2 || got[0] != own+" v=1" || got[1] != step+" " {
		t.Errorf("%q", got)
	}
}
