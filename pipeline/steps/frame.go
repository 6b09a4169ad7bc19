package steps

import (
	"fmt"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/pipeline/codec"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/filter"
)

// Frame makes an event of a plain body: the source frame's `event`.
type Frame struct {
	prog *Program
	fns  [5]*filter.Program // id type source subject time
	data *filter.Program
}

// NewFrame compiles a frame; it is nil where the YAML has none.
func NewFrame(c *config.EventMap) (*Frame, error) {
	m := &Frame{prog: &Program{scope: filter.NewScope(filter.Event)}}
	some := false
	for i, x := range []config.Expr{c.ID, c.Type, c.Source, c.Subject, c.Time, c.Data} {
		if x.IsZero() {
			continue
		}
		some = true
		p, err := m.prog.scope.Compile(x.Source, filter.Any)
		if err != nil {
			return nil, fmt.Errorf("event: %w", err)
		}
		m.prog.metadata = m.prog.metadata || readsMetadata(p)
		if i == 5 {
			m.data = p
		} else {
			m.fns[i] = p
		}
	}
	if !some {
		return nil, nil
	}
	return m, nil
}

var framePaths = [5][]string{{"id"}, {"type"}, {"source"}, {"subject"}, {"time"}}

// Apply fills an event's fields; none of them where one cannot be computed.
func (m *Frame) Apply(e *event.Event) error {
	x := m.prog.Get()
	defer m.prog.Put(x)
	x.start(&event.Recorded{Event: *e})
	err := m.fill(x)
	*e = x.ev.Event // with the metadata that an expression reads
	return err
}

// fill fills the fields of the event in hand. The body it came in is no longer what the event says in its envelope, but an event
// that no step changed still leaves as those bytes: so Changed stays as it is.
func (m *Frame) fill(x *Exec) error {
	e := x.ev.Event
	for i, p := range m.fns {
		if p == nil {
			continue
		}
		v, err := p.JSON(nil, x.view)
		if err != nil {
			return fmt.Errorf("event.%s: %w", framePaths[i][0], err)
		}
		if err := assign(&e, framePaths[i], v); err != nil {
			return fmt.Errorf("event.%s: %w", framePaths[i][0], err)
		}
	}
	if m.data != nil {
		v, err := m.data.JSON(nil, x.view)
		if err != nil {
			return fmt.Errorf("event.data: %w", err)
		}
		codec.FillMetadata(&e)
		e.Data = v
	}
	x.ev.Event = e
	return nil
}
