package tap_test

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/tap"
)

func put(h *tap.Hub, stage, name, id string) {
	h.Put(tap.Sample{Stage: stage, Name: name}, &event.Recorded{Event: event.Event{ID: id}})
}

func TestStages(t *testing.T) {
	for _, tt := range []struct {
		stages []string
		want   string
	}{
		{nil, "source step/filter step/map append/append relay/to-a relay/to-b poison/to-a"},
		{[]string{"source"}, "source"},
		{[]string{"step"}, "step/filter step/map"},
		{[]string{"step/*"}, "step/filter step/map"},
		{[]string{"relay/to-*", "poison"}, "relay/to-a relay/to-b poison/to-a"},
		{[]string{"*/to-a"}, "relay/to-a poison/to-a"},
		{[]string{"[sp]*"}, "source step/filter step/map poison/to-a"},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		var h tap.Hub
		o := tap.Options{Stages: tt.stages}
		if err := o.Check(); err != nil {
			t.Errorf("%q: %v", tt.stages, err)
		}
		samples := h.Listen(ctx, o)
		for _, s := range []string{"source/", "step/filter", "step/map", "append/append", "relay/to-a", "relay/to-b", "poison/to-a"} {
			stage, name, _ := strings.Cut(s, "/")
			put(&h, stage, name, "")
		}
		h.Put(tap.Sample{Stage: "end"}, &event.Recorded{}) // wanted by none
		n := strings.Count(tt.want, " ") + 1
		var got []string
		for s := range samples {
			got = append(got, strings.TrimSuffix(s.Stage+"/"+s.Name, "/"))
			if len(got) == n {
				break
			}
		}
		if diff := cmp.Diff(tt.want, strings.Join(got, " ")); diff != "" {
			t.Errorf("%q (-want +got):\n%s", tt.stages, diff)
		}
		if h.On() {
			t.Errorf("%q: the hub still has its listener", tt.stages)
		}
		cancel()
	}
}

func TestBadStages(t *testing.T) {
	for _, tt := range []struct{ glob, words string }{
		{"steps", "there are source, step"}, {"relays/x", "there are"}, {"step/[", "no pattern"}, {"", "there are"},
	} {
		o := tap.Options{Stages: []string{tt.glob}}
		if err := o.Check(); err == nil || !strings.Contains(err.Error(), tt.words) {
			t.Errorf("%q: %v, want words about %q", tt.glob, err, tt.words)
		}
	}
}

func TestSlowListenersLose(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var h tap.Hub
	samples := h.Listen(ctx, tap.Options{Buffer: 2})
	for _, id := range []string{"1", "2", "3", "4", "5"} {
		put(&h, tap.Source, "", id)
	}
	got := ""
	for s := range samples {
		got += s.Event.ID
		if s.Event.ID == "2" {
			put(&h, tap.Source, "", "6")
		}
		if s.Event.ID == "6" {
			if s.Lost != 3 {
				t.Errorf("%d lost, want 3", s.Lost)
			}
			break
		}
		if s.Lost != 0 {
			t.Errorf("%s: %d lost before it", s.Event.ID, s.Lost)
		}
	}
	if got != "126" {
		t.Errorf("got %s, want 1, 2 and 6", got)
	}
}

func TestSamplesAreCopies(t *testing.T) {
	var h tap.Hub
	raw := []byte(`{"a":1}`)
	e := event.Recorded{Event: event.Event{Raw: raw, Data: raw}}
	samples := h.Listen(t.Context(), tap.Options{})
	h.Put(tap.Sample{Stage: tap.Source}, &e)
	copy(raw, "xxxxxxx")
	for s := range samples {
		if string(s.Event.Data) != `{"a":1}` {
			t.Errorf("the sample shares memory with the batch: %s", s.Event.Data)
		}
		break
	}
}

func TestEndedListenersLeave(t *testing.T) {
	var h tap.Hub
	ctx, cancel := context.WithCancel(t.Context())
	samples := h.Listen(ctx, tap.Options{})
	cancel()
	for range samples {
		t.Error("a sample after the end")
	}
	if h.On() {
		t.Error("the hub still has its listener")
	}
	var none *tap.Hub
	put(none, tap.Source, "", "")
}

func BenchmarkNobodyListens(b *testing.B) {
	var h tap.Hub
	b.ReportAllocs()
	for b.Loop() {
		if h.On() {
			put(&h, tap.Source, "", "")
		}
	}
}
