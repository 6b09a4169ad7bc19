package generate

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/filter"
	"github.com/leatdev/leat/pipeline/rawjson"
)

// maker writes events. It is for one goroutine.
type maker struct {
	seed, count int64
	id          *filter.Template // nil: a new one for each
	texts       []textField
	data        node
	view        *filter.View
	now         event.Recorded
	random      *rand.PCG
	item        []byte
	size        int // of the last event
}

// textField is a member of the envelope.
type textField struct {
	head string // ,"name":
	name string
	text *filter.Template
}

// node is data: an expression, or an object of them.
type node struct {
	leaf   *filter.Program
	names  []string
	quoted []string
	parts  []node
}

func newMaker(c *Config) (*maker, error) {
	scope := filter.NewScope(filter.Event | filter.Item)
	m := &maker{seed: c.Seed, count: c.Count, random: rand.NewPCG(0, 0)}
	if !c.ID.IsZero() {
		var err error
		if m.id, err = scope.Template(c.ID.Source); err != nil {
			return nil, fmt.Errorf("id: %w", err)
		}
	}
	for _, f := range []struct{ name, src, def string }{
		{"source", c.Source.Source, "leat.generate"}, {"type", c.Type.Source, "Generated"}, {"subject", c.Subject.Source, ""},
	} {
		if f.src == "" {
			f.src = f.def
		}
		if f.src == "" {
			continue
		}
		t, err := scope.Template(f.src)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.name, err)
		}
		m.texts = append(m.texts, textField{head: `,"` + f.name + `":`, name: f.name, text: t})
	}
	data := c.Data
	if data.IsZero() {
		data = config.Tree{Fields: []config.Field{{Name: "index", Tree: config.Tree{Leaf: &config.Expr{Source: "index"}}}}}
	}
	if err := m.data.add(scope, data); err != nil {
		return nil, fmt.Errorf("data: %w", err)
	}
	m.view = scope.NewView()
	return m, nil
}

func (n *node) add(scope *filter.Scope, t config.Tree) (err error) {
	if t.Leaf != nil {
		n.leaf, err = scope.Compile(t.Leaf.Source, filter.Any)
		return err
	}
	for _, f := range t.Fields {
		at := n
		for name := range strings.SplitSeq(f.Name, ".") {
			at = at.part(name)
		}
		if err := at.add(scope, f.Tree); err != nil {
			return fmt.Errorf("%s: %w", f.Name, err)
		}
	}
	return nil
}

// part gives the member of a name, and makes it where it is missing.
func (n *node) part(name string) *node {
	for i := range n.names {
		if n.names[i] == name {
			return &n.parts[i]
		}
	}
	n.names, n.quoted, n.parts = append(n.names, name), append(n.quoted, string(event.Quote(name))+":"), append(n.parts, node{})
	return &n.parts[len(n.parts)-1]
}

func (n *node) append(dst []byte, v *filter.View) (_ []byte, err error) {
	if n.leaf != nil {
		return n.leaf.JSON(dst, v)
	}
	dst = append(dst, '{')
	for i := range n.parts {
		if i > 0 {
			dst = append(dst, ',')
		}
		if dst, err = n.parts[i].append(append(dst, n.quoted[i]...), v); err != nil {
			return dst, fmt.Errorf("%s: %w", n.names[i], err)
		}
	}
	return append(dst, '}'), nil
}

// event writes one event, a CloudEvent.
func (m *maker) event(index int64, now time.Time) (_ []byte, err error) {
	m.random.Seed(uint64(m.seed), uint64(index))
	m.item = strconv.AppendFloat(append(m.item[:0], `{"random":`...), float64(m.random.Uint64()>>11)/(1<<53), 'f', -1, 64)
	m.item = append(strconv.AppendInt(append(m.item, `,"count":`...), m.count, 10), '}')
	m.now.Time = now
	m.view.Reset(&m.now)
	m.view.SetItem(m.item, int(index))

	id := ""
	if m.id == nil {
		id = event.NewID()
	} else if id, err = m.id.Text(m.view); err != nil {
		return nil, fmt.Errorf("id: %w", err)
	}
	raw := rawjson.AppendQuote(append(make([]byte, 0, m.size+32), `{"specversion":"1.0","id":`...), id)
	for _, f := range m.texts {
		text, err := f.text.Text(m.view)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.name, err)
		}
		raw = append(raw, f.head...)
		raw = rawjson.AppendQuote(raw, text)
	}
	raw = now.UTC().AppendFormat(append(raw, `,"time":"`...), time.RFC3339Nano)
	if raw, err = m.data.append(append(raw, `","data":`...), m.view); err != nil {
		return nil, fmt.Errorf("data: %w", err)
	}
	raw = append(raw, '}')
	m.size = len(raw)
	return raw, nil
}
