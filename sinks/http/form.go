package http

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	nethttp "net/http"
	"slices"
	"strings"
	"sync"

	"github.com/leatdev/leat/pipeline/codec"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/filter"
	"github.com/leatdev/leat/pipeline/httpclient"
)

// form is what requests look like: URL and headers, with the expressions in them.
type form struct {
	url      *filter.Template
	headers  []header
	fixed    nethttp.Header
	constant bool // there is no expression
	metadata bool // one reads it
	views    sync.Pool
}

type header struct {
	name string
	text *filter.Template
}

// request is one request: its URL, its headers, and which events of the batch it carries.
type request struct {
	url    string
	header nethttp.Header
	events []int

	values []string // of the headers with expressions
}

func newForm(c *Config) (*form, error) {
	scope := filter.NewScope(filter.Event | filter.Log)
	f := &form{fixed: nethttp.Header{"Content-Type": {c.ContentType}, "User-Agent": {"leat"}}}
	var err error
	if f.url, err = scope.Template(c.URL.Source); err != nil {
		return nil, fmt.Errorf("url: %w", err)
	}
	_, f.constant = f.url.Constant()
	f.metadata = readsMetadata(f.url)
	for _, name := range slices.Sorted(maps.Keys(c.Headers)) {
		t, err := scope.Template(c.Headers[name].Source)
		if err != nil {
			return nil, fmt.Errorf("headers.%s: %w", name, err)
		}
		if text, ok := t.Constant(); ok {
			f.fixed.Set(name, text)
			continue
		}
		f.constant = false
		f.metadata = f.metadata || readsMetadata(t)
		f.headers = append(f.headers, header{name, t})
	}
	for name, value := range c.SecretHeaders {
		f.fixed.Set(name, value.Reveal())
	}
	if !c.Token.IsZero() {
		f.fixed.Set("Authorization", "Bearer "+c.Token.Reveal())
	}
	for name, values := range f.fixed {
		if !httpclient.PlainLine(values[0]) {
			return nil, fmt.Errorf("headers.%s: a header is one line", name)
		}
	}
	f.views.New = func() any { return scope.NewView() }
	return f, nil
}

func readsMetadata(t *filter.Template) bool {
	return slices.ContainsFunc(t.Paths(), func(p string) bool { return strings.HasPrefix(p, "metadata") })
}

// requests divides a batch: events that want the same URL and headers go together unless each is to go alone. They may
// overtake others of the batch, none of which is of the same stream (sinks.Partial). Events that make no request have failed.
func (f *form) requests(batch []event.Recorded, alone bool) (all []*request, failed *event.BatchError) {
	v := f.views.Get().(*filter.View)
	defer func() {
		v.Reset(&event.Recorded{})
		f.views.Put(v)
	}()
	alike := map[string]*request{}
	for i := range batch {
		if f.constant && len(all) > 0 && !alone {
			all[0].events = append(all[0].events, i)
			continue
		}
		r, err := f.request(v, &batch[i])
		if err != nil {
			failed = failed.Fail(i, err)
			continue
		}
		if !alone {
			of := r.url + "\n" + strings.Join(r.values, "\n") // neither has line breaks
			if first := alike[of]; first != nil {
				first.events = append(first.events, i)
				continue
			}
			alike[of] = r
		}
		r.events = []int{i}
		all = append(all, r)
	}
	return all, failed
}

func (f *form) request(v *filter.View, e *event.Recorded) (*request, error) {
	if f.metadata {
		full := *e
		codec.FillMetadata(&full.Event)
		e = &full
	}
	v.Reset(e)
	empty := false
	target, err := f.url.AppendEscaped(nil, v, func(dst []byte, text string) []byte {
		empty = empty || (text == "" && !slices.Contains(dst, '?'))
		return httpclient.Escape(dst, text)
	})
	switch {
	case err != nil:
	case empty: // the URL of the collection, where one thing in it was meant
		err = errors.New("a part of the path is empty")
	case httpclient.Climbs(string(target)):
		err = errors.New("a part of the path is nothing but dots")
	}
	if err != nil {
		return nil, event.PoisonAs(event.CodeExpression, fmt.Errorf("http: url: %w", err))
	}
	r := &request{url: string(target), header: f.fixed.Clone()}
	for _, h := range f.headers {
		text, err := h.text.Text(v)
		if err == nil && !httpclient.PlainLine(text) {
			err = errors.New("the value is more than one line")
		}
		if err != nil {
			return nil, event.PoisonAs(event.CodeExpression, fmt.Errorf("http: headers.%s: %w", h.name, err))
		}
		r.values = append(r.values, text)
		r.header.Set(h.name, text)
	}
	return r, nil
}

// key is the same again for the same events, and for no others: an array that has become longer since is another.
func (s *Sink) key(r *request, batch []event.Recorded) string {
	if s.cfg.Body == "single" {
		if id := batch[r.events[0]].ID; id != "" && len(id) <= 255 && httpclient.PlainLine(id) {
			return id
		}
	}
	h := sha256.New()
	for _, i := range r.events {
		h.Write(event.Quote(batch[i].ID)) // quoted, so that ids do not run together
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}
