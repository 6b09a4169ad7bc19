package pipeline

import (
	"context"
	"strings"
	"testing"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/steps"
)

func TestBadInput(t *testing.T) {
	good := order("e-9", "o", 9)
	for _, tt := range []struct{ name, body, outcome, parked string }{
		{"malformed", `{"id":`, "poisoned", "source parked malformed"},
		{"empty", ``, "poisoned", "source parked malformed"},
		{"too large", `{"id":"` + strings.Repeat("x", 1<<20) + `"}`, "poisoned", "source parked too_large"},
		{"not a number", `{"id":"e","source":"s","detail-type":"T","detail":{"order_id":NaN}}`, "poisoned", "source parked malformed"},
		{"not UTF-8", "{\"id\":\"e\",\"source\":\"s\",\"detail-type\":\"T\",\"detail\":{\"order_id\":\"\xff\"}}", "poisoned", "source parked malformed"},
		{"deep", strings.Repeat("[", 10000) + strings.Repeat("]", 10000), "poisoned", "source parked malformed"},
		{"a claim that it does not keep", `{"detail-type":"T","detail":{}}`, "poisoned", "source parked malformed"},
		{"a missing field", `{"id":"e","source":"s","detail-type":"T","detail":{}}`, "poisoned", "append parked stream"},
		{"plain text", `hello`, "poisoned", "source parked malformed"},
		{"an unknown type", `{"id":"e","source":"s","detail-type":"Who","detail":{"order_id":"o"}}`, "committed", ""},
		{"any JSON", `[1,2]`, "poisoned", "append parked stream"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			run(t, strings.Replace(plainAppend, "{ feed: {} }", "{ feed: { keyed: true } }", 1), func(r *rig) {
				r.start().feed().send(order("e-8", "o", 8), tt.body, good).is("committed " + tt.outcome + " committed") // the rest goes on
				s := r.finish()
				r.ok()
				parked := strings.Join(r.parked(), ",")
				if !strings.HasPrefix(parked, tt.parked) || (tt.parked == "") != (parked == "") {
					t.Errorf("parked %q, want %q", parked, tt.parked)
				}
				if tt.parked != "" {
					e := r.entries()[0]
					same(r, "the body as it came", len(e.Payload), len(tt.body))
					if strings.Contains(e.Reason, strings.Repeat("x", 100)) {
						t.Error("the reason holds the body")
					}
					same(r, "counted", r.counter("leat_events_poisoned_total", "code", e.Code), 1)
				}
				same(r, "received", s.Received, 3)
			})
		})
	}
}

func TestEmptyBatch(t *testing.T) {
	for _, yaml := range []string{plainAppend, noLog, keepBig, strings.Replace(plainAppend, "{ feed: {} }", "{ feed: { ordered: true, cursor: true }, order_by: data.x }", 1)} {
		run(t, yaml, func(r *rig) {
			f := r.start().feed()
			empty := f.send()
			f.send(order("e-1", "o", 900)).outcomes()
			r.finish()
			r.ok()
			select {
			case <-empty.m.Acked():
			default:
				t.Error("it is not acknowledged")
			}
		})
	}
}

// looking has find called for the lookups of the rig's pipelines.
func (r *rig) looking(find func(step, id string) error) {
	r.o.OpenLookup = func(_, step string, _ *config.Lookup) steps.Lookup {
		return func(_ context.Context, key map[string]string) ([]byte, error) { return nil, find(step, key["id"]) }
	}
}

const lookUp = "      - lookup: { table: t, key: { id: id }, missing: null, into: metadata.row }\n"

const lookTable = "tables: { t: { columns: { id: text } } }\n"

func TestPanicInAStep(t *testing.T) {
	run(t, strings.NewReplacer("      - append:", lookUp+"      - append:", "      - forward:", lookUp+"      - forward:").Replace(plainAppend)+lookTable, func(r *rig) {
		r.looking(func(step, id string) error {
			switch step + " " + id {
			case "lookup e-2":
				panic("index out of range")
			case "lookup#2 e-8":
				panic("relay panic")
			}
			return nil
		})
		f := r.start().feed()
		f.send(orders(3, 1)...).is("committed poisoned committed")
		f.send(order("e-8", "p", 1), order("e-9", "q", 1)).is("committed committed")
		r.finish()
		r.ok()
		same(r, "parked", r.parked(), []string{"intake parked panic shop|e-2 1", "forward catch out parked panic 3 1"})
		for _, e := range r.entries() {
			if !strings.Contains(e.Stack, "badinput_test.go") {
				t.Errorf("stack %q", e.Stack)
			}
		}
		same(r, "forwarded", r.sink("out").ids(), []string{"e-1", "e-3", "e-9"})
	})
}

// TestStepErrors: what a plugin's errors mean in the intake.
func TestStepErrors(t *testing.T) {
	for _, tt := range []struct {
		name    string
		err     error
		outcome string
		parked  []string
	}{
		{"skip", event.Skip("not wanted"), "filtered", nil},
		{"poison", event.Poison(errRefused), "poisoned", []string{"lookup parked poison shop|e-1 1"}},
		{"poison with a code", event.PoisonAs("mine", errRefused), "poisoned", []string{"lookup parked mine shop|e-1 1"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, yaml := range []string{plainAppend, noLog} {
				run(t, strings.Replace(yaml, "    steps:\n", "    steps:\n"+lookUp, 1)+lookTable, func(r *rig) {
					r.looking(func(string, string) error { return tt.err })
					f := r.start().feed()
					f.send(order("e-1", "o", 1)).is(tt.outcome)
					r.finish()
					r.ok()
					if yaml == plainAppend {
						same(r, "parked", r.parked(), tt.parked)
					}
				})
			}
		})
	}
}

// TestPanicInAHandlerStopsThePipeline: the router would nack the message and say nothing (watermill v1.5.1,
// router.go:811), so that its events were neither settled nor told of.
func TestPanicInAHandlerStopsThePipeline(t *testing.T) {
	run(t, plainAppend, func(r *rig) {
		f := r.start().feed()
		bad := f.give(func(b *event.Batch) { b.Key = func(int) string { panic("no key") } }, `{"source":"s","detail-type":"T","detail":{"order_id":"o"}}`)
		r.join()
		if r.err == nil || !strings.Contains(r.err.Error(), "no key") {
			t.Errorf("ended with %v", r.err)
		}
		bad.is("released")
	})
}
