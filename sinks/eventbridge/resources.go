package eventbridge

import (
	"fmt"
	"sync"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/pipeline/codec"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/filter"
	"github.com/leatdev/leat/pipeline/rawjson"
)

// resources makes those of an event by the config's templates. Nil gives the event's own.
type resources struct {
	texts []*filter.Template
	views sync.Pool
	err   error // of the templates
}

func newResources(texts []config.Text) *resources {
	if len(texts) == 0 {
		return nil
	}
	r := &resources{}
	scope := filter.NewScope(filter.Event | filter.Log)
	for _, text := range texts {
		t, err := scope.Template(text.Source)
		if err != nil {
			r.err = fmt.Errorf("resources: %w", err)
			return r
		}
		r.texts = append(r.texts, t)
	}
	r.views.New = func() any { return scope.NewView() }
	return r
}

// of gives the resources of an event. Errors are poison.
func (r *resources) of(e *event.Recorded) (out []string, err error) {
	if r == nil {
		return own(e), nil
	}
	v := r.views.Get().(*filter.View)
	defer func() {
		v.Reset(&event.Recorded{})
		r.views.Put(v)
	}()
	full := *e
	codec.FillMetadata(&full.Event)
	v.Reset(&full)
	for _, t := range r.texts {
		text, err := t.Text(v)
		if err != nil {
			return nil, event.PoisonAs(event.CodeExpression, fmt.Errorf("resources: %w", err))
		}
		if text != "" {
			out = append(out, text)
		}
	}
	return out, nil
}

// own gives the resources that an event came with, else its subject.
func own(e *event.Recorded) []string {
	if list, ok := rawjson.Get(e.Metadata, "resources"); ok && rawjson.KindOf(list) == rawjson.KindArray {
		var out []string
		err := rawjson.Array(list, func(value []byte) bool {
			if rawjson.KindOf(value) == rawjson.KindString {
				out = append(out, rawjson.Text(value))
			}
			return true
		})
		if err == nil && len(out) > 0 {
			return out
		}
	}
	if e.Subject != "" {
		return []string{e.Subject}
	}
	return nil
}
