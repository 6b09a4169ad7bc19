package config

import (
	"reflect"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/leatdev/leat/pipeline/pattern"
)

// Place is what config structs of sources and sinks implement where the two are ends of one place outside: a bus, a
// queue. A forward to the place that its own pipeline reads may feed itself.
type Place interface {
	// Place names the place, the same from both sides: "eventbridge bus orders".
	Place() string
}

// checkLoop warns of a forward whose events would come in again: it writes to the place that the pipeline reads, and
// what it sets does not keep them from the source's pattern or from a match above it. Fields that it does not set are
// those of an event that has matched once.
func (c scope) checkLoop(n *yaml.Node, src *Source, steps []Step, s *Step) {
	if !feeds(s, src, steps) {
		return
	}
	to := s.Forward.Sink.Config.(Place)
	m, _ := c.member(n, "forward")
	c.in("forward").warn(m.key, CodeLoop, "this forward feeds its own pipeline: "+to.Place()+" is what the source reads, and its pattern lets these events through",
		"give the events a `source` or `type` that the pattern does not name")
}

// Feeds reports whether what a forward writes may come in at a pipeline: both name the same place, and no pattern of the
// pipeline's source or of a match above everything that changes events keeps it out.
func Feeds(s *Step, to *Pipeline) bool {
	return s.Forward != nil && feeds(s, &to.Source, to.Steps)
}

func feeds(s *Step, src *Source, steps []Step) bool {
	from, ok1 := src.Plugin.Config.(Place)
	to, ok2 := s.Forward.Sink.Config.(Place)
	if !ok1 || !ok2 || from.Place() != to.Place() {
		return false
	}
	known := map[string]string{}
	for path, text := range map[string]Text{"source": s.Forward.Source, "detail-type": s.Forward.Type} {
		if !text.IsZero() && !strings.Contains(text.Source, "{{") {
			known[path] = text.Source
		}
	}
	patterns := []Pattern{patternOf(src.Plugin.Config)}
	for i := range steps {
		if steps[i].Map != nil || steps[i].Handle != nil || steps[i].Branch != nil {
			break // what it changes is not known here
		}
		if steps[i].Match != nil && steps[i].When.IsZero() {
			patterns = append(patterns, *steps[i].Match)
		}
	}
	for _, p := range patterns {
		if p.IsZero() {
			continue
		}
		if compiled, err := pattern.Compile(p.JSON); err != nil || pattern.Overlap(compiled, known) == pattern.No {
			return false
		}
	}
	return true
}

// patternOf gives the event pattern of a source's config.
func patternOf(cfg any) Pattern {
	v := reflect.ValueOf(cfg)
	if v.Kind() != reflect.Struct {
		return Pattern{}
	}
	for i := range v.NumField() {
		if v.Type().Field(i).Type == typePattern {
			return v.Field(i).Interface().(Pattern)
		}
	}
	return Pattern{}
}
