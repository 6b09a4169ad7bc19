// Package project is what `project` steps do to the rows of a table: it folds a batch of events over the rows they
// concern and gives the rows to write.
//
// A Projection is made of all the steps of one pipeline into one table. It loads the rows of a whole batch at once,
// keeps what it changes in memory, and touches nothing itself: the caller commits the result together with the
// checkpoint. An event that fails leaves no trace; the others of the batch are as if it had not been there. Folding a
// log in batches of any size gives the same rows.
//
// What a step does, in this order: each evaluates to an array, and the rest happens once for each item of it; key finds
// the row, or where finds rows; then the step's own changes, and behind them those that by_type has for the event's
// type. A type that by_type does not list changes nothing there. Every expression of a set of changes sees the row as
// it was before them. If delete is true, the row goes and the other changes of the set do not happen. Set, add and
// append make a row that is not there, unset and delete do not. Add takes an absent or null column as 0 and refuses
// what is no number; append makes an array of an absent or null column.
package project

import (
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/filter"
	"github.com/leatdev/leat/pipeline/table"
)

// Spec is one `project` step.
type Spec struct {
	Table string
	// Key finds the row: expressions over the event and item. Either Key or Where is given.
	Key []Field
	// Where finds rows: an expression over the event, item and row.
	Where string
	// Each is an expression that gives an array, "" for none.
	Each string
	Ops
	// ByType holds changes for events of one type, made after those of Ops.
	ByType map[string]Ops
}

// Ops are changes of a row.
type Ops struct {
	Set    []Field
	Add    []Field
	Append []Field
	Unset  []string
	// Delete is an expression, "" for none.
	Delete string
}

// Field is a column and the expression of its value.
type Field struct{ Column, Expr string }

// Item is an event in front of one of the steps. What a pipeline's steps above made of the event may differ from one
// project step to the next.
type Item struct {
	Event *event.Recorded
	// Src is the caller's number of the event. Items of one Src stand together and are applied together or not at all.
	Src int
	// Step is the index of the Spec.
	Step int
}

// Options let the caller steer a fold. Both may be nil.
type Options struct {
	// Skip is asked before each event whether it is left out (its stream is held).
	Skip func(src int) bool
	// Failed is told of each event that cannot be applied, before the next one is asked about.
	Failed func(src int, err error)
}

// Result is what a batch does to the table.
type Result struct {
	// Put are whole rows, Delete are keys; no key is in both. A row that ends as it was is in neither.
	Put, Delete []table.Row
	// Failed has the error of each event that cannot be applied, by Item.Src. It carries event.CodeProjection, or
	// event.CodeExpression where an expression failed; no repeat will mend it.
	Failed map[int]error
	// Mismatches counts the rows at which `where` met a value of the wrong type, which made it false.
	Mismatches int
}

// Projection is the compiled steps into one table. It is safe for concurrent use.
type Projection struct {
	def        table.Def
	definition string
	scope      *filter.Scope
	steps      []step
	folds      sync.Pool
}

// Def gives the table's definition: the columns of the `tables` block, or those that the steps name, each of any type;
// the key first.
func (p *Projection) Def() table.Def { return p.def.Clone() }

// Definition gives a hash over what the steps mean: the same for steps that do the same to the same key.
func (p *Projection) Definition() string { return p.definition }

// All gives the items of events that meet every step as they are, with their indexes as Src.
func (p *Projection) All(batch []event.Recorded) []Item {
	items := make([]Item, 0, len(batch)*len(p.steps))
	for i := range batch {
		for s := range p.steps {
			items = append(items, Item{Event: &batch[i], Src: i, Step: s})
		}
	}
	return items
}

// Error is a mistake in a step.
type Error struct {
	// Step is the index of the Spec.
	Step int
	// Path leads to the field: {"by_type", "ItemAdded", "set", "total"}.
	Path []string
	// Err carries the *filter.Error of an expression (see filter.Errors).
	Err error
	// Hint says what to write instead, or is empty.
	Hint string
}

// Error names the step, the field and what is wrong.
func (e *Error) Error() string {
	s := fmt.Sprintf("project: step %d: ", e.Step+1)
	if len(e.Path) > 0 {
		s += strings.Join(e.Path, ".") + ": "
	}
	s += e.Err.Error()
	if e.Hint != "" {
		s += " (" + e.Hint + ")"
	}
	return s
}

// Unwrap implements errors.Unwrap.
func (e *Error) Unwrap() error { return e.Err }

// Mistakes is the error of Compile: all that is wrong, in the order of the steps.
type Mistakes []*Error //nolint:errname // a list of errors, not one

// Error gives them line by line.
func (m Mistakes) Error() string { return errors.Join(m.Unwrap()...).Error() }

// Unwrap implements errors.Unwrap.
func (m Mistakes) Unwrap() []error {
	all := make([]error, len(m))
	for i, e := range m {
		all[i] = e
	}
	return all
}
