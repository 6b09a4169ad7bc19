package pattern

import (
	"bytes"
	"fmt"
	"unsafe"
)

// Fields is an event whose envelope is already taken apart. An empty text, list or raw JSON means that the event has no such field.
type Fields struct {
	Version    string
	ID         string
	DetailType string
	Source     string
	Account    string
	Time       string
	Region     string
	Resources  []string
	Detail     []byte // raw JSON of detail
	Other      []byte // raw JSON of an object with further top-level fields
}

const envelopeNames = 9

// envelope names the top-level fields in the order in which MatchFields looks at them: what decides most often comes first.
var envelope = [envelopeNames]string{"source", "detail-type", "account", "region", "resources", "id", "time", "version", "detail"}

func (f *Fields) text(i int) string {
	switch i {
	case 0:
		return f.Source
	case 1:
		return f.DetailType
	case 2:
		return f.Account
	case 3:
		return f.Region
	case 5:
		return f.ID
	case 6:
		return f.Time
	case 7:
		return f.Version
	}
	return ""
}

const (
	envelopeResources = 4
	envelopeDetail    = 8
)

// MatchFields reports whether the event matches, with the verdict of Match on the JSON object that f stands for. Where the envelope
// decides, Detail is not read. It allocates nothing once warm and is safe for concurrent use.
func (p *Pattern) MatchFields(f *Fields) (bool, error) {
	m := matchers.Get().(*matcher)
	m.begin(p)
	matched, err := m.scan.envelope(f, &p.envelope, p.root)
	if !matched && err == nil && m.possible() {
		matched, err = m.scan.detail(f, p.envelope[envelopeDetail])
		if !matched && err == nil {
			matched = m.end()
		}
	}
	m.release()
	return matched, err
}

// possible reports whether some branch can still match once all but detail was looked at.
func (m *matcher) possible() bool {
	if m.any() {
		return true // some leaves lie in arrays within arrays; leave it to the end
	}
branches:
	for i := range m.p.branches {
		for w, need := range m.p.branches[i].need {
			if need&m.p.decided[w]&^m.free[w] != 0 {
				continue branches
			}
		}
		return true
	}
	return false
}

// envelope tells the sink of all leaves but those of detail.
func (s *scan) envelope(f *Fields, nodes *[envelopeNames]*node, root *node) (enough bool, err error) {
	for i, n := range nodes[:envelopeDetail] {
		if n == nil || n.field < 0 {
			continue
		}
		if i != envelopeResources {
			if text := f.text(i); text != "" && s.string(n.field, text) {
				return true, nil
			}
			continue
		}
		for _, r := range f.Resources {
			if s.string(n.field, r) {
				return true, nil
			}
		}
	}
	if len(f.Other) > 0 {
		return s.root(f.Other, root)
	}
	return false, nil
}

func (s *scan) string(field int32, text string) (enough bool) {
	s.value.set(leafString, unsafe.Slice(unsafe.StringData(text), len(text)))
	return s.to.leaf(field, s)
}

// detail walks the event's detail.
func (s *scan) detail(f *Fields, n *node) (enough bool, err error) {
	if n == nil || len(f.Detail) == 0 {
		return false, nil
	}
	s.b, s.at = f.Detail, 0
	return s.member(n, 1)
}

// AppendJSON appends the event as one JSON object.
func (f *Fields) AppendJSON(dst []byte) []byte {
	start := len(dst)
	if other := bytes.TrimSpace(f.Other); len(other) > 1 && other[0] == '{' {
		if inner := bytes.TrimSpace(other[1 : len(other)-1]); len(inner) > 0 {
			dst = append(append(dst, ','), inner...)
		}
	}
	for i, name := range envelope {
		switch {
		case i == envelopeResources && len(f.Resources) > 0:
			dst = append(dst, `,"resources":`...)
			for k, r := range f.Resources {
				dst = append(dst, "[,"[min(k, 1)])
				dst = appendString(dst, r)
			}
			dst = append(dst, ']')
		case i == envelopeDetail && len(f.Detail) > 0:
			dst = append(append(dst, `,"detail":`...), f.Detail...)
		case f.text(i) != "":
			dst = append(append(append(dst, `,"`...), name...), `":`...)
			dst = appendString(dst, f.text(i))
		}
	}
	if len(dst) == start {
		return append(dst, "{}"...)
	}
	dst[start] = '{' // in place of the first comma
	return append(dst, '}')
}

func appendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c < ' ':
			dst = fmt.Appendf(dst, `\u%04x`, c)
		default:
			dst = append(dst, c)
		}
	}
	return append(dst, '"')
}
