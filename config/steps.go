package config

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	"gopkg.in/yaml.v3"

	"github.com/leatdev/leat/pipeline/filter"
)

// stepKind is an entry of the table of steps. To add a step, add one.
type stepKind struct {
	name string
	doc  string
	// typ is what stands behind the step's name, for the schema.
	typ reflect.Type
	// relay: it reads the log where there is one, and so stands below the last append.
	relay bool
	// plugin: the step is a component of that kind.
	plugin Kind
	// decode reads the step into its field of s.
	decode func(p *pipelineScope, c scope, e entry, s *Step) bool
}

var steps []stepKind

func init() {
	steps = []stepKind{
		{name: "filter", doc: "lets events through for which an expression is true", typ: typeExpr, decode: decodeFilter},
		{name: "match", doc: "lets events through that match an EventBridge event pattern", typ: typePattern, decode: decodeMatch},
		{name: "validate", doc: "checks the payload against a JSON Schema", typ: reflect.TypeFor[Validate](), decode: decodeValidate},
		{name: "map", doc: "changes the event", typ: reflect.TypeFor[Map](), decode: decodeMap},
		{name: "lookup", doc: "puts a row of a table into the event", typ: reflect.TypeFor[Lookup](), decode: decodeLookup},
		{name: "split", doc: "makes several events of one", typ: reflect.TypeFor[Split](), decode: decodeSplit},
		{name: "handle", doc: "gives the event to a handler, a step in Go", typ: typePlugin, plugin: KindHandler, decode: decodeHandle},
		{name: "branch", doc: "takes the event through the steps of the first case that it fits; one that fits none goes no further and counts as unrouted", typ: reflect.TypeFor[[]Case](), decode: decodeBranch},
		{name: "append", doc: "writes the event to a stream: the commit point", typ: reflect.TypeFor[Append](), decode: decodeAppend},
		{name: "project", doc: "changes rows of a table", typ: reflect.TypeFor[Project](), relay: true, decode: decodeProject},
		{name: "forward", doc: "writes the event to a sink", typ: reflect.TypeFor[Forward](), relay: true, plugin: KindSink, decode: decodeForward},
	}
}

func stepNamed(name string) *stepKind {
	for i := range steps {
		if steps[i].name == name {
			return &steps[i]
		}
	}
	return nil
}

func stepNames() []string {
	out := make([]string, len(steps))
	for i := range steps {
		out[i] = steps[i].name
	}
	return out
}

var relayKeys = []string{"from", "was", "batch", "shards"}

// step decodes one step with its frame.
func (p *pipelineScope) step(c scope, n *yaml.Node) (Step, bool) {
	n = deref(n)
	var s Step
	v := reflect.ValueOf(&s).Elem()
	c.l.defaults(v)
	s.Pos = c.pos(n)
	if n.Kind == yaml.ScalarNode && !isNull(n) && stepNamed(n.Value) != nil {
		c.fail(n, CodeWrongType, fmt.Sprintf("the step %s lacks what it does", n.Value), fmt.Sprintf("write `%s: …`", n.Value))
		return s, false
	}
	entries, ok := c.entries(n)
	if !ok {
		return s, false
	}
	info := structureOf(v.Type())
	var kinds, unknown []entry
	for _, e := range entries {
		switch {
		case stepNamed(e.key.Value) != nil:
			kinds = append(kinds, e)
		case info.byName[e.key.Value] == nil:
			unknown = append(unknown, e)
		}
		if e.key.Value == "retry" {
			own := p.pipeline.Retry
			s.Retry = &own
		}
	}
	good := true
	consumed := map[string]bool{}
	var kind *stepKind
	switch {
	case len(kinds) > 1:
		c.fail(kinds[1].key, CodeTwoPlugins, fmt.Sprintf("a step does one thing, this one %s and %s", kinds[0].key.Value, kinds[1].key.Value), fmt.Sprintf("start a step of its own: `- %s:`", kinds[1].key.Value))
		good = false
	case len(kinds) == 0:
		good = false
		named := false
		for _, e := range unknown {
			if !named && (nearest(e.key.Value, info.names()) == "" || nearest(e.key.Value, stepNames()) != "") {
				named = true
				consumed[e.key.Value] = true
				c.unknownStep(e)
			}
		}
		if !named {
			c.fail(n, CodeNoPlugin, "the step says nothing to do", "steps: "+strings.Join(stepNames(), ", "))
		}
	}
	for _, e := range kinds {
		consumed[e.key.Value] = true
	}
	if len(kinds) > 0 {
		e := kinds[0]
		kind = stepNamed(e.key.Value)
		inner := c.in(kind.name)
		inner.f = e.f
		good = kind.decode(p, inner, e, &s) && good
	}
	frame := object{
		scope: c, what: "a step", node: n, v: v, others: stepNames(),
		other: func(e entry) bool { return consumed[e.key.Value] },
		explain: func(name string) string {
			if kind == nil {
				return ""
			}
			if t := kind.typ; t.Kind() == reflect.Struct && !isScalar(t) && t != typePattern && structureOf(t).byName[name] != nil {
				return fmt.Sprintf("%s belongs inside %s: indent it", name, kind.name)
			}
			if _, sink := LookupPlugin(KindSink, name); sink && kind.name == "forward" {
				return fmt.Sprintf("%s belongs inside forward: indent it", name)
			}
			return ""
		},
	}
	good = frame.decode(entries) && good
	for _, e := range entries {
		if kind != nil && !kind.relay && contains(relayKeys, e.key.Value) {
			whose := "project and forward, which read"
			if e.key.Value == "shards" {
				whose = "forward, which reads"
			}
			c.fail(e.key, CodeConflict, fmt.Sprintf("%s is for %s the log; %s has no use for it", e.key.Value, whose, kind.name), "")
			good = false
		}
		if e.key.Value == "shards" && kind != nil && kind.name == "project" {
			c.fail(e.key, CodeConflict, "shards is for forward: a table has one relay, which keeps its rows in the order of the log", "take shards away")
			good = false
		}
		if e.key.Value == "from" && s.From != "" {
			good = c.in("from").checkFrom(deref(e.val), s.From) && good
		}
	}
	return s, good
}

