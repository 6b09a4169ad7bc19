package pipeline

import (
	"fmt"
	"testing"

	"github.com/leatdev/leat/pipeline/rawjson"
)

func TestNotify(t *testing.T) {
	for _, tt := range []struct{ forward, want string }{
		{"notify: {}", `{"StreamId":"o","StreamType":"order","StreamRevision":"%d"}`},
		{"notify: {}, envelope: data", `{"StreamId":"o","StreamType":"order","StreamRevision":"%d"}`},
		{"notify: {}, source: leat, type: Touched, envelope: cloudevents", ""},
	} {
		run(t, pipelineOf("{ name: tell, forward: { catch: { name: a }, "+tt.forward+" } }", toB), func(r *rig) {
			r.start().feed().send(order("e-1", "o", 1), order("e-2", "o", 2), order("e-3", "o", 3)).is("committed committed committed")
			r.wait()
			if tt.want != "" {
				same(r, "bodies", r.sink("a").bodies(), []string{fmt.Sprintf(tt.want, 1), fmt.Sprintf(tt.want, 2), fmt.Sprintf(tt.want, 3)})
			} else {
				for i, body := range r.sink("a").bodies() {
					get := func(path ...string) string {
						v, _ := rawjson.Get([]byte(body), path...)
						return string(v)
					}
					same(r, "body", []string{get("type"), get("source"), get("data", "StreamRevision")}, []string{`"Touched"`, `"leat"`, fmt.Sprintf(`"%d"`, i+1)})
				}
			}
			got := r.sink("a").got[0]
			same(r, "id", got.ID, "e-1-notify")
			same(r, "stream, for groups and shards", got.Stream.String(), "order/o")
			same(r, "subject", got.Subject, "order/o")
			same(r, "the other forward", r.sink("b").bodies()[0], order("e-1", "o", 1))
			r.finish()
			r.ok()
		})
	}
}

// TestNotifyNames: names of any characters are JSON all the same.
func TestNotifyNames(t *testing.T) {
	run(t, pipelineOf("forward: { catch: { name: a }, notify: {} }"), func(r *rig) {
		r.start().feed().send(order("e-1", "ö\"<\u2028/1", 1)).is("committed")
		r.finish()
		r.ok()
		v, ok := rawjson.Get([]byte(r.sink("a").bodies()[0]), "StreamId")
		if got := rawjson.Text(v); !ok || got != "ö\"<\u2028/1" {
			t.Errorf("the stream's id is %q in %s", got, r.sink("a").bodies()[0])
		}
	})
}
