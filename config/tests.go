package config

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"gopkg.in/yaml.v3"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/filter"
)

// testDecoder decodes the tests, and checks what they name.
type testDecoder struct {
	*loader
	// places are the nodes of what was decoded, for mistakes that only show when all of it is known.
	places map[Pos]placed
	names  map[string]Related
}

// decodeTests decodes the tests of all files; the pipelines are known by then.
func (l *loader) decodeTests() {
	t := &testDecoder{loader: l, places: map[Pos]placed{}, names: map[string]Related{}}
	l.noted = t.places
	for i, e := range l.top["tests"] {
		x := new(Test)
		v := reflect.ValueOf(x).Elem()
		l.defaults(v)
		c := scope{l: l, f: e.f, path: &path{up: &path{name: "tests"}, index: i}, roots: filter.Event, limit: everything}
		n := deref(e.val)
		if n.Kind != yaml.MappingNode {
			continue // said where the files were read
		}
		x.Pos = c.pos(n)
		t.places[x.Pos] = placed{scope: c, n: n}
		entries, ok := c.entries(n)
		if !ok {
			continue
		}
		l.cfg.Tests = append(l.cfg.Tests, x)
		object{scope: c, what: "the test", node: n, v: v}.decode(entries)
		t.check(x)
	}
	l.noted = nil
}

// note remembers the node of a place, while tests are decoded.
func (c scope) note(p Pos, n *yaml.Node) {
	if c.l.noted != nil {
		c.l.noted[p] = placed{scope: c, n: n}
	}
}

// testCount decodes a number of events, or a list of their ids.
func (c scope) testCount(n *yaml.Node, v reflect.Value) bool {
	x := TestCount{Pos: c.pos(n), Given: true}
	c.note(x.Pos, n)
	if n.Kind == yaml.SequenceNode {
		x.IDs = []string{}
		good := true
		for i, item := range n.Content {
			t, ok := c.item(i).scalar(deref(item), "an id", asText)
			x.IDs = append(x.IDs, t.s)
			good = good && ok
		}
		x.N = len(x.IDs)
		v.Set(reflect.ValueOf(x))
		return good
	}
	t, ok := c.scalar(n, "a number of events, or a list of their ids", asText)
	if !ok {
		return false
	}
	var err error
	if x.N, err = strconv.Atoi(t.s); (err != nil || x.N < 0) && !t.unknown {
		c.fail(n, CodeWrongType, fmt.Sprintf("%s wants a number of events, or a list of their ids, got %s", c.name(), t.got()), "")
		return false
	}
	v.Set(reflect.ValueOf(x))
	return true
}

// fail notes an error at a place; with a field's name at that field's value, with a
// space and a word behind it at the item of that field's list.
func (t *testDecoder) fail(p Pos, field string, code Code, message, hint string) {
	at, ok := t.places[p]
	if !ok {
		return
	}
	n := at.n
	field, item, listed := strings.Cut(field, " ")
	if field != "" {
		if m, ok := at.member(n, field); ok {
			n, at.scope = deref(m.val), at.in(field)
		}
	}
	if listed && n.Kind == yaml.SequenceNode {
		for i, c := range n.Content {
			if c = deref(c); c.Value == item {
				n, at.scope = c, at.item(i)
				break
			}
		}
	}
	at.fail(n, code, message, hint)
}

