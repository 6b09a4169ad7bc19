package config

import (
	"math/big"
	"reflect"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/leatdev/leat/pipeline/rawjson"
)

// JSON is a value of a file as it stands there, each part with its place. The zero JSON is a value that is not given.
type JSON struct {
	Pos  Pos
	Kind JSONKind
	// Text is a string's text, a number as JSON spells it, true or false.
	Text string
	// Items are a list's, Fields an object's, in the file's order.
	Items  []JSON
	Fields []JSONField
}

// JSONField is a member of an object.
type JSONField struct {
	Name  string
	Pos   Pos
	Value JSON
}

// JSONKind is what a JSON is.
type JSONKind uint8

// The kinds. NotGiven is none.
const (
	NotGiven JSONKind = iota
	JSONNull
	JSONBool
	JSONNumber
	JSONString
	JSONList
	JSONObject
)

var typeJSON = reflect.TypeFor[JSON]()

// IsZero reports whether nothing is given.
func (j JSON) IsZero() bool { return j.Kind == NotGiven }

// Field gives a member of an object; one that is not given where there is none.
func (j *JSON) Field(name string) JSON {
	for i := range j.Fields {
		if j.Fields[i].Name == name {
			return j.Fields[i].Value
		}
	}
	return JSON{}
}

// Append appends the value as JSON text; null where it is not given.
func (j *JSON) Append(dst []byte) []byte {
	switch j.Kind {
	case JSONBool, JSONNumber:
		return append(dst, j.Text...)
	case JSONString:
		return rawjson.AppendQuote(dst, j.Text)
	case JSONList:
		dst = append(dst, '[')
		for i := range j.Items {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = j.Items[i].Append(dst)
		}
		return append(dst, ']')
	case JSONObject:
		dst = append(dst, '{')
		for i := range j.Fields {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(rawjson.AppendQuote(dst, j.Fields[i].Name), ':')
			dst = j.Fields[i].Value.Append(dst)
		}
		return append(dst, '}')
	}
	return append(dst, "null"...)
}

// json decodes any value.
func (c scope) json(n *yaml.Node) (JSON, bool) {
	n = deref(n)
	j := JSON{Pos: c.pos(n), Kind: JSONNull}
	c.note(j.Pos, n)
	if c.tagged(n) {
		return j, false
	}
	switch n.Kind {
	case yaml.MappingNode:
		j.Kind = JSONObject
		entries, ok := c.entries(n)
		for _, e := range entries {
			inner := c.in(e.key.Value)
			inner.note(c.pos(e.key), e.key)
			v, good := inner.json(e.val)
			ok = ok && good
			j.Fields = append(j.Fields, JSONField{Name: e.key.Value, Pos: c.pos(e.key), Value: v})
		}
		return j, ok
	case yaml.SequenceNode:
		j.Kind = JSONList
		ok := true
		for i, item := range n.Content {
			v, good := c.item(i).json(item)
			ok = ok && good
			j.Items = append(j.Items, v)
		}
		return j, ok
	}
	return c.jsonScalar(n, j)
}

func (c scope) jsonScalar(n *yaml.Node, j JSON) (JSON, bool) {
	quoted := n.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) != 0
	t, ok := c.interpolate(n, asText)
	if t.unknown && c.unknown != nil {
		*c.unknown = true
	}
	j.Kind, j.Text = JSONString, t.s
	switch {
	case !ok || t.replaced || quoted:
	case n.Tag == "!!null":
		j.Kind, j.Text = JSONNull, ""
	case n.Tag == "!!bool":
		j.Kind, j.Text = JSONBool, strings.ToLower(n.Value)
	case n.Tag != "!!int" && n.Tag != "!!float":
	case isJSONNumber(n.Value):
		j.Kind = JSONNumber
	default:
		text, whole := plainNumber(n.Value)
		if !whole {
			c.fail(n, CodeWrongType, "a number is written as in JSON, got "+describe(n), "text needs quotes")
			return j, false
		}
		j.Kind, j.Text = JSONNumber, text
	}
	return j, ok
}

// plainNumber spells YAML's other numbers (0x1F, 1_000, +1) as JSON does.
func plainNumber(s string) (string, bool) {
	s = strings.ReplaceAll(strings.TrimPrefix(s, "+"), "_", "")
	if isJSONNumber(s) {
		return s, true
	}
	if i, ok := new(big.Int).SetString(s, 0); ok {
		return i.String(), true
	}
	if f, err := strconv.ParseFloat(s, 64); err == nil && f-f == 0 {
		return strconv.FormatFloat(f, 'g', -1, 64), true
	}
	return "", false
}
