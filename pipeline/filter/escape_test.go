package filter_test

import (
	"net/url"
	"testing"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/filter"
)

func TestAppendEscaped(t *testing.T) {
	s := filter.NewScope(filter.Event)
	e := event.Recorded{Event: event.Event{Data: []byte(`{"id":"a/b","n":12,"o":{"x":1}}`)}}
	path := func(dst []byte, text string) []byte { return append(dst, url.PathEscape(text)...) }
	for src, want := range map[string]string{
		"/plain/{{ data.id }}/é":   "> /plain/a%2Fb/é",
		"{{ data.n }}{{ data.o }}": "> 12%7B%22x%22:1%7D",
		"[{{ data.none }}]":        "> []",
		"/x":                       "> /x",
	} {
		tmpl, err := s.Template(src)
		if err != nil {
			t.Fatal(err)
		}
		v := s.NewView()
		v.Reset(&e)
		if got, err := tmpl.AppendEscaped([]byte("> "), v, path); string(got) != want || err != nil {
			t.Errorf("%s: %s, %v", src, got, err)
		}
	}
	tmpl, err := s.Template("a{{ len(data.n) }}")
	if err != nil {
		t.Fatal(err)
	}
	v := s.NewView()
	v.Reset(&e)
	if got, err := tmpl.AppendEscaped([]byte("> "), v, path); string(got) != "> " || err == nil {
		t.Errorf("on an error: %q, %v", got, err)
	}
}
