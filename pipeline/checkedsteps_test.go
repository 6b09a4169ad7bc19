package pipeline

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/steps"
)

// shopSchemas writes a folder of schemas.
func shopSchemas(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"A/1.json": `{"required":["id"],"properties":{"n":{"type":"integer","minimum":1}}}`,
		"A/2.json": `{"required":["id","n"],"properties":{"n":{"type":"integer","minimum":5}}}`,
	} {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestValidate(t *testing.T) {
	dir := shopSchemas(t)
	for _, tt := range []struct {
		with     string
		outcomes string
		parked   []string
	}{
		{"", "committed poisoned poisoned poisoned", []string{"check parked rejected s|2 1", "check parked rejected s|3 1", "check parked rejected s|4 1"}},
		{", version: data.v", "committed committed poisoned poisoned", []string{"check parked rejected s|3 1", "check parked rejected s|4 1"}},
		{", unknown: pass", "committed poisoned poisoned committed", []string{"check parked rejected s|2 1", "check parked rejected s|3 1"}},
		{", invalid: drop", "committed dropped dropped dropped", nil},
		{", invalid: reject", "committed dropped dropped dropped", nil},
	} {
		for _, tail := range []string{`append: { stream: "x/{{ data.id }}" }`, `forward: { catch: { name: out } }`} {
			run(t, `
pipelines:
  p:
    source: { feed: { keyed: true } }
    steps:
      - name: check
        validate: { schema: `+dir+tt.with+` }
      - `+tail+`
`, func(r *rig) {
				want := tt.outcomes
				if strings.HasPrefix(tail, "forward") {
					want = strings.ReplaceAll(want, "committed", "delivered")
				}
				body := func(id, typ, data string) string {
					return fmt.Sprintf(`{"id":%q,"source":"s","detail-type":%q,"detail":%s}`, id, typ, data)
				}
				s := r.start().feed().send(body("1", "A", `{"id":"a","n":7}`), body("2", "A", `{"id":"a","n":3,"v":1}`), body("3", "A", `{"id":"a","n":"3"}`), body("4", "B", `{"id":"a"}`)).is(want)
				r.finish()
				r.ok()
				same(r, tt.with, r.parked(), tt.parked)
				switch reason := s.reasons[2]; {
				case strings.Contains(tt.with, "drop"):
					if event.Code(reason) != "" {
						t.Errorf("dropped with %v", reason)
					}
				default:
					// The sender is told what is wrong and where.
					if event.Code(reason) != event.CodeRejected || !strings.Contains(reason.Error(), "/n: type: ") {
						t.Errorf("%s: %v", tt.with, reason)
					}
				}
				if tt.parked == nil && !r.log.has("event dropped", "step=check") {
					t.Error("nothing in the log")
				}
			})
		}
	}
}

// A rejected event may come again, mended, under its id; a parked one is known.
func TestRejectedMayComeAgain(t *testing.T) {
	dir := shopSchemas(t)
	for invalid, want := range map[string]string{"reject": "committed", "poison": "poisoned"} {
		run(t, `
pipelines:
  p:
    source: { feed: {} }
    steps:
      - validate: { schema: `+dir+`, invalid: `+invalid+` }
      - append: { stream: "x/{{ data.id }}" }
`, func(r *rig) {
			f := r.start().feed()
			f.send(typed("1", "A", 1))
			r.wait()
			f.send(typed("1", "A", 9)).is(want)
			r.finish()
			r.ok()
		})
	}
}

// The version is metadata.dataversion where the YAML does not say; CloudEvents' extension ends up there.
func TestValidateVersionOfThePublisher(t *testing.T) {
	dir := shopSchemas(t)
	run(t, `
pipelines:
  p:
    source: { feed: {} }
    steps:
      - validate: { schema: `+dir+` }
      - append: { stream: "x/{{ data.id }}" }
`, func(r *rig) {
		body := func(id, version string) string {
			return fmt.Sprintf(`{"specversion":"1.0","id":%q,"source":"s","type":"A","dataversion":%q,"data":{"id":"a","n":1}}`, id, version)
		}
		r.start().feed().send(body("1", "1"), body("2", "2"), body("3", "3")).is("committed poisoned poisoned")
		r.finish()
		r.ok()
		if why := r.entries()[1].Reason; !strings.Contains(why, `no version "3" of A; there are 1, 2`) {
			t.Error(why)
		}
	})
}

// One rejected part rejects the source event; a dropped one goes alone.
func TestValidateParts(t *testing.T) {
	dir := shopSchemas(t)
	for invalid, want := range map[string]string{"reject": "dropped dropped", "poison": "poisoned poisoned", "drop": "committed dropped"} {
		run(t, `
pipelines:
  p:
    source: { feed: {} }
    steps:
      - split: { each: data.parts }
      - validate: { schema: `+dir+`, invalid: `+invalid+` }
      - append: { stream: "x/{{ data.id }}" }
`, func(r *rig) {
			body := func(id, parts string) string {
				return fmt.Sprintf(`{"id":%q,"source":"s","detail-type":"A","detail":{"parts":%s}}`, id, parts)
			}
			r.start().feed().send(body("1", `[{"id":"a","n":9},{"id":"b","n":1}]`), body("2", `[{"id":"c"}]`)).is(want)
			r.finish()
			r.ok()
			n := 0
			if invalid == "drop" {
				n = 1
			}
			same(r, "log", len(r.logged()), n)
		})
	}
}

const lookedUp = `
pipelines:
  people:
    source: { feed: {} }
    steps:
      - append: { stream: "person/{{ data.id }}" }
      - project: { table: people, key: { id: data.id }, set: { name: data.name, age: data.age } }
  p:
    source: { feed: { keyed: true } }
    retry: { attempts: 3, initial: 1s, max: 1s }
    steps:
      - name: who
        lookup: { table: people, key: { id: data.who }, into: data.person WITH }
      - append: { stream: "x/{{ data.person.name ?? 'nobody' }}" }
      - forward: { catch: { name: out } }
`

func person(id, name string, age int) string {
	return fmt.Sprintf(`{"id":%q,"source":"s","detail-type":"Person","detail":{"id":%q,"name":%q,"age":%d}}`, "p-"+id, id, name, age)
}

func asks(id, who string) string {
	return fmt.Sprintf(`{"id":%q,"source":"s","detail-type":"Asked","detail":{"who":%s}}`, id, who)
}

func TestLookup(t *testing.T) {
	for _, tt := range []struct {
		with, outcomes string
		data           []string
		parked         []string
	}{
		{"", "committed poisoned poisoned", []string{`{"who":7,"person":{"id":7,"name":"Ada","age":36}}`}, []string{"who parked lookup s|2 1", "who parked lookup s|3 1"}},
		{", missing: null, columns: [name]", "committed committed committed", []string{`{"who":7,"person":{"name":"Ada"}}`, `{"who":8,"person":null}`, `{"who":null,"person":null}`}, nil},
		{", missing: drop", "committed dropped dropped", []string{`{"who":7,"person":{"id":7,"name":"Ada","age":36}}`}, nil},
		{", missing: retry", "committed poisoned poisoned", []string{`{"who":7,"person":{"id":7,"name":"Ada","age":36}}`}, []string{"who parked lookup s|2 3", "who parked lookup s|3 3"}},
	} {
		run(t, strings.Replace(lookedUp, " WITH", tt.with, 1), func(r *rig) {
			r.start()
			f := r.feeds["p"]
			r.feeds["people"].send(strings.Replace(person("7", "Ada", 36), `{"id":"7"`, `{"id":7`, 1)).is("committed")
			r.wait()
			s := f.send(asks("1", "7"), asks("2", "8"), asks("3", "null"))
			<-s.b.Done()
			s.is(tt.outcomes)
			r.finish()
			r.ok()
			var data []string
			for _, e := range r.sink("out").got {
				data = append(data, string(e.Data))
			}
			same(r, tt.with, data, tt.data)
			parked := r.parked()
			slices.Sort(parked)
			same(r, tt.with, parked, tt.parked)
		})
	}
}

// A row may come while its event has attempts; one that is kept is as old as the cache allows.
func TestLookupOverTime(t *testing.T) {
	run(t, strings.Replace(lookedUp, " WITH", ", missing: retry, cache: { ttl: 1m }", 1), func(r *rig) {
		finds := 0
		r.o.OpenLookup = func(pipeline, step string, c *config.Lookup) steps.Lookup {
			if pipeline != "p" || step != "who" || c.Table != "people" {
				t.Errorf("asked for %s %s %s", pipeline, step, c.Table)
			}
			return func(_ context.Context, key map[string]string) ([]byte, error) {
				switch finds++; {
				case finds == 1:
					return nil, event.Unavailable(time.Minute, errRefused)
				case finds == 2:
					return nil, nil
				}
				return []byte(fmt.Sprintf(`{"name":"%s%d"}`, key["id"], finds)), nil
			}
		}
		r.start()
		f := r.feeds["p"]
		s := f.send(asks("1", `"a"`), asks("2", `"a"`))
		r.wait()
		if r.daemon.Ready() == nil {
			t.Error("ready while the table cannot be read")
		}
		<-s.b.Done()
		s.is("committed committed")
		same(r, "finds", finds, 3) // the row that was found is kept
		r.finish()
		r.ok()
	})
}

// Rows of several that fit are none.
func TestLookupOfSeveralRows(t *testing.T) {
	run(t, strings.Replace(strings.Replace(lookedUp, " WITH", "", 1), "key: { id: data.who }", "key: { name: data.who }", 1), func(r *rig) {
		r.start()
		r.feeds["people"].send(person("7", "Ada", 36), person("8", "Ada", 15), person("9", "Eve", 15)).is("committed committed committed")
		r.wait()
		r.feeds["p"].send(asks("1", `"Ada"`), asks("2", `"Eve"`)).is("poisoned committed")
		r.finish()
		r.ok()
		if why := r.entries()[0].Reason; !strings.Contains(why, "several rows") {
			t.Error(why)
		}
	})
}

// Lookups and handlers see what a relay has made of the event before them.
func TestLookupInRelays(t *testing.T) {
	run(t, strings.Replace(strings.Replace(lookedUp, " WITH", ", missing: null", 1), `      - append: { stream: "x/{{ data.person.name ?? 'nobody' }}" }
`, "", 1)+`      - filter: true
`, func(r *rig) { // no log
		r.start()
		r.feeds["people"].send(person("7", "Ada", 36)).is("committed")
		r.wait()
		r.feeds["p"].send(asks("1", `"7"`)).is("delivered")
		r.finish()
		r.ok()
		same(r, "data", string(r.sink("out").got[0].Data), `{"who":"7","person":{"id":"7","name":"Ada","age":36}}`)
	})
}