func (c scope) unknownStep(e entry) {
	name := e.key.Value
	hint := didYouMean(name, append(stepNames(), "use"))
	switch {
	case hint != "":
	case isPlugin(KindSink, name):
		hint = fmt.Sprintf("write `forward: { %s: … }`", name)
	case isPlugin(KindSource, name):
		hint = fmt.Sprintf("%s is a source: it stands under `source:`", name)
	default:
		hint = "steps: " + strings.Join(stepNames(), ", ")
	}
	d := c.l.at(c.f, e.key, &path{up: c.path, name: name}, CodeUnknownStep, fmt.Sprintf("no step is called %q", name), hint)
	d.Related = append(d.Related, c.uses...)
}

func isPlugin(kind Kind, name string) bool {
	_, ok := LookupPlugin(kind, name)
	return ok
}

func (c scope) checkFrom(n *yaml.Node, from string) bool {
	if from == "start" || from == "now" {
		return true
	}
	if p, err := strconv.ParseInt(from, 10, 64); err == nil && p >= 0 {
		return true
	}
	if _, err := time.Parse(time.RFC3339, from); err == nil || strings.Contains(from, "${") {
		return true
	}
	hint := didYouMean(from, []string{"start", "now"})
	if hint == "" {
		hint = "start, now, a position of the log, or a time such as 2026-01-31T00:00:00Z"
	}
	c.fail(n, CodeBadValue, fmt.Sprintf("from cannot be %q", from), hint)
	return false
}

func decodeFilter(_ *pipelineScope, c scope, e entry, s *Step) bool {
	x, ok := c.expr(e.val, &field{want: filter.Bool})
	s.Filter = &x
	return ok
}

func decodeMatch(_ *pipelineScope, c scope, e entry, s *Step) bool {
	x, ok := c.pattern(e.val)
	s.Match = &x
	return ok
}

var mapRoots = []string{"data", "metadata", "id", "type", "source", "subject", "time"}

func decodeMap(_ *pipelineScope, c scope, e entry, s *Step) bool {
	s.Map = &Map{}
	ok := c.stepStruct(e, "map", reflect.ValueOf(s.Map).Elem())
	members, _ := c.quiet(e.val)
	for _, m := range members {
		n := deref(m.val)
		switch {
		case m.key.Value == "set" && n.Kind == yaml.MappingNode:
			fields, _ := c.quiet(n)
			for _, f := range fields {
				ok = c.in("set").mapPath(f.key, f.key.Value) && ok
			}
		case m.key.Value == "set" && n.Kind == yaml.ScalarNode && !isNull(n):
			c.in("set").wrongType(n, "a map from paths to expressions")
			ok = false
		case m.key.Value == "unset" && n.Kind == yaml.SequenceNode:
			for i, item := range n.Content {
				ok = c.in("unset").item(i).mapPath(deref(item), deref(item).Value) && ok
			}
		}
	}
	if len(members) == 0 && ok {
		c.fail(e.key, CodeMissingField, "map changes nothing", "give it `set` or `unset`")
		return false
	}
	return ok
}

