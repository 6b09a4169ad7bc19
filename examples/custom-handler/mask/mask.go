// Package mask is a handler of leat that hides all but the last characters of texts in the payload.
package mask

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/handlers"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/rawjson"
)

func init() { handlers.Register("mask", Open) }

// Config is the handler's YAML.
type Config struct {
	_      struct{} `doc:"hides all but the last characters of texts in the payload"`
	Fields []string `yaml:"fields" doc:"dotted paths within data" example:"[iban]"`
	Keep   int      `yaml:"keep,omitempty" default:"4" doc:"characters at the end that stay"`
}

// Validate implements config.Validator: what it says is shown at its place in the file.
func (c Config) Validate() error {
	if len(c.Fields) == 0 {
		return &config.FieldError{Field: "fields", Err: errors.New("names no field"), Hint: "for example [iban]"}
	}
	return nil
}

// Open makes the handler.
func Open(_ context.Context, c Config, _ handlers.Env) (handlers.Handler, error) {
	return handlers.Func(func(_ context.Context, e event.Recorded) ([]handlers.Emitted, error) {
		for _, field := range c.Fields {
			path := strings.Split(field, ".")
			value, ok := rawjson.Get(e.Data, path...)
			if !ok || rawjson.KindOf(value) != rawjson.KindString {
				continue
			}
			text, err := rawjson.Unquote(value)
			if err != nil {
				return nil, event.Poison(fmt.Errorf("mask: %s: %w", field, err))
			}
			if e.Data, err = rawjson.Set(e.Data, path, event.Quote(hide(text, c.Keep))); err != nil {
				return nil, event.Poison(fmt.Errorf("mask: %s: %w", field, err))
			}
		}
		return handlers.Events(e.Event), nil
	}), nil
}

func hide(text string, keep int) string {
	runes := []rune(text)
	for i := range max(0, len(runes)-keep) {
		runes[i] = '*'
	}
	return string(runes)
}
