package table

import (
	"fmt"
	"slices"
)

// Admit decides what Ensure does, the same way in every backend. Stored is what there is under the name of d: none, the
// live table, or the live one and the one that is being built. It gives the place in stored of the table that d means
// and what its definition is from now on; or -1 where d must be built, beside the live table where there is one and
// instead of the one that is being built. Errors are those of Store.Ensure.
func Admit(stored []Info, d *Def, definition, relay, logID string) (int, Def, error) {
	if err := d.Validate(); err != nil {
		return -1, Def{}, err
	}
	if len(stored) == 0 {
		return -1, d.Clone(), nil
	}
	if have := stored[0].Def.Name; have != d.Name {
		return -1, Def{}, fmt.Errorf("%w: there is a table %q, which is one name with %q to some databases", ErrDef, have, d.Name)
	}
	for i, s := range stored {
		if s.Def.Version != d.Version {
			continue
		}
		switch {
		case s.LogID != logID:
			return -1, Def{}, fmt.Errorf("table %s: %w", d.Name, ErrForeignLog)
		case s.Relay != relay:
			return -1, Def{}, fmt.Errorf("table %s: %w: it is %q, not %q", d.Name, ErrOwned, s.Relay, relay)
		case s.Definition != definition:
			return -1, Def{}, &ChangedError{Table: d.Name, Version: d.Version, What: "its projection has changed"}
		}
		def, err := s.Def.Extend(d)
		return i, def, err
	}
	if newest := stored[len(stored)-1].Def.Version; d.Version < newest {
		return -1, Def{}, &ChangedError{Table: d.Name, Version: d.Version, What: fmt.Sprintf("its stored version is %d already", newest)}
	}
	if r := stored[0].Relay; r != relay {
		return -1, Def{}, fmt.Errorf("table %s: %w: it is %q, not %q", d.Name, ErrOwned, r, relay)
	}
	return -1, d.Clone(), nil
}

// AdmitRebuild decides what Rebuild does, the same way in every backend: it gives the definition under which the live
// table of stored (see Admit) is built once more. What was begun before is to be dropped; it had another number, so that
// whoever began it, and does not know yet that he was overtaken, cannot take the new one for his.
func AdmitRebuild(stored []Info, d *Def, relay string, epoch int64) (Def, error) {
	i, err := Find(stored, d)
	switch {
	case err != nil:
		return Def{}, err
	case i != 0:
		return Def{}, fmt.Errorf("table %s: version %d is being built just now", d.Name, d.Version)
	case stored[0].Relay != relay || stored[0].Epoch > epoch:
		return Def{}, fmt.Errorf("table %s: relay %q has it under epoch %d: %w", d.Name, stored[0].Relay, stored[0].Epoch, ErrFenced)
	case len(stored) > 1 && stored[1].Def.Version != d.Version:
		return Def{}, fmt.Errorf("table %s: version %d is being built beside it already", d.Name, stored[1].Def.Version)
	}
	next := stored[0].Def.Clone()
	// Behind what is being built, else behind the live one; and by the epoch, as what was given up leaves no trace.
	next.Build = (stored[len(stored)-1].Def.Build + 1 + int(epoch%maxBuild)) % maxBuild
	for slices.ContainsFunc(stored, func(i Info) bool { return i.Def.Build == next.Build }) {
		next.Build = (next.Build + 1) % maxBuild
	}
	return next, nil
}

// AdmitSwap gives the place in stored (see Admit) of the table that is to replace the live one, 0 where it is that already.
// A rebuild is refused where another owner has taken the live table since: that one goes on from where the live table is,
// and its rows are no longer those that were built. (A raised version may be another relay's, whose epochs are its own.)
func AdmitSwap(stored []Info, d *Def) (int, error) {
	i, err := Find(stored, d)
	if err == nil && i > 0 && stored[i].Def.Version == stored[0].Def.Version && stored[i].Epoch < stored[0].Epoch {
		return -1, fmt.Errorf("table %s: it was built under epoch %d, and the live one is under %d: %w", d.Name, stored[i].Epoch, stored[0].Epoch, ErrFenced)
	}
	return i, err
}

