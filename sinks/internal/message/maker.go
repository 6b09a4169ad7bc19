package message

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/pipeline/codec"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/filter"
)

// maxAttributes is how many attributes SQS takes, and SNS hands on raw.
const maxAttributes = 10

// WatermillUUID is the attribute in which watermill-aws carries a message's UUID.
const WatermillUUID = "_watermill_message_uuid"

var attributeName = regexp.MustCompile(`^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$`)

// CheckNames says what is wrong with the names of the attributes.
func (c Config) CheckNames() error {
	names := slices.Sorted(maps.Keys(c.Attributes))
	if c.Watermill {
		names = append(names, WatermillUUID)
	}
	if len(names) > maxAttributes {
		return fmt.Errorf("a message has at most %d, here are %d", maxAttributes, len(names))
	}
	for _, name := range names {
		lower := strings.ToLower(name)
		if !attributeName.MatchString(name) || len(name) > 256 || strings.HasPrefix(lower, "aws.") || strings.HasPrefix(lower, "amazon.") {
			return fmt.Errorf("%q is no name of an attribute: letters, digits, _ - and . inside, and neither AWS. nor Amazon. at its start", name)
		}
	}
	return nil
}

// Maker makes messages. It is safe for concurrent use.
type Maker struct {
	service  string
	fifo     bool
	parts    []part
	metadata bool // an expression reads it
	views    sync.Pool
}

// part is a compiled expression or template; name is an attribute's or one of those below.
type part struct {
	name string
	text func(*filter.View) (string, error)
}

// Names of the parts beside the attributes: no attribute can be called so.
const (
	dedupPart   = " deduplication"
	groupPart   = " group"
	subjectPart = " subject"
)

// New compiles the config's expressions.
func New(c Config) (*Maker, error) {
	expressions := map[string]config.Expr{}
	maps.Copy(expressions, c.Attributes)
	if c.Attributes == nil {
		for _, name := range []string{"id", "type", "source"} {
			expressions[name] = config.Expr{Source: name}
		}
	}
	if c.Watermill {
		expressions[WatermillUUID] = config.Expr{Source: "id"}
	}
	expressions[groupPart], expressions[dedupPart] = c.Group, c.Deduplication

	scope := filter.NewScope(filter.Event | filter.Log)
	m := &Maker{service: c.Service, fifo: c.FIFO}
	m.views.New = func() any { return scope.NewView() }
	for _, name := range slices.Sorted(maps.Keys(expressions)) {
		x := expressions[name]
		if x.IsZero() {
			continue
		}
		p, err := scope.Compile(x.Source, filter.Any)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", strings.TrimSpace(name), err)
		}
		m.add(name, p.Paths(), p.Text)
	}
	if c.Subject.IsZero() {
		return m, nil
	}
	t, err := scope.Template(c.Subject.Source)
	if err != nil {
		return nil, fmt.Errorf("subject: %w", err)
	}
	m.add(subjectPart, t.Paths(), t.Text)
	return m, nil
}

func (m *Maker) add(name string, paths []string, text func(*filter.View) (string, error)) {
	m.metadata = m.metadata || slices.ContainsFunc(paths, func(p string) bool { return strings.HasPrefix(p, "metadata") })
	m.parts = append(m.parts, part{name, text})
}

// values gives what the parts say of an event. Values that are no text come as JSON, a path that is absent as nothing.
func (m *Maker) values(e *event.Recorded) ([]Attribute, error) {
	v := m.views.Get().(*filter.View)
	defer func() {
		v.Reset(&event.Recorded{})
		m.views.Put(v)
	}()
	if m.metadata {
		full := *e
		codec.FillMetadata(&full.Event)
		e = &full
	}
	v.Reset(e)
	out := make([]Attribute, len(m.parts))
	for i, p := range m.parts {
		text, err := p.text(v)
		if err != nil {
			return nil, event.PoisonAs(event.CodeExpression, fmt.Errorf("%s: %w", strings.TrimSpace(p.name), err))
		}
		if e.Stream.IsZero() && text == "/" {
			text = "" // the stream of an event that has none
		}
		out[i] = Attribute{p.name, text}
	}
	return out, nil
}
