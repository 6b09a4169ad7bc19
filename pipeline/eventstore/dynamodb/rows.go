package dynamodb

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/cockroachdb/apd/v3"

	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/table"
)

// A row of a table is an item with a map of its columns by name, so that a table that gains columns needs no change.

func rowsPK(name string, serial int) string {
	return fmt.Sprintf("W#%s#%d", strings.ToLower(name), serial)
}

// rowSK names a row by its key.
func rowSK(key table.Row) string {
	b := table.AppendKey(nil, key)
	if len(b) > 400 {
		sum := sha256.Sum256(b)
		return hex.EncodeToString(b[:100]) + "#" + hex.EncodeToString(sum[:])
	}
	return "k" + hex.EncodeToString(b)
}

// valueOf gives a canonical value as an attribute that says of which type it is: text as S, a number as N where
// DynamoDB's 38 digits hold it, else as {n: text}; a time as {t: text}, JSON as {j: text}.
func valueOf(v table.Value) types.AttributeValue {
	tagged := func(tag, s string) types.AttributeValue {
		return &types.AttributeValueMemberM{Value: item{tag: str(s)}}
	}
	switch v := v.(type) {
	case string:
		return str(v)
	case bool:
		return &types.AttributeValueMemberBOOL{Value: v}
	case *apd.Decimal:
		s := v.Text('f')
		if len(s) <= 38 {
			return &types.AttributeValueMemberN{Value: s}
		}
		return tagged("n", v.String())
	case time.Time:
		return tagged("t", v.Format(time.RFC3339Nano))
	case json.RawMessage:
		return tagged("j", string(v))
	}
	return &types.AttributeValueMemberNULL{Value: true}
}

func readValue(a types.AttributeValue) (table.Value, error) {
	switch a := a.(type) {
	case *types.AttributeValueMemberS:
		return a.Value, nil
	case *types.AttributeValueMemberBOOL:
		return a.Value, nil
	case *types.AttributeValueMemberN:
		return decimal(a.Value)
	case *types.AttributeValueMemberM:
		for tag := range a.Value {
			s := text(a.Value, tag)
			switch tag {
			case "n":
				return decimal(s)
			case "t":
				return time.Parse(time.RFC3339Nano, s)
			case "j":
				return json.RawMessage(s), nil
			}
		}
	case nil, *types.AttributeValueMemberNULL:
		return nil, nil
	}
	return nil, fmt.Errorf("%w: a column of a row cannot be read", eventstore.ErrCorrupt)
}

func decimal(s string) (table.Value, error) {
	d, _, err := apd.NewFromString(s)
	if err != nil {
		return nil, fmt.Errorf("%w: the number %q of a row", eventstore.ErrCorrupt, s)
	}
	return table.Canonical(d)
}

// rowItem makes a row's item. Old are the columns that stand there; those that d does not know are kept.
func rowItem(d *table.Def, row table.Row, old item) item {
	i := key(rowsPK(d.Name, d.Serial()), rowSK(row[:len(d.Key)]))
	columns := item{}
	for name, v := range old {
		columns[name] = v
	}
	for n, c := range d.Columns {
		columns[c.Name] = valueOf(row[n])
	}
	i["row"] = &types.AttributeValueMemberM{Value: columns}
	return i
}

func columnsOf(i item) item {
	if m, ok := i["row"].(*types.AttributeValueMemberM); ok {
		return m.Value
	}
	return nil
}

// readRow gives an item as d has its columns.
func readRow(d *table.Def, i item) (table.Row, error) {
	columns := columnsOf(i)
	row := make(table.Row, len(d.Columns))
	for n, c := range d.Columns {
		v, err := readValue(columns[c.Name])
		if err != nil {
			return nil, fmt.Errorf("table %s: %w", d.Name, err)
		}
		row[n] = v
	}
	return row, nil
}

// jsonRow is a row in a journal; Columns is nil where the row goes.
type jsonRow struct {
	PK, SK  string
	Columns map[string]json.RawMessage `json:",omitempty"`
}

// packRow and unpackRow carry an item through JSON; its values are strings but for booleans and nulls.
func packRow(i item) jsonRow {
	r := jsonRow{PK: text(i, pk), SK: text(i, sk)}
	if columns := columnsOf(i); columns != nil {
		r.Columns = map[string]json.RawMessage{}
		for name, v := range columns {
			r.Columns[name] = packValue(v)
		}
	}
	return r
}

func packValue(a types.AttributeValue) json.RawMessage {
	var v any
	switch a := a.(type) {
	case *types.AttributeValueMemberS:
		v = map[string]string{"S": a.Value}
	case *types.AttributeValueMemberN:
		v = map[string]string{"N": a.Value}
	case *types.AttributeValueMemberBOOL:
		v = a.Value
	case *types.AttributeValueMemberM:
		m := map[string]string{}
		for tag := range a.Value {
			m[tag] = text(a.Value, tag)
		}
		v = m
	}
	b, _ := json.Marshal(v) // of strings
	return b
}

func unpackRow(r jsonRow) (item, error) {
	i := key(r.PK, r.SK)
	if r.Columns == nil {
		return i, nil
	}
	columns := item{}
	for name, raw := range r.Columns {
		var b bool
		var m map[string]string
		switch {
		case string(raw) == "null":
			columns[name] = &types.AttributeValueMemberNULL{Value: true}
		case json.Unmarshal(raw, &b) == nil:
			columns[name] = &types.AttributeValueMemberBOOL{Value: b}
		case json.Unmarshal(raw, &m) == nil && len(m) == 1:
			for tag, s := range m {
				switch tag {
				case "S":
					columns[name] = str(s)
				case "N":
					columns[name] = &types.AttributeValueMemberN{Value: s}
				default:
					columns[name] = &types.AttributeValueMemberM{Value: item{tag: str(s)}}
				}
			}
		default:
			return nil, fmt.Errorf("%w: a journal's row cannot be read", eventstore.ErrCorrupt)
		}
	}
	i["row"] = &types.AttributeValueMemberM{Value: columns}
	return i, nil
}