// check looks at what a test names.
func (t *testDecoder) check(x *Test) {
	here := t.places[x.Pos]
	if x.Name != "" {
		m, _ := here.member(here.n, "name")
		if first, twice := t.names[x.Name]; twice && m.val != nil {
			at := deref(m.val)
			here.in("name").fail(at, CodeDuplicateName, fmt.Sprintf("two tests are called %q", x.Name), "")
			d := &t.diags[len(t.diags)-1]
			d.Related = append(d.Related, first)
		} else if m.val != nil {
			at := deref(m.val)
			t.names[x.Name] = Related{here.f.name, at.Line, here.f.column(at.Line, at.Column), "first here"}
		}
	}
	if _, err := time.Parse(time.RFC3339, x.At); err != nil {
		t.fail(x.Pos, "at", CodeBadValue, fmt.Sprintf("at wants a time, got %q", x.At), "for example 2026-01-31T12:00:00Z")
	}
	under := t.underTest(x)
	for _, s := range x.Given.Streams {
		if _, err := event.ParseStream(s.Name); err != nil {
			t.fail(s.Pos, "", CodeBadValue, fmt.Sprintf("a stream is written type/id, got %q", s.Name), "")
		}
		for i := range s.Value {
			t.events([]TestEvent{s.Value[i].TestEvent})
			t.origin(&s.Value[i], under)
		}
	}
	t.tables(x.Given.Tables)
	t.stubs(x.Stubs, under)
	if len(x.Steps) > 0 {
		for _, key := range []string{"events", "raw", "after", "expect"} {
			if m, ok := here.member(here.n, key); ok {
				here.in(key).fail(m.key, CodeConflict, fmt.Sprintf("%s stands beside steps", key), "move it into one of the steps")
			}
		}
	}
	expects := false
	for _, s := range x.All() {
		expects = expects || s.Expect != nil
		t.step(&s, under)
	}
	if _, given := here.member(here.n, "expect"); !expects && !given && x.Skip == "" {
		t.fail(x.Pos, "", CodeMissingField, "the test expects nothing, so that it cannot fail", "write what must be there under `expect:`")
	}
}

// underTest gives the pipelines that run in a test, the one under test first; none where that is not clear.
func (t *testDecoder) underTest(x *Test) []*Pipeline {
	all := t.cfg.Pipelines
	names := make([]string, len(all))
	for i, p := range all {
		names[i] = p.Name
	}
	find := func(name string) *Pipeline {
		if i := slices.Index(names, name); i >= 0 {
			return all[i]
		}
		return nil
	}
	var out []*Pipeline
	switch {
	case len(all) == 0:
		return nil // said already
	case x.Pipeline == "" && len(all) == 1:
		x.Pipeline = all[0].Name
		out = append(out, all[0])
	case x.Pipeline == "":
		t.fail(x.Pos, "", CodeMissingField, "the test does not say which pipeline it is for", "write `pipeline: "+names[0]+"`; there are "+strings.Join(names, ", "))
		return nil
	case find(x.Pipeline) == nil:
		t.fail(x.Pos, "pipeline", CodeUnknownName, fmt.Sprintf("no pipeline is called %q", x.Pipeline), suggestOr(x.Pipeline, names, "pipelines: "))
		return nil
	default:
		out = append(out, find(x.Pipeline))
	}
	for _, name := range x.With {
		p := find(name)
		switch {
		case p == nil:
			t.fail(x.Pos, "with "+name, CodeUnknownName, fmt.Sprintf("no pipeline is called %q", name), suggestOr(name, names, "pipelines: "))
		case slices.Contains(out, p):
			t.fail(x.Pos, "with "+name, CodeDuplicateName, fmt.Sprintf("the pipeline %q runs already", name), "")
		default:
			out = append(out, p)
		}
	}
	return out
}

func (t *testDecoder) events(list []TestEvent) {
	for i := range list {
		e := &list[i]
		if _, err := time.Parse(time.RFC3339, e.Time); e.Time != "" && err != nil && !strings.Contains(e.Time, "${") {
			t.fail(e.Pos, "time", CodeBadValue, fmt.Sprintf("time wants a time, got %q", e.Time), "for example 2026-01-31T12:00:00Z")
		}
		if k := e.Metadata.Kind; k != NotGiven && k != JSONObject {
			t.fail(e.Metadata.Pos, "", CodeWrongType, "metadata wants a map", "")
		}
	}
}

