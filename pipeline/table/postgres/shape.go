package postgres

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/cockroachdb/apd/v3"
	"github.com/jackc/pgx/v5"

	"github.com/leatdev/leat/pipeline/table"
)

// stamp is how times are written in keys and in columns of any type: text of one width, so that their order is that of
// the text.
const stamp = "2006-01-02T15:04:05.000000000Z"

// shape is a definition with what its statements are made of. It lives for one call.
type shape struct {
	d       *table.Def
	place   string // the quoted name of the rows' table
	columns string // the columns and leat_types as they are read
}

func newShape(d *table.Def) (*shape, error) {
	if err := d.Validate(); err != nil {
		return nil, err
	}
	sh := &shape{d: d, place: quote(placeOf(d.Name, d.Serial()))}
	var b strings.Builder
	for i := range d.Columns {
		b.WriteString(quote(d.Columns[i].Name))
		if sh.kind(i) == "numeric" {
			b.WriteString("::text")
		}
		b.WriteByte(',')
	}
	b.WriteString(table.TypesColumn)
	sh.columns = b.String()
	return sh, nil
}

// kind gives PostgreSQL's type of a column.
func (sh *shape) kind(i int) string { return kind(sh.d, i) }

func kind(d *table.Def, i int) string {
	switch d.Columns[i].Type {
	case table.Integer, table.Numeric:
		return "numeric"
	case table.Boolean:
		return "boolean"
	case table.JSON:
		return "json"
	case table.Timestamp:
		if i >= len(d.Key) {
			return "timestamptz"
		}
	}
	return "text"
}

// array gives the type of the array in which the values of a column are handed over.
func array(kind string) string {
	if kind == "timestamptz" {
		return "timestamptz[]"
	}
	return "text[]"
}

// maxName is PostgreSQL's bound of names; it cuts longer ones off without a word.
const maxName = 63

// placeOf names the table that holds a version's rows.
func placeOf(name string, version int) string {
	place := fmt.Sprintf("leat_%s_v%d", name, version)
	if len(place) <= maxName {
		return place
	}
	tail := fmt.Sprintf("_%016x_v%d", hash(name), version)
	cut := maxName - len("leat_") - len(tail)
	for cut > 0 && !utf8.RuneStart(name[cut]) {
		cut--
	}
	return "leat_" + name[:cut] + tail
}

func hash(parts ...string) uint64 {
	h := fnv.New64a()
	for _, p := range parts {
		h.Write([]byte(p + "\x00"))
	}
	return h.Sum64()
}

// quote makes a name an identifier.
func quote(name string) string { return pgx.Identifier{name}.Sanitize() }

func quoteAll(names []string) string {
	quoted := make([]string, len(names))
	for i, n := range names {
		quoted[i] = quote(n)
	}
	return strings.Join(quoted, ",")
}

// The letters by which a column of any type tells its types, in the order of table.Compare.
var letters = map[table.Type]byte{table.Boolean: 'b', table.Numeric: 'n', table.Timestamp: 't', table.Text: 'x', table.JSON: 'z'}

// text gives a value that is no null as text, for a column that is not a timestamptz.
func (sh *shape) text(i int, v table.Value) string {
	var b []byte
	if sh.d.Columns[i].Type == table.Any {
		b = append(b, letters[table.Kind(v)])
	}
	if at, ok := v.(time.Time); ok {
		return string(b) + at.Format(stamp)
	}
	return string(table.AppendText(b, v))
}

// decode reads a column in the binary format. Nanos is from leat_types.
func (sh *shape) decode(i int, raw []byte, nanos int) (table.Value, error) {
	if raw == nil {
		return nil, nil
	}
	t := sh.d.Columns[i].Type
	switch sh.kind(i) {
	case "timestamptz":
		if len(raw) != 8 {
			return nil, fmt.Errorf("a time of %d bytes", len(raw))
		}
		return time.UnixMicro(int64(binary.BigEndian.Uint64(raw)) + 946_684_800_000_000).Add(time.Duration(nanos)).UTC(), nil
	case "boolean":
		return len(raw) == 1 && raw[0] == 1, nil
	}
	s := string(raw)
	if t == table.Any {
		if s == "" {
			return nil, fmt.Errorf("a value without a type")
		}
		for typ, letter := range letters {
			if letter == s[0] {
				t = typ
			}
		}
		s = s[1:]
	}
	switch t {
	case table.Integer, table.Numeric:
		return number(s)
	case table.Boolean:
		return s == "true", nil
	case table.Timestamp:
		at, err := time.Parse(time.RFC3339Nano, s)
		if err != nil {
			return nil, fmt.Errorf("%q is no time", s)
		}
		return at.UTC(), nil
	case table.JSON:
		return json.RawMessage(s), nil
	}
	return s, nil
}

