package pipeline

import (
	"strings"
	"testing"

	"github.com/leatdev/leat/pipeline/event"
)

// oneEvent runs a body through steps above and below an append and gives what the log and the sink hold.
func oneEvent(t *testing.T, frame, above, appendFields, below, body string, check func(r *rig, out string)) {
	t.Helper()
	run(t, `
pipelines:
  p:
    source: { feed: { keyed: true }`+frame+` }
    steps:
`+above+`
      - append: { stream: "s/one"`+appendFields+` }
`+below+`
`, func(r *rig) {
		r.start().feed().send(body).outcomes()
		r.finish()
		r.ok()
		out := ""
		if got := r.sink("out").bodies(); len(got) == 1 {
			out = got[0]
		}
		check(r, out)
	})
}

const toOut = "      - forward: { catch: { name: out } }"

// spaced is a body that an encoder would write otherwise.
const spaced = `{"version":"0",  "id":"e-1", "source":"shop","account":"123","detail-type":"T", "region":"eu-west-1","detail":{ "n" : 1.50 , "z":null}}`

func TestBodiesThatLeave(t *testing.T) {
	for _, tt := range []struct{ name, frame, above, append, below, body, want string }{
		{"as it came", "", "", "", toOut, spaced, spaced},
		{"as it came, although fields come out as they are", "", "", `, type: "{{ type }}", source: "{{ source }}"`, toOut, spaced, spaced},
		{"as it came, cloudevents", "", "", "", toOut, `{"specversion":"1.0","id":"e-1","source":"s","type":"T", "data":{"a":1}}`, `{"specversion":"1.0","id":"e-1","source":"s","type":"T", "data":{"a":1}}`},
		{"as it came, a plain body that the frame makes an event of", `, envelope: json, event: { id: data.key, type: '"T"' }`, "", "", toOut, `{ "key":"k-1","v":2}`, `{ "key":"k-1","v":2}`},
		{"another envelope", "", "", "", "      - forward: { catch: { name: out }, envelope: data }", spaced, `{ "n" : 1.50 , "z":null}`},
		{"map makes another event", "", "      - map: { set: { data.n: data.n + 1 } }", "", toOut, spaced,
			`{"version":"0","id":"e-1","detail-type":"T","source":"shop","account":"123","time":"2000-01-01T00:00:00Z","region":"eu-west-1","resources":[],"detail":{ "n" : 2.5 , "z":null}}`},
		{"map sets and unsets", "", "      - map: { set: { data: { a.b: id, c: { d: data.n } } , subject: '\"x\"' }, unset: [data.z] }", "", "      - forward: { catch: { name: out }, envelope: data }", spaced,
			`{ "n" : 1.50 ,"a":{"b":"e-1"},"c":{"d":1.50}}`},
		{"append writes another event", "", "", `, type: "Other", data: { total: data.n, who: { source: source } }`, "      - forward: { catch: { name: out }, envelope: data }", spaced,
			`{"total":1.50,"who":{"source":"shop"}}`},
		{"forward writes another event", "", "", "", `      - forward: { catch: { name: out }, envelope: data, data: { at: position, in: stream } }`, spaced,
			`{"at":1,"in":"s/one"}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			oneEvent(t, tt.frame, tt.above, tt.append, tt.below, tt.body, func(r *rig, out string) { same(r, "body", out, tt.want) })
		})
	}
}

func TestForwardFields(t *testing.T) {
	oneEvent(t, "", "", "", `      - forward: { catch: { name: out }, id: "{{ id }}-x", type: "{{ type }}Sent", source: leat.test, subject: "{{ stream }}", time: "2026-01-02T03:04:05Z" }`, spaced,
		func(r *rig, out string) {
			e := r.sink("out").got[0]
			same(r, "event", []string{e.ID, e.Type, e.Source, e.Subject, e.Time.Format("2006-01-02T15:04:05Z07:00")},
				[]string{"e-1-x", "TSent", "leat.test", "s/one", "2026-01-02T03:04:05Z"})
			for _, part := range []string{`"id":"e-1-x"`, `"detail-type":"TSent"`, `"source":"leat.test"`, `"account":"123"`} {
				if !strings.Contains(out, part) {
					r.Errorf("%s is not in %s", part, out)
				}
			}
		})
}

func TestAppendFieldsAreTheLogs(t *testing.T) {
	oneEvent(t, "", "", `, id: "{{ id }}-y", type: Made, source: "x.{{ source }}", subject: sub, time: "2026-01-02T03:04:05Z"`, toOut, spaced, func(r *rig, out string) {
		same(r, "log", r.logged(), []string{"s/one@1 Made e-1-y"})
		if !strings.Contains(out, `"detail-type":"Made"`) || strings.Contains(out, `"detail-type":"T"`) {
			r.Errorf("the changed event left as %s", out)
		}
	})
}

func TestFieldsThatFail(t *testing.T) {
	for _, tt := range []struct{ name, above, append, below, parked string }{
		{"append's time", "", `, time: "{{ data.n }}"`, toOut, "append parked expression shop|e-1 1"},
		{"append's id came out empty", "", `, id: "{{ data.z }}"`, toOut, "append parked expression shop|e-1 1"},
		{"append's id is too long", "", `, id: "` + strings.Repeat("x", 256) + `"`, toOut, "append parked too_large shop|e-1 1"},
		{"append's expectation", "", `, expect: "{{ data.n }}"`, toOut, "append parked expression shop|e-1 1"},
		{"map", "      - map: { set: { data.m: data.n + data.z } }", "", toOut, "map parked expression shop|e-1 1"},
		{"map's time", "      - map: { set: { time: data.n } }", "", toOut, "map parked expression shop|e-1 1"},
		{"forward's time", "", "", `      - forward: { catch: { name: out }, time: "{{ data.n }}" }`, "forward catch out parked expression 1 1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			oneEvent(t, "", tt.above, tt.append, tt.below, spaced, func(r *rig, out string) { same(r, "parked", strings.Join(r.parked(), ","), tt.parked) })
		})
	}
}

// TestWrongTypesMakeConditionsFalse: a filter that meets a value of the wrong type lets nothing through, and that is
// counted and told.
func TestWrongTypesMakeConditionsFalse(t *testing.T) {
	run(t, `
pipelines:
  p:
    source: { feed: {} }
    steps:
      - filter: data.amount + 1 > 2
      - append: { stream: "s/{{ id }}" }
      - when: data.amount * 2 > 4
        forward: { catch: { name: out } }
`, func(r *rig) {
		bad := strings.Replace(order("e-1", "o", 0), `"amount":0`, `"amount":"ten"`, 1)
		r.start().feed().send(bad, order("e-2", "o", 2), order("e-3", "o", 3)).is("filtered committed committed")
		r.finish()
		r.ok()
		same(r, "parked", r.parked(), nil)
		same(r, "forwarded", r.sink("out").ids(), []string{"e-3"})
		if !r.log.has("wrong type", "step=filter") {
			t.Error("nothing in the log")
		}
		same(r, "counted", r.counter("leat_expression_wrong_type_total", "component", "filter"), 1)
	})
}

func TestMatch(t *testing.T) {
	run(t, `
pipelines:
  p:
    source: { feed: {} }
    steps:
      - match: { source: [shop], detail: { amount: [{ numeric: [">", 1] }] } }
      - append: { stream: "s/{{ id }}" }
`, func(r *rig) {
		r.start().feed().send(order("e-1", "o", 1), order("e-2", "o", 2)).is("filtered committed")
		r.finish()
		r.ok()
	})
}

func TestMetadataTravels(t *testing.T) {
	run(t, `
pipelines:
  p:
    source: { feed: {} }
    steps:
      - filter: metadata.tenant == "a" && metadata.account == "123"
      - append: { stream: "s/{{ id }}" }
      - when: metadata.tenant == "a"
        forward: { catch: { name: out } }
`, func(r *rig) {
		r.start().feed().give(func(b *event.Batch) { b.Events[0].SetMeta("tenant", "a"); b.Events[1].SetMeta("tenant", "b") }, spaced, spaced).
			is("committed filtered")
		r.finish()
		r.ok()
		e := r.sink("out").got[0]
		same(r, "metadata", e.Meta("tenant")+" "+e.Meta("region"), "a eu-west-1")
		same(r, "body", string(e.Raw), spaced)
	})
}