// origin fills in what the pipeline under test reads, where that is one pipeline's events, and checks what is given.
func (t *testDecoder) origin(e *TestStored, under []*Pipeline) {
	if e.Origin == "" {
		if len(under) > 0 {
			if s, reads := under[0].LogSelection(); reads && len(s.Origins) == 1 {
				e.Origin = s.Origins[0]
			}
		}
		return
	}
	var known []string
	for _, p := range t.cfg.Pipelines {
		known = append(known, p.Name)
	}
	name, _, _ := strings.Cut(e.Origin, "/")
	if near := nearest(name, known); !contains(known, name) && near != "" {
		t.fail(e.Pos, "origin", CodeUnknownName, fmt.Sprintf("no pipeline is called %q", name), fmt.Sprintf("did you mean %q?", near))
	}
}

// tables checks the names of tables, and of their columns where these are written down.
func (t *testDecoder) tables(tables []Named[[]JSON]) {
	known := append(slices.Collect(maps.Keys(t.cfg.Tables)), slices.Collect(maps.Keys(t.writers))...)
	for _, x := range tables {
		if !contains(known, x.Name) {
			t.fail(x.Pos, "", CodeUnknownName, fmt.Sprintf("no table is called %q", x.Name), suggestOr(x.Name, known, "tables: "))
			continue
		}
		var columns []string
		if def := t.cfg.Tables[x.Name]; def != nil {
			for _, c := range def.Columns {
				columns = append(columns, c.Name)
			}
		}
		for i := range x.Value {
			row := &x.Value[i]
			if row.Kind != JSONObject {
				t.fail(row.Pos, "", CodeWrongType, "a row is a map of columns", "")
				continue
			}
			for _, f := range row.Fields {
				if len(columns) > 0 && !contains(columns, f.Name) {
					t.fail(f.Pos, "", CodeUnknownName, fmt.Sprintf("table %s has no column %q", x.Name, f.Name), suggestOr(f.Name, columns, "columns: "))
				}
			}
		}
	}
}

// stubs checks that what is stubbed is a step that may be.
func (t *testDecoder) stubs(stubs []Named[TestStub], under []*Pipeline) {
	if under == nil {
		return
	}
	var may, all []string
	for _, p := range under {
		named := StepNames(p)
		for i, s := range AllSteps(p.Steps) {
			all = append(all, named[i])
			if s.Forward != nil || s.Handle != nil || s.Lookup != nil {
				may = append(may, named[i])
			}
			if s.Forward != nil && s.Name == "" {
				may = append(may, RelayName(s))
			}
		}
	}
	for i := range stubs {
		s := &stubs[i]
		switch {
		case contains(may, s.Name):
		case contains(all, s.Name):
			t.fail(s.Pos, "", CodeBadValue, fmt.Sprintf("the step %q needs no stub: it calls nobody", s.Name), suggestOr("", may, "stubs are for "))
		default:
			t.fail(s.Pos, "", CodeUnknownName, fmt.Sprintf("no step is called %q", s.Name), suggestOr(s.Name, may, "stubs are for "))
		}
		if s.Value.Answer.IsZero() && s.Value.Fail == nil {
			t.fail(s.Pos, "", CodeMissingField, "the stub neither answers nor fails", "write `answer:` or `fail:`")
		}
		t.answer(s, under)
		if f := s.Value.Fail; f != nil && f.Code != "" {
			t.code(s.Pos, f.Code)
		}
	}
}