// mapPath checks that a path which map writes starts at a part of the event.
func (c scope) mapPath(n *yaml.Node, p string) bool {
	root := p
	if i := strings.IndexAny(p, ".["); i >= 0 {
		root = p[:i]
	}
	if contains(mapRoots, root) {
		if root != p && root != "data" && root != "metadata" {
			c.fail(n, CodeBadValue, fmt.Sprintf("%s has no parts", root), "")
			return false
		}
		return true
	}
	hint := didYouMean(root, mapRoots)
	if hint == "" {
		hint = fmt.Sprintf("a field of the payload is written data.%s", p)
	}
	c.fail(n, CodeUnknownName, fmt.Sprintf("an event has no part %q", root), hint)
	return false
}

// stepStruct decodes the map behind a step's name into its struct.
func (c scope) stepStruct(e entry, what string, v reflect.Value) bool {
	c.l.defaults(v)
	if n := deref(e.val); n.Kind == yaml.ScalarNode && !isNull(n) {
		c.fail(n, CodeWrongType, fmt.Sprintf("%s wants a map, got %s", what, describe(n)), firstRequired(what, v.Type(), n))
		return false
	}
	entries, ok := c.entries(e.val)
	if !ok {
		return false
	}
	frame := structureOf(reflect.TypeFor[Step]())
	return object{scope: c, what: what, node: e.key, v: v, explain: func(name string) string {
		if frame.byName[name] != nil {
			return fmt.Sprintf("%s stands beside %s, not inside it", name, what)
		}
		return ""
	}}.decode(entries)
}

// firstRequired is the hint for a value that stands where a map with one field for it should.
func firstRequired(what string, t reflect.Type, n *yaml.Node) string {
	info := structureOf(t)
	for i := range info.fields {
		if f := &info.fields[i]; f.required && isScalar(f.typ) && !strings.Contains(n.Value, "\n") {
			return fmt.Sprintf("write %s: { %s: %s }", what, f.name, shorten(n.Value))
		}
	}
	return ""
}

// quiet gives a map's members without reporting anything: what is wrong with them is reported elsewhere.
func (c scope) quiet(n *yaml.Node) ([]entry, bool) {
	at := len(c.l.diags)
	entries, ok := c.entries(n)
	c.l.diags = c.l.diags[:at]
	return entries, ok
}

// member finds a key in a map, the zero entry where there is none.
func (c scope) member(n *yaml.Node, name string) (entry, bool) {
	members, _ := c.quiet(n)
	for _, m := range members {
		if m.key.Value == name {
			return m, true
		}
	}
	return entry{}, false
}

func decodeAppend(p *pipelineScope, c scope, e entry, s *Step) bool {
	s.Append = &Append{}
	if n := deref(e.val); n.Kind == yaml.ScalarNode && !isNull(n) {
		c.fail(n, CodeWrongType, "append wants a map, got "+describe(n), fmt.Sprintf("write append: { stream: %q }", n.Value))
		return false
	}
	ok := c.stepStruct(e, "append", reflect.ValueOf(s.Append).Elem())
	stream, hasStream := c.member(e.val, "stream")
	switch {
	case hasStream && (ok || s.Append.Stream.Source != ""):
		ok = c.in("stream").checkStream(deref(stream.val), s.Append.Stream.Source) && ok
	case ok && !p.handled:
		c.fail(e.key, CodeMissingField, `append needs "stream": the stream, type/id`, "")
		ok = false
	}
	if m, given := c.member(e.val, "expect"); given && (ok || s.Append.Expect.Source != "") {
		ok = c.in("expect").checkExpect(deref(m.val), s.Append.Expect.Source) && ok
	}
	if m, given := c.member(e.val, "on_conflict"); given && ok && (s.Append.Expect.Source == "any" || s.Append.Expect.IsZero() && !p.handled) {
		c.warn(m.key, CodeUnused, "with expect: any there is no conflict, and on_conflict has no effect", "say what is expected: no_stream, stream_exists, or a revision")
	}
	return c.checkTime(e, s.Append.Time) && ok
}

