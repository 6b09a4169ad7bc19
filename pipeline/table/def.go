package table

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// TypesColumn is a name that no column may have: backends whose columns have no types of their own keep those of Any
// values under it.
const TypesColumn = "leat_types"

// MaxName bounds the names of tables and columns, in bytes.
const MaxName = 63

// ErrDef is wrapped by what Validate returns.
var ErrDef = errors.New("table: the definition is wrong")

// ErrOwned says that a table belongs to another relay.
var ErrOwned = errors.New("table: another relay writes this table")

// UnknownError says that there is no table, or no column in it, of that name.
type UnknownError struct {
	Kind string // table or column
	Name string
	Have []string
}

// Error names those that exist.
func (e *UnknownError) Error() string {
	if len(e.Have) == 0 {
		return fmt.Sprintf("table: there is no %s %q, nor any other", e.Kind, e.Name)
	}
	return fmt.Sprintf("table: there is no %s %q; there are %s", e.Kind, e.Name, strings.Join(e.Have, ", "))
}

// Renamer is a Store that can hand the table of a relay on to its new name (`was:`). Nothing happens where was has none,
// or now has one already: then it was done before, and the old name may belong to another relay by now.
type Renamer interface {
	RenameRelay(ctx context.Context, was, now string) error
}

// Validate reports what no backend can make a table of. Names that differ only in the case of ASCII letters are the
// same name to some databases and are refused together.
func (d *Def) Validate() error {
	if err := validName("table", d.Name); err != nil {
		return err
	}
	if lower := strings.ToLower(d.Name); strings.HasPrefix(lower, "leat_") || strings.HasPrefix(lower, "sqlite_") {
		return fmt.Errorf("%w: no table may be called %q: names that start with leat_ or sqlite_ are taken", ErrDef, d.Name)
	}
	if d.Version > MaxVersion {
		return fmt.Errorf("%w: table %s has the version %d, the highest is %d", ErrDef, d.Name, d.Version, MaxVersion)
	}
	if d.Version < 1 {
		return fmt.Errorf("%w: table %s has the version %d, the first one is 1", ErrDef, d.Name, d.Version)
	}
	seen := map[string]string{}
	for _, c := range d.Columns {
		if err := validName("column", c.Name); err != nil {
			return err
		}
		fold := strings.ToLower(c.Name)
		if fold == TypesColumn {
			return fmt.Errorf("%w: no column may be called %q", ErrDef, c.Name)
		}
		if other, ok := seen[fold]; ok {
			return fmt.Errorf("%w: table %s has the columns %q and %q, which are one to some databases", ErrDef, d.Name, other, c.Name)
		}
		seen[fold] = c.Name
		switch c.Type {
		case Any, Text, Integer, Numeric, Boolean, Timestamp, JSON:
		default:
			return fmt.Errorf("%w: column %s has no type that is called %q", ErrDef, c.Name, c.Type)
		}
	}
	if len(d.Key) == 0 {
		return fmt.Errorf("%w: table %s has no key", ErrDef, d.Name)
	}
	for i, k := range d.Key {
		if i >= len(d.Columns) || d.Columns[i].Name != k {
			return fmt.Errorf("%w: the columns of table %s must start with those of its key", ErrDef, d.Name)
		}
		if d.Columns[i].Type == JSON {
			return fmt.Errorf("%w: the key column %s cannot be json", ErrDef, k)
		}
	}
	for _, index := range d.Indexes {
		if len(index) == 0 {
			return fmt.Errorf("%w: table %s has an index over no column", ErrDef, d.Name)
		}
		for _, c := range index {
			if d.Index(c) < 0 {
				return fmt.Errorf("%w: an index of table %s: %w", ErrDef, d.Name, &UnknownError{"column", c, d.Names()})
			}
		}
	}
	return nil
}

func validName(kind, name string) error {
	switch {
	case name == "":
		return fmt.Errorf("%w: a %s has no name", ErrDef, kind)
	case len(name) > MaxName:
		return fmt.Errorf("%w: the name of the %s %.20q… is longer than %d bytes", ErrDef, kind, name, MaxName)
	case strings.IndexByte(name, 0) >= 0 || !utf8.ValidString(name):
		return fmt.Errorf("%w: the %s %q has a name that is no text", ErrDef, kind, name)
	}
	return nil
}

// Names gives the names of the columns.
func (d *Def) Names() []string {
	names := make([]string, len(d.Columns))
	for i, c := range d.Columns {
		names[i] = c.Name
	}
	return names
}

// Clone gives a copy that shares nothing.
func (d *Def) Clone() Def {
	c := *d
	c.Columns = slices.Clone(d.Columns)
	c.Key = slices.Clone(d.Key)
	c.Indexes = slices.Clone(d.Indexes)
	for i := range c.Indexes {
		c.Indexes[i] = slices.Clone(c.Indexes[i])
	}
	return c
}

// Extend checks that a table of definition d can take now's place under the same version, and gives what the table is
// then: d with the columns that now adds at its end and now's indexes. What it cannot take is a *ChangedError.
func (d *Def) Extend(now *Def) (Def, error) {
	changed := func(format string, args ...any) (Def, error) {
		return Def{}, &ChangedError{Table: d.Name, Version: d.Version, What: fmt.Sprintf(format, args...)}
	}
	if !slices.Equal(d.Key, now.Key) {
		return changed("its key was (%s) and is (%s) now", strings.Join(d.Key, ", "), strings.Join(now.Key, ", "))
	}
	out := d.Clone()
	for _, c := range d.Columns {
		i := now.Index(c.Name)
		if i < 0 {
			return changed("its column %s is gone", c.Name)
		}
		if t := now.Columns[i].Type; t != c.Type {
			return changed("its column %s was %s and is %s now", c.Name, c.Type, t)
		}
	}
	for _, c := range now.Columns {
		if d.Index(c.Name) < 0 {
			out.Columns = append(out.Columns, c)
		}
	}
	out.Indexes = now.Clone().Indexes
	if err := out.Validate(); err != nil {
		return Def{}, err
	}
	return out, nil
}