// answer checks what a stub answers: handlers and lookups do.
func (t *testDecoder) answer(s *Named[TestStub], under []*Pipeline) {
	j := &s.Value.Answer
	if j.IsZero() {
		return
	}
	for _, p := range under {
		named := StepNames(p)
		for i, step := range AllSteps(p.Steps) {
			if step.Forward != nil && (named[i] == s.Name || RelayName(step) == s.Name) {
				t.fail(j.Pos, "", CodeBadValue, "a sink answers nothing: it takes the events, or fails", "take answer away")
				return
			}
		}
	}
	for _, p := range under {
		named := StepNames(p)
		for i, step := range AllSteps(p.Steps) {
			if step.Lookup != nil && named[i] == s.Name && j.Kind != JSONObject && j.Kind != JSONNull {
				t.fail(j.Pos, "", CodeWrongType, "a lookup answers with a row, a map, or null where there is none", "")
				return
			}
		}
	}
	if j.Kind != JSONList {
		return
	}
	for i := range j.Items {
		e := &j.Items[i]
		if e.Kind != JSONObject {
			t.fail(e.Pos, "", CodeWrongType, "an event is a map", "a list is the events that the handler gives, a map goes into the event's data")
			continue
		}
		for _, f := range e.Fields {
			if !contains(emittedFields, f.Name) {
				t.fail(f.Pos, "", CodeUnknownField, fmt.Sprintf("an event has no field %q", f.Name), suggestOr(f.Name, emittedFields, "fields: "))
			}
		}
	}
}

var emittedFields = []string{"id", "type", "source", "subject", "time", "data", "metadata", "stream"}

func (t *testDecoder) step(s *TestStep, under []*Pipeline) {
	if s.To != "" && under != nil {
		var names []string
		for _, p := range under {
			names = append(names, p.Name)
		}
		if !contains(names, s.To) {
			t.fail(s.Pos, "to", CodeUnknownName, fmt.Sprintf("no pipeline %q runs in the test", s.To), suggestOr(s.To, names, "it runs "))
		}
	}
	t.stubs(s.Stubs, under)
	t.events(s.Events)
	t.reader(s, under)
	x := s.Expect
	if x == nil {
		return
	}
	for _, a := range x.Appended {
		if _, err := event.ParseStream(a.Name); err != nil {
			t.fail(a.Pos, "", CodeBadValue, fmt.Sprintf("a stream is written type/id, got %q", a.Name), "")
		}
	}
	t.tables(x.Tables)
	if under == nil {
		return
	}
	for _, f := range x.Forwarded {
		if _, _, ok := FindForward(under, f.Name); ok {
			continue
		}
		known := forwards(under)
		hint := suggestOr(f.Name, known, "relays: ")
		if len(known) == 0 {
			hint = "the pipeline forwards nothing"
		}
		t.fail(f.Pos, "", CodeUnknownName, fmt.Sprintf("no forward is called %q", f.Name), hint)
	}
	var steps []string
	for _, p := range under {
		steps = append(steps, StepNames(p)...)
		for _, s := range AllSteps(p.Steps) {
			if s.Forward != nil || s.Project != nil {
				steps = append(steps, RelayName(s))
			}
		}
	}
	if x.Unrouted.IDs != nil {
		t.fail(x.Unrouted.Pos, "", CodeWrongType, "unrouted wants a number of events", "")
	}
	for i := range x.Poisoned {
		e := &x.Poisoned[i]
		if e.Code != "" {
			t.code(e.Pos, e.Code)
		}
		if e.Step != "" && !contains(steps, e.Step) && !contains([]string{"source", "intake", "append"}, e.Step) {
			t.fail(e.Pos, "step", CodeUnknownName, fmt.Sprintf("no step is called %q", e.Step), suggestOr(e.Step, steps, "steps: "))
		}
	}
}

// reader refuses events for a pipeline that reads the log: they come from there.
func (t *testDecoder) reader(s *TestStep, under []*Pipeline) {
	if len(s.Events)+len(s.Raw) == 0 || under == nil {
		return
	}
	for i, p := range under {
		if s.To != p.Name && (s.To != "" || i > 0) {
			continue
		}
		if _, reads := p.LogSelection(); reads {
			var at Pos
			if len(s.Events) > 0 {
				at = s.Events[0].Pos
			} else {
				at = s.Raw[0].Pos
			}
			t.fail(at, "", CodeConflict, fmt.Sprintf("the pipeline %s takes its events from the log", p.Name), "write what is in the log under `given: { streams: … }`, or let the pipeline that writes it run: `with: [ … ]`, `to: …`")
		}
	}
}

