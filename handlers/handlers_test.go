package handlers_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/handlers"
	"github.com/leatdev/leat/pipeline/event"
)

type shout struct {
	Suffix string `yaml:"suffix,omitempty" default:"!" doc:"put behind the type"`
}

func init() {
	handlers.Register("shout", func(_ context.Context, c shout, env handlers.Env) (handlers.Handler, error) {
		if c.Suffix == "?" {
			return nil, errors.New("shouting does not ask")
		}
		return handlers.Func(func(_ context.Context, e event.Recorded) ([]handlers.Emitted, error) {
			e.Type += c.Suffix + env.Step
			return handlers.Events(e.Event), nil
		}), nil
	})
}

func TestOpen(t *testing.T) {
	for _, tt := range []struct {
		name, suffix string
		want, err    string
	}{
		{name: "shout", suffix: "!", want: "Made!loud"},
		{name: "shout", suffix: "?", err: "shout: open: shouting does not ask"},
		{name: "whisper", err: `handlers: no handler is called "whisper"`},
	} {
		h, err := handlers.Open(t.Context(), config.Plugin{Kind: config.KindHandler, Name: tt.name, Config: shout{Suffix: tt.suffix}}, handlers.Env{Step: "loud"})
		if tt.err != "" {
			if err == nil || err.Error() != tt.err {
				t.Errorf("%s%s: error %v, want %s", tt.name, tt.suffix, err, tt.err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		out, err := h.Handle(t.Context(), event.Recorded{Event: event.Event{Type: "Made"}})
		if err != nil || len(out) != 1 || out[0].Type != tt.want {
			t.Errorf("%s%s: %+v, %v", tt.name, tt.suffix, out, err)
		}
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestRegisterTwice(t *testing.T) {
	defer func() {
		if v := recover(); v == nil || !strings.Contains(v.(string), "shout") {
			t.Errorf("recovered %v", v)
		}
	}()
	handlers.Register("shout", func(context.Context, shout, handlers.Env) (handlers.Handler, error) { return nil, nil })
}