// AdmitAbandon reports whether d is what is being built in stored (see Admit), and not the build of another owner.
func AdmitAbandon(stored []Info, d *Def) bool {
	return len(stored) > 1 && stored[1].Def.Serial() == d.Serial()
}

// Check reports whether a write under c may go through on the table that i tells of.
func (i *Info) Check(c *Checkpoint) error {
	name := i.Def.Name
	switch {
	case i.LogID != c.LogID:
		return fmt.Errorf("table %s: %w", name, ErrForeignLog)
	case i.Relay != c.Relay:
		return fmt.Errorf("table %s: it belongs to relay %q now: %w", name, i.Relay, ErrFenced)
	case i.Epoch > c.Epoch:
		return fmt.Errorf("table %s: it is under epoch %d, not %d: %w", name, i.Epoch, c.Epoch, ErrFenced)
	case i.Position != c.From:
		return fmt.Errorf("table %s: it stands at %d, not %d: %w", name, i.Position, c.From, ErrFenced)
	case c.To < c.From:
		return fmt.Errorf("table %s: a checkpoint cannot go back from %d to %d", name, c.From, c.To)
	}
	return nil
}

// Find gives the place in stored (see Admit) of the version that d names. One that was replaced is fenced: its owner
// has been overtaken.
func Find(stored []Info, d *Def) (int, error) {
	for i, s := range stored {
		if s.Def.Version == d.Version && s.Def.Build == d.Build {
			return i, nil
		}
	}
	if len(stored) > 0 && d.Version == stored[0].Def.Version {
		return -1, fmt.Errorf("table %s: its rows were built anew meanwhile: %w", d.Name, ErrFenced)
	}
	if len(stored) > 0 && d.Version < stored[0].Def.Version {
		return -1, fmt.Errorf("table %s: version %d was replaced by %d: %w", d.Name, d.Version, stored[0].Def.Version, ErrFenced)
	}
	return -1, fmt.Errorf("table: table %s has no version %d", d.Name, d.Version)
}

// Fit gives rows in their canonical form, each value checked against the type of its column. A row is as wide as the
// columns or, as a key, as the key; no part of a key is null.
func (d *Def) Fit(rows []Row, width int) ([]Row, error) {
	out := make([]Row, len(rows))
	flat := make([]Value, len(rows)*width)
	for i, row := range rows {
		if len(row) != width {
			return nil, fmt.Errorf("table %s: a row of %d values where %d belong", d.Name, len(row), width)
		}
		fit := flat[i*width : (i+1)*width : (i+1)*width]
		for j, v := range row {
			c, err := Canonical(v)
			if err == nil {
				err = fits(d.Columns[j].Type, c)
			}
			if err == nil && j < len(d.Key) {
				err = fitsKey(c)
			}
			if err != nil {
				return nil, fmt.Errorf("table %s: column %s: %w", d.Name, d.Columns[j].Name, err)
			}
			fit[j] = c
		}
		out[i] = fit
	}
	return out, nil
}

func fits(t Type, v Value) error {
	k := Kind(v)
	switch {
	case t == Any || k == "" || t == k:
		return nil
	case t == Integer && k == Numeric:
		if isWhole(v) {
			return nil
		}
		return fmt.Errorf("%w: %s in a column of integers", ErrValue, AppendText(nil, v))
	}
	return fmt.Errorf("%w: %s in a column of %s", ErrValue, k, t)
}

func fitsKey(v Value) error {
	switch Kind(v) {
	case "":
		return fmt.Errorf("%w: the key is null", ErrValue)
	case JSON:
		return fmt.Errorf("%w: the key is JSON", ErrValue)
	}
	return nil
}