// checkStream checks that a stream's name has its two parts: it is split at the first / that stands outside {{ }}.
func (c scope) checkStream(n *yaml.Node, s string) bool {
	slash := -1
	inside := 0
	for i := 0; i < len(s) && slash < 0; i++ {
		switch {
		case strings.HasPrefix(s[i:], "{{"):
			inside++
		case strings.HasPrefix(s[i:], "}}") && inside > 0:
			inside--
		case s[i] == '/' && inside == 0:
			slash = i
		}
	}
	switch {
	case strings.Contains(s, "${"): // looked up later
	case slash < 0:
		c.fail(n, CodeBadValue, "a stream is written type/id, and there is no / outside {{ }}", `for example "order/{{ data.order_id }}"`)
		return false
	case strings.HasPrefix(s, "$"):
		c.fail(n, CodeBadValue, "streams whose type starts with $ are leat's own", "")
		return false
	case strings.TrimSpace(s[:slash]) == "":
		c.fail(n, CodeBadValue, "the stream's type, before the /, is empty", `for example "order/{{ data.order_id }}"`)
		return false
	case strings.TrimSpace(s[slash+1:]) == "":
		c.fail(n, CodeBadValue, "the stream's id, behind the /, is empty", `for example "order/{{ data.order_id }}"`)
		return false
	}
	return true
}

var expectations = []string{"any", "no_stream", "stream_exists"}

func (c scope) checkExpect(n *yaml.Node, s string) bool {
	if strings.Contains(s, "{{") || strings.Contains(s, "${") || contains(expectations, s) {
		return true
	}
	if x, err := strconv.ParseInt(s, 10, 64); err == nil && x >= 0 {
		return true
	}
	hint := didYouMean(s, expectations)
	switch {
	case looksLikePath(s):
		hint = fmt.Sprintf("an expression stands in braces: \"{{ %s }}\"", s)
		at := c.l.diags[:0]
		for _, d := range c.l.diags {
			if d.Code == CodeLooksLikeExpression && d.Line == n.Line && d.Col == n.Column && d.f == c.f {
				continue
			}
			at = append(at, d)
		}
		c.l.diags = at
	case hint == "":
		hint = "any, no_stream, stream_exists, or a revision"
	}
	c.fail(n, CodeBadValue, fmt.Sprintf("expect cannot be %q", s), hint)
	return false
}

// checkTime checks a time that is written out.
func (c scope) checkTime(e entry, t Text) bool {
	if t.IsZero() || strings.Contains(t.Source, "{{") || strings.Contains(t.Source, "${") || looksLikePath(t.Source) {
		return true
	}
	if _, err := time.Parse(time.RFC3339Nano, t.Source); err == nil {
		return true
	}
	if m, ok := c.member(e.val, "time"); ok {
		c.in("time").fail(deref(m.val), CodeBadValue, fmt.Sprintf("%q is no time", t.Source), "for example 2026-01-31T12:00:00Z, or {{ time }}")
	}
	return false
}

// notify checks what a forward that notifies may say, and gives its messages their attributes.
func (c scope) notify(e entry, f *Forward) bool {
	ok := true
	if m, found := c.member(e.val, "data"); found {
		c.in("data").fail(m.key, CodeConflict, "notify writes the payload: the stream's id, type and revision", "take data away, or write a forward of its own for it")
		ok = false
	}
	if m, found := c.member(e.val, "notify"); found && c.roots&filter.Log == 0 {
		c.in("notify").fail(m.key, CodeNeedsLog, "notify tells of streams in the log, and nothing in this pipeline writes it", "put an append above it")
		ok = false
	}
	if n, is := f.Sink.Config.(Notifying); is {
		f.Sink.Config = n.Notifying()
	}
	return ok
}

func decodeForward(p *pipelineScope, c scope, e entry, s *Step) bool {
	s.Forward = &Forward{}
	v := reflect.ValueOf(s.Forward).Elem()
	c.l.defaults(v)
	sink, ok := c.component(e.val, KindSink, v, "forward")
	s.Forward.Sink = sink
	if s.Forward.Notify != nil {
		ok = c.notify(e, s.Forward) && ok
	}
	return ok && c.checkTime(e, s.Forward.Time)
}