func number(s string) (table.Value, error) {
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return apd.New(n, 0), nil
	}
	d, _, err := apd.NewFromString(s)
	if err != nil {
		return nil, fmt.Errorf("%q is no number", s)
	}
	return table.Canonical(d)
}

// row reads a row that was selected as sh.columns.
func (sh *shape) row(raw [][]byte) (table.Row, error) {
	var nanos map[string]int
	if note := raw[len(raw)-1]; note != nil {
		if err := json.Unmarshal(note, &nanos); err != nil {
			return nil, fmt.Errorf("table %s: %s: %w", sh.d.Name, table.TypesColumn, err)
		}
	}
	row := make(table.Row, len(raw)-1)
	for i := range row {
		var err error
		if row[i], err = sh.decode(i, raw[i], nanos[sh.d.Columns[i].Name]); err != nil {
			return nil, fmt.Errorf("table %s: column %s: %w", sh.d.Name, sh.d.Columns[i].Name, err)
		}
	}
	return row, nil
}

// encoded are rows ready to be handed over, column by column.
type encoded struct {
	put, del   []any
	puts, dels int
}

func (sh *shape) encode(put, del []table.Row) (*encoded, error) {
	put, err := sh.d.Fit(put, len(sh.d.Columns))
	if err != nil {
		return nil, err
	}
	del, err = sh.d.Fit(del, len(sh.d.Key))
	if err != nil {
		return nil, err
	}
	put = sh.last(put)
	e := &encoded{puts: len(put), dels: len(del)}
	e.put = append(sh.arrays(put, len(sh.d.Columns)), sh.notes(put))
	e.del = sh.arrays(del, len(sh.d.Key))
	return e, nil
}

// last keeps the last row of each key: one statement cannot write a row twice.
func (sh *shape) last(rows []table.Row) []table.Row {
	if len(rows) < 2 {
		return rows
	}
	at := make(map[string]int, len(rows))
	var key []byte
	kept := rows[:0:0]
	for _, r := range rows {
		key = table.AppendKey(key[:0], r[:len(sh.d.Key)])
		if i, twice := at[string(key)]; twice {
			kept[i] = r
			continue
		}
		at[string(key)] = len(kept)
		kept = append(kept, r)
	}
	return kept
}

// arrays gives rows as one array for each of the first columns.
func (sh *shape) arrays(rows []table.Row, width int) []any {
	out := make([]any, width, width+1)
	for i := range width {
		if sh.kind(i) == "timestamptz" {
			times := make([]*time.Time, len(rows))
			for j, r := range rows {
				if at, ok := r[i].(time.Time); ok {
					at = at.Truncate(time.Microsecond)
					times[j] = &at
				}
			}
			out[i] = times
			continue
		}
		texts := make([]*string, len(rows))
		for j, r := range rows {
			if r[i] != nil {
				s := sh.text(i, r[i])
				texts[j] = &s
			}
		}
		out[i] = texts
	}
	return out
}

// notes gives leat_types of each row: a JSON object from the names of columns to the nanoseconds behind the microsecond.
func (sh *shape) notes(rows []table.Row) []*string {
	out := make([]*string, len(rows))
	for j, r := range rows {
		var nanos map[string]int
		for i, v := range r {
			at, ok := v.(time.Time)
			if n := at.Nanosecond() % 1000; ok && n > 0 && sh.kind(i) == "timestamptz" {
				if nanos == nil {
					nanos = map[string]int{}
				}
				nanos[sh.d.Columns[i].Name] = n
			}
		}
		if nanos != nil {
			b, _ := json.Marshal(nanos) // strings and numbers alone: it cannot fail
			s := string(b)
			out[j] = &s
		}
	}
	return out
}
