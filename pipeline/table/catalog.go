package table

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// shape is what SQL databases keep of a definition in one column of their catalog; its version is a column beside it.
type shape struct {
	Name    string     `json:"name"`
	Columns []Column   `json:"columns"`
	Key     []string   `json:"key"`
	Indexes [][]string `json:"indexes,omitempty"`
}

// Shape gives name, columns, key and indexes as JSON, for a catalog.
func (d *Def) Shape() (string, error) {
	b, err := json.Marshal(shape{d.Name, d.Columns, d.Key, d.Indexes})
	return string(b), err
}

// List adds a line of a catalog to those before it. A catalog is read by name, the live table first and the one that is
// being built behind it; info has what its columns say, but for Def, which is of the shape and the serial, and Rows.
func List(before []Info, info Info, text string, serial int) ([]Info, error) {
	var s shape
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		return nil, fmt.Errorf("table: the catalog leat_tables is damaged: %w", err)
	}
	info.Def = Def{Name: s.Name, Columns: s.Columns, Key: s.Key, Indexes: s.Indexes}
	info.Def.SetSerial(serial)
	info.Rows = -1
	if !info.Live { // it is built beside the one before it
		info.Building = info.Def.Version
		if n := len(before); n > 0 && strings.EqualFold(before[n-1].Def.Name, s.Name) {
			before[n-1].Building = info.Def.Version
		}
	}
	return append(before, info), nil
}

// Unknown is the error for a name that none of all tables has.
func Unknown(name string, all []Info) error {
	var have []string
	for i := range all {
		if !slices.Contains(have, all[i].Def.Name) {
			have = append(have, all[i].Def.Name)
		}
	}
	return &UnknownError{Kind: "table", Name: name, Have: have}
}

// Same reports whether two definitions make the same table.
func (d *Def) Same(o *Def) bool {
	x, _ := json.Marshal(d)
	y, _ := json.Marshal(o)
	return string(x) == string(y)
}
