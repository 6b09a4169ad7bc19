package sqlite

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/leatdev/leat/pipeline/table"
)

// shape is a definition with what its statements are made of. It lives for one call.
type shape struct {
	d       *table.Def
	place   string // the quoted name of the rows' table
	columns string // the quoted names of the columns and leat_types
	anyCols bool   // some column behind the key holds any type

	noted map[string]map[string]table.Type // leat_types as read, decoded
	notes map[string]string                // and as written
}

func newShape(d *table.Def) (*shape, error) {
	if err := d.Validate(); err != nil {
		return nil, err
	}
	sh := &shape{d: d, place: quote(placeOf(d.Name, d.Serial()))}
	var b strings.Builder
	for i, c := range d.Columns {
		b.WriteString(quote(c.Name))
		b.WriteByte(',')
		sh.anyCols = sh.anyCols || i >= len(d.Key) && c.Type == table.Any
	}
	b.WriteString(table.TypesColumn)
	sh.columns = b.String()
	return sh, nil
}

// placeOf names the table that holds a version's rows.
func placeOf(name string, version int) string { return fmt.Sprintf("leat_%s_v%d", name, version) }

// quote makes a name an identifier.
func quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

func quoteAll(names []string) string {
	quoted := make([]string, len(names))
	for i, n := range names {
		quoted[i] = quote(n)
	}
	return strings.Join(quoted, ",")
}

// encodeRow appends a row's arguments; the last one is leat_types.
func (sh *shape) encodeRow(dst []any, row table.Row) []any {
	signature := ""
	for i, v := range row {
		c := &sh.d.Columns[i]
		arg, told := encodeValue(v, c.Type, i < len(sh.d.Key))
		dst = append(dst, arg)
		if told != "" {
			signature += strconv.Itoa(i) + string(told) + " "
		}
	}
	if signature == "" {
		return append(dst, nil)
	}
	note, ok := sh.notes[signature]
	if !ok {
		note = sh.note(row)
		if sh.notes == nil {
			sh.notes = map[string]string{}
		}
		sh.notes[signature] = note
	}
	return append(dst, note)
}

// note gives leat_types of a row: a JSON object from the names of columns to types.
func (sh *shape) note(row table.Row) string {
	types := map[string]table.Type{}
	for i, v := range row {
		if _, told := encodeValue(v, sh.d.Columns[i].Type, i < len(sh.d.Key)); told != "" {
			types[sh.d.Columns[i].Name] = told
		}
	}
	b, _ := json.Marshal(types) // strings alone: it cannot fail
	return string(b)
}

func (sh *shape) encodeKey(dst []any, key table.Row) []any {
	for i, v := range key {
		arg, _ := encodeValue(v, sh.d.Columns[i].Type, true)
		dst = append(dst, arg)
	}
	return dst
}

// decodeRow reads a row that was selected as sh.columns.
func (sh *shape) decodeRow(raw []any) (table.Row, error) {
	types, err := sh.types(raw[len(raw)-1])
	if err != nil {
		return nil, err
	}
	row := make(table.Row, len(raw)-1)
	for i := range row {
		c := &sh.d.Columns[i]
		told := table.Type("")
		if types != nil {
			told = types[c.Name]
		}
		if row[i], err = decodeValue(raw[i], c.Type, told); err != nil {
			return nil, fmt.Errorf("table %s: column %s: %w", sh.d.Name, c.Name, err)
		}
	}
	return row, nil
}

func (sh *shape) types(raw any) (map[string]table.Type, error) {
	note, ok := raw.(string)
	if !ok {
		return nil, nil
	}
	if types, ok := sh.noted[note]; ok {
		return types, nil
	}
	var types map[string]table.Type
	if err := json.Unmarshal([]byte(note), &types); err != nil {
		return nil, fmt.Errorf("table %s: %s: %w", sh.d.Name, table.TypesColumn, err)
	}
	if sh.noted == nil {
		sh.noted = map[string]map[string]table.Type{}
	}
	sh.noted[note] = types
	return types, nil
}