// code refuses what is nearly one of the engine's codes; handlers may have codes of their own.
func (t *testDecoder) code(p Pos, code string) {
	if known := event.Codes(); !contains(known, code) && nearest(code, known) != "" {
		t.fail(p, "code", CodeUnknownName, fmt.Sprintf("no failure has the code %q", code), didYouMean(code, known))
	}
}

// AllSteps gives steps and the steps within them, in the order of the file.
func AllSteps(list []Step) []*Step {
	var out []*Step
	for i := range list {
		out = append(out, &list[i])
		for j := range list[i].Branch {
			out = append(out, AllSteps(list[i].Branch[j].Steps)...)
		}
	}
	return out
}

// StepNames gives the names by which the steps of AllSteps go in metrics, logs and tests: their own, else their kind,
// numbered from the second one on.
func StepNames(p *Pipeline) []string {
	seen := map[string]int{}
	all := AllSteps(p.Steps)
	out := make([]string, len(all))
	for i, s := range all {
		n := s.Name
		if n == "" {
			n = KindOf(s)
			if seen[n]++; seen[n] > 1 {
				n = fmt.Sprintf("%s#%d", n, seen[n])
			}
		}
		out[i] = n
	}
	return out
}

// KindOf gives the key that a step has in the file: filter, append, …
func KindOf(s *Step) string {
	switch {
	case s.Filter != nil:
		return "filter"
	case s.Match != nil:
		return "match"
	case s.Map != nil:
		return "map"
	case s.Validate != nil:
		return "validate"
	case s.Lookup != nil:
		return "lookup"
	case s.Split != nil:
		return "split"
	case s.Branch != nil:
		return "branch"
	case s.Append != nil:
		return "append"
	case s.Project != nil:
		return "project"
	case s.Forward != nil:
		return "forward"
	case s.Handle != nil:
		return "handle"
	}
	return "step"
}

// RelayName gives the name of the relay that a project or forward belongs to, as it is without its pipeline: the step's
// name, else its kind and target.
func RelayName(s *Step) string {
	switch {
	case s.Name != "":
		return s.Name
	case s.Project != nil:
		return "project " + s.Project.Table
	}
	return "forward " + targetOf(s.Forward)
}

func targetOf(f *Forward) string {
	if t, ok := f.Sink.Config.(targeted); ok {
		return f.Sink.Name + " " + t.Target()
	}
	return f.Sink.Name
}

// FindForward finds the forward that a test names: by its relay's name, or by the sink's kind, with its target or
// without, where that is clear. The pipelines are looked through in their order.
func FindForward(pipelines []*Pipeline, name string) (pipeline, relay string, ok bool) {
	for _, p := range pipelines {
		if p.Poison.Copy != nil && name == PoisonCopy {
			return p.Name, PoisonCopy, true
		}
		var loose []string
		for _, s := range AllSteps(p.Steps) {
			if s.Forward == nil {
				continue
			}
			r := RelayName(s)
			if r == name {
				return p.Name, r, true
			}
			if (s.Forward.Sink.Name == name || targetOf(s.Forward) == name) && !contains(loose, r) {
				loose = append(loose, r)
			}
		}
		if len(loose) == 1 {
			return p.Name, loose[0], true
		}
	}
	return "", "", false
}

// PoisonCopy is the name of the relay-like thing that sends copies of parked events.
const PoisonCopy = "poison copy"

func forwards(pipelines []*Pipeline) []string {
	var out []string
	for _, p := range pipelines {
		for _, s := range AllSteps(p.Steps) {
			if s.Forward != nil && !contains(out, RelayName(s)) {
				out = append(out, RelayName(s))
			}
		}
		if p.Poison.Copy != nil {
			out = append(out, PoisonCopy)
		}
	}
	return out
}
