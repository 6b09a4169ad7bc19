package project

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/cockroachdb/apd/v3"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/filter"
	"github.com/leatdev/leat/pipeline/rawjson"
	"github.com/leatdev/leat/pipeline/table"
)

// refuse is an event's fault: its value does not fit.
func refuse(format string, args ...any) error {
	return event.PoisonAs(event.CodeProjection, fmt.Errorf("project: "+format, args...))
}

// expression is the error of an expression that could not be evaluated.
func expression(what, column string, err error) error {
	return event.PoisonAs(event.CodeExpression, fmt.Errorf("project: %s %s: %w", what, column, err))
}

// value evaluates an expression for a column. What it gives shares no memory with the event.
func value(what string, col *table.Column, p *filter.Program, v *filter.View) (table.Value, error) {
	switch col.Type {
	case table.Numeric, table.Integer:
		return number(what, col, p, v)
	case table.JSON:
		raw, err := p.JSON(nil, v)
		if err != nil {
			return nil, expression(what, col.Name, err)
		}
		return document(what, col, raw)
	}
	got, err := p.Value(v)
	if err != nil {
		return nil, expression(what, col.Name, err)
	}
	switch x := got.(type) {
	case nil:
		return nil, nil
	case bool, time.Time:
		return typed(what, col, got)
	case int:
		return typed(what, col, apd.New(int64(x), 0))
	case float64:
		if col.Type != table.Any {
			return nil, mismatch(what, col, table.Numeric)
		}
		return number(what, col, p, v)
	case time.Duration:
		return typed(what, col, x.String())
	case string:
		if col.Type == table.Timestamp {
			at, err := time.Parse(time.RFC3339Nano, x)
			if err != nil {
				return nil, refuse("%s %s: %.40q is no RFC 3339 time", what, col.Name, x)
			}
			return typed(what, col, at)
		}
		return typed(what, col, got)
	}
	raw, err := p.JSON(nil, v)
	if err != nil {
		return nil, expression(what, col.Name, err)
	}
	return typed(what, col, json.RawMessage(raw))
}

// number evaluates an expression that must give a number, or nil.
func number(what string, col *table.Column, p *filter.Program, v *filter.View) (table.Value, error) {
	d, err := p.Decimal(v)
	if err != nil {
		// An expression that works but gives no number is the event's fault in another way than one that does not work.
		if x, plain := p.Value(v); plain == nil {
			return nil, refuse("%s %s: %s is no number that a table can hold", what, col.Name, short(x))
		}
		return nil, expression(what, col.Name, err)
	}
	if d == nil {
		return nil, nil
	}
	return typed(what, col, d)
}

// short gives the beginning of a value for an error, as valid UTF-8 whatever it is: errors are stored.
func short(x any) string {
	if f, ok := x.(float64); ok && (math.IsInf(f, 0) || math.IsNaN(f)) {
		return "a value outside the range of numbers"
	}
	b, err := json.Marshal(x)
	if err != nil {
		return fmt.Sprintf("a %T", x)
	}
	if len(b) > 40 {
		return strings.ToValidUTF8(string(b[:40]), "") + "…"
	}
	return string(b)
}

// document takes raw JSON as a column's value; null is null.
func document(what string, col *table.Column, raw []byte) (table.Value, error) {
	if string(raw) == "null" {
		return nil, nil
	}
	return typed(what, col, json.RawMessage(raw))
}

// typed checks a value against its column and gives its canonical form.
func typed(what string, col *table.Column, v table.Value) (table.Value, error) {
	c, err := table.Canonical(v)
	if err != nil {
		return nil, refuse("%s %s: %w", what, col.Name, err)
	}
	k := table.Kind(c)
	switch {
	case k == col.Type || col.Type == table.Any || k == "":
		return c, nil
	case col.Type == table.Integer && k == table.Numeric:
		if c.(*apd.Decimal).Exponent < 0 {
			return nil, refuse("%s %s: %s is no integer", what, col.Name, table.AppendText(nil, c))
		}
		return c, nil
	}
	return nil, mismatch(what, col, k)
}

func mismatch(what string, col *table.Column, got table.Type) error {
	hint := ""
	if col.Type == table.Text {
		hint = " (string(…) makes text of it)"
	}
	return refuse("%s %s: the column is %s, the value %s%s", what, col.Name, col.Type, got, hint)
}

// sum adds exactly.
func sum(col *table.Column, have table.Value, by *apd.Decimal) (table.Value, error) {
	if have == nil {
		return typed("add", col, by)
	}
	d, ok := have.(*apd.Decimal)
	if !ok {
		return nil, refuse("add %s: the row has %s there, no number", col.Name, table.Kind(have))
	}
	r := new(apd.Decimal)
	if _, err := apd.BaseContext.Add(r, d, by); err != nil {
		return nil, refuse("add %s: %w", col.Name, err)
	}
	return typed("add", col, r)
}

// push puts an element at the end of an array.
func push(col *table.Column, have table.Value, element []byte) (table.Value, error) {
	if have == nil {
		raw := make([]byte, 0, len(element)+2)
		raw = append(raw, '[')
		raw = append(raw, element...)
		return typed("append", col, json.RawMessage(append(raw, ']')))
	}
	array, ok := have.(json.RawMessage)
	if !ok || rawjson.KindOf(array) != rawjson.KindArray {
		return nil, refuse("append %s: the row has no array there", col.Name)
	}
	end := len(array) - 1
	for array[end] != ']' {
		end--
	}
	last := end - 1
	for array[last] <= ' ' {
		last--
	}
	raw := make([]byte, 0, len(array)+len(element)+1)
	raw = append(raw, array[:last+1]...)
	if array[last] != '[' {
		raw = append(raw, ',')
	}
	raw = append(raw, element...)
	return typed("append", col, json.RawMessage(append(raw, ']')))
}
