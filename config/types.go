package config

import (
	"log/slog"

	"gopkg.in/yaml.v3"
)

// Pos is a place in a file. Line and Col count from 1, Col in characters.
type Pos struct {
	File string
	Line int
	Col  int
}

// Secret is text that no log, error, dump or page shows.
type Secret struct{ value string }

// NewSecret wraps a value.
func NewSecret(s string) Secret { return Secret{value: s} }

// Reveal gives the value: only to be passed to what needs it.
func (s Secret) Reveal() string { return s.value }

// IsZero reports whether nothing is set.
func (s Secret) IsZero() bool { return s.value == "" }

// Equal reports whether two secrets are the same.
func (s Secret) Equal(o Secret) bool { return s.value == o.value }

const masked = "***"

// String implements fmt.Stringer without the value.
func (s Secret) String() string { return masked }

// GoString implements fmt.GoStringer without the value.
func (s Secret) GoString() string { return masked }

// LogValue implements slog.LogValuer without the value.
func (s Secret) LogValue() slog.Value { return slog.StringValue(masked) }

// MarshalJSON implements json.Marshaler without the value.
func (s Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + masked + `"`), nil }

// MarshalYAML implements yaml.Marshaler without the value.
func (s Secret) MarshalYAML() (any, error) { return masked, nil }

// Size is a number of bytes, written 512, 64KiB, 10MB.
type Size int64

// Expr is a field that takes a bare expression. In a struct, the tags say what it may see and give:
// `want:"bool|any|number|time|text"` and `sees:"event,log,row,item"` (default: any, event).
type Expr struct {
	Source string
	Pos    Pos
}

// IsZero reports whether nothing is set.
func (e Expr) IsZero() bool { return e.Source == "" }

// Text is a field of text with {{ expr }} inside; `sees` as for Expr.
type Text struct {
	Source string
	Pos    Pos
}

// IsZero reports whether nothing is set.
func (t Text) IsZero() bool { return t.Source == "" }

// Pattern is an EventBridge event pattern: written in YAML or as a string of JSON.
type Pattern struct {
	JSON []byte
	Pos  Pos
}

// IsZero reports whether nothing is set.
func (p Pattern) IsZero() bool { return len(p.JSON) == 0 }

// Tree is a nested map whose leaves are expressions: the `data` of append and forward, the `set` of map.
type Tree struct {
	// Leaf is set where this node is an expression; else Fields, in the file's order.
	Leaf   *Expr
	Fields []Field
}

// Field is a named part of a Tree. A dotted name of the YAML is a nested path.
type Field struct {
	Name string
	Tree Tree
}

// IsZero reports whether nothing is set.
func (t Tree) IsZero() bool { return t.Leaf == nil && len(t.Fields) == 0 }

// Exprs is a map from names to expressions, in the file's order.
type Exprs []NamedExpr

// NamedExpr is one entry of Exprs.
type NamedExpr struct {
	Name string
	Expr Expr
}

// Validator is what a plugin's struct (or any part of it) may implement: rules beyond single fields. The error is
// shown at the struct's place, or at the field that a *FieldError names.
type Validator interface{ Validate() error }

// FieldError blames one field of the struct that Validate looks at.
type FieldError struct {
	Field string // its YAML name
	Err   error
	Hint  string
}

// Error implements error.
func (e *FieldError) Error() string { return e.Field + ": " + e.Err.Error() }

// Unwrap implements errors.Unwrap.
func (e *FieldError) Unwrap() error { return e.Err }

// Raw is a part of a file that is read by whom it concerns.
type Raw struct {
	node *yaml.Node
	f    *source
}

// Pos gives where it starts.
func (r Raw) Pos() Pos { return Pos{r.f.name, r.node.Line, r.f.column(r.node.Line, r.node.Column)} }
