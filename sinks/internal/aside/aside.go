// Package aside is what stands beside the body of a message on SQS and SNS: its group, deduplication id, subject and
// attributes, made of an event by expressions, within the services' limits.
package aside

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/pipeline/codec"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/filter"
)

// MaxAttributes is how many attributes SQS takes, and SNS hands on raw.
const MaxAttributes = 10

// WatermillUUID is the attribute in which watermill-aws carries a message's UUID.
const WatermillUUID = "_watermill_message_uuid"

var attributeName = regexp.MustCompile(`^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$`)

// CheckNames says what is wrong with the names of attributes.
func CheckNames(names []string) error {
	if len(names) > MaxAttributes {
		return fmt.Errorf("a message has at most %d, here are %d", MaxAttributes, len(names))
	}
	for _, name := range names {
		lower := strings.ToLower(name)
		if !attributeName.MatchString(name) || len(name) > 256 || strings.HasPrefix(lower, "aws.") || strings.HasPrefix(lower, "amazon.") {
			return fmt.Errorf("%q is no name of an attribute: letters, digits, _ - and . inside, and neither AWS. nor Amazon. at its start", name)
		}
	}
	return nil
}

// Form makes what stands beside a body. It is safe for concurrent use.
type Form struct {
	parts    []part
	metadata bool // an expression reads it
	views    sync.Pool
}

type part struct {
	name string
	prog *filter.Program
}

// New compiles expressions by name; those without a source are left out.
func New(expressions map[string]config.Expr) (*Form, error) {
	scope := filter.NewScope(filter.Event | filter.Log)
	f := &Form{}
	for _, name := range slices.Sorted(maps.Keys(expressions)) {
		x := expressions[name]
		if x.IsZero() {
			continue
		}
		p, err := scope.Compile(x.Source, filter.Any)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		f.metadata = f.metadata || slices.ContainsFunc(p.Paths(), func(p string) bool { return strings.HasPrefix(p, "metadata") })
		f.parts = append(f.parts, part{name, p})
	}
	f.views.New = func() any { return scope.NewView() }
	return f, nil
}

// Value is the text that an expression gives; empty where its path is absent.
type Value struct{ Name, Text string }

// Of evaluates the expressions in the order of their names. Values that are no text come as JSON. An error is poison.
func (f *Form) Of(e *event.Recorded) ([]Value, error) {
	if len(f.parts) == 0 {
		return nil, nil
	}
	v := f.views.Get().(*filter.View)
	defer func() {
		v.Reset(&event.Recorded{})
		f.views.Put(v)
	}()
	if f.metadata {
		full := *e
		codec.FillMetadata(&full.Event)
		e = &full
	}
	v.Reset(e)
	out := make([]Value, len(f.parts))
	for i := range f.parts {
		p := &f.parts[i]
		text, err := p.prog.Text(v)
		if err != nil {
			return nil, event.PoisonAs(event.CodeExpression, fmt.Errorf("%s: %w", p.name, err))
		}
		if e.Stream.IsZero() && text == "/" {
			text = "" // the stream of an event that has none
		}
		out[i] = Value{p.name, text}
	}
	return out, nil
}

// Name gives a group or an id as SQS and SNS take them: up to 128 letters, digits and signs of ASCII. Others are named by
// their digest, the same one each time.
func Name(s string) string {
	if len(s) > 128 {
		return Digest(s)
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return Digest(s)
		}
	}
	return s
}

// Digest gives the SHA-256 of a text in hex.
func Digest(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

// Illegal gives the place of the first character that is none of XML 1.0's, which the services do not take; -1 where there
// is none.
func Illegal(s string) int {
	for i, r := range s {
		switch {
		case r >= 0x20 && r <= 0xD7FF, r == '\t', r == '\n', r == '\r', r >= 0x10000, r >= 0xE000 && r < utf8.RuneError:
		case r == utf8.RuneError:
			if _, n := utf8.DecodeRuneInString(s[i:]); n == 1 {
				return i
			}
		default:
			return i
		}
	}
	return -1
}

// Group gives the message group of an event in a FIFO queue or topic where the config names none, or the expression gives
// nothing: its stream, else subject, else source.
func Group(e *event.Recorded) string {
	switch {
	case !e.Stream.IsZero():
		return e.Stream.String()
	case e.Subject != "":
		return e.Subject
	case e.Source != "":
		return e.Source
	}
	return "leat"
}

// Dedup gives the deduplication id where the config names none: the event's id, so that a repeat within five minutes
// arrives once.
func Dedup(e *event.Recorded) string {
	if e.ID == "" {
		return Digest(string(e.Raw))
	}
	return Name(e.ID)
}
