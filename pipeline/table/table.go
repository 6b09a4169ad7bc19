// Package table holds the contract of read models: keyed rows in a database, with the checkpoint of the relay that
// writes them in the same database, so that each event's effect is there exactly once.
//
// What a projection does to a row is not here (see pipeline/project): a backend only loads rows, and writes rows
// together with the checkpoint.
package table

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/leatdev/leat/pipeline/poison"
)

// Type is a column's type.
type Type string

// The types. Any holds whatever was put there, each value with its own type.
const (
	Any       Type = "any"
	Text      Type = "text"
	Integer   Type = "integer"
	Numeric   Type = "numeric" // exact decimal
	Boolean   Type = "boolean"
	Timestamp Type = "timestamp"
	JSON      Type = "json"
)

// Column is one column.
type Column struct {
	Name string
	Type Type
}

// Def is a table's definition. Columns start with those of Key, in its order.
type Def struct {
	Name    string
	Columns []Column
	// Key names the columns that identify a row.
	Key     []string
	Indexes [][]string
	// Version counts up when the projection changes its meaning; at least 1.
	Version int
	// Build tells tables of one version apart that were built one after another (Store.Rebuild); the first is 0.
	Build int
}

// A version and a build are kept in one number.
const (
	buildShift = 20
	// MaxVersion is the highest version of a table.
	MaxVersion = 1<<buildShift - 1
	maxBuild   = 1 << 10
)

// Serial is the number that backends keep for version and build; for a table that was never rebuilt it is the version.
func (d *Def) Serial() int { return d.Build<<buildShift | d.Version }

// SetSerial sets version and build by the number that was kept.
func (d *Def) SetSerial(n int) { d.Version, d.Build = n&MaxVersion, n>>buildShift }

// Index gives the place of a column, -1 where there is none.
func (d *Def) Index(column string) int {
	for i := range d.Columns {
		if d.Columns[i].Name == column {
			return i
		}
	}
	return -1
}

// Value is one of: nil, bool, string, *apd.Decimal (Integer and Numeric), time.Time (UTC), json.RawMessage; in the form
// that Canonical gives. Nobody changes a value that a row holds.
type Value any

// Row is a row's values in the order of Def.Columns. A key is a Row cut to the key's columns.
type Row []Value

// Reader gives rows as they stand.
type Reader interface {
	// Load gives the rows of the keys, nil where there is none, in the keys' order.
	Load(ctx context.Context, d *Def, keys []Row) ([]Row, error)
	// Scan gives the rows whose columns equal the given values (all rows where equal is empty), in the key's order.
	Scan(ctx context.Context, d *Def, equal map[string]Value) iter.Seq2[Row, error]
}

// Tx is a Reader inside a transaction that writes too.
type Tx interface {
	Reader
	Write(ctx context.Context, d *Def, put, del []Row) error
}

// Checkpoint moves a relay's place in the log along with the rows that it wrote.
type Checkpoint struct {
	Relay string
	// LogID names the log that the position is in.
	LogID string
	// Epoch is that of the lease under which the relay runs.
	Epoch int64
	// From is the position that must stand there, To the new one (To ≥ From).
	From, To int64
	// Resent is the id of the parked entry whose effect the rows are; 0: of none. It is kept, so that a write whose outcome
	// is unknown is not made twice where the entry itself lies in another database.
	Resent int64
}

// Write is one transaction: rows, the checkpoint, and what was parked instead of being applied.
type Write struct {
	Def *Def
	// Put are whole rows, Delete are keys; no key is in both.
	Put    []Row
	Delete []Row
	// Checkpoint is nil where no relay moves (a parked event sent again).
	Checkpoint *Checkpoint
	// Park is only used where the table lies in the store's own database (Store.WithStore).
	Park []poison.Entry
	// Unpark removes the parked entries with these ids in the same transaction; an entry that is not there any more
	// fails the write with ErrGone.
	Unpark []int64
}

var (
	// ErrFenced says that another owner with a higher epoch, or another place than From, stands in the table.
	ErrFenced = errors.New("table: another owner has moved the checkpoint")
	// ErrForeignLog says that the table's checkpoint belongs to another log.
	ErrForeignLog = errors.New("table: the checkpoint belongs to another log")
	// ErrGone says that a parked entry was taken away meanwhile.
	ErrGone = errors.New("table: the parked entry is gone")
)

// ChangedError says that a table's definition differs from the stored one under the same version.
type ChangedError struct {
	Table   string
	Version int
	What    string
}

// Error implements error.
func (e *ChangedError) Error() string {
	return fmt.Sprintf("table %s: %s, but the version is still %d: raise `version` to build it anew beside the old one", e.Table, e.What, e.Version)
}

// Info is what a backend knows of a table.
type Info struct {
	Def        Def
	Definition string
	Relay      string
	LogID      string
	Position   int64
	Epoch      int64
	// Resent is that of the last checkpoint that had one.
	Resent int64
	Rows   int64 // -1: not counted
	// Building is the version that is being built beside this one, 0 where none is. Of a table that is itself being
	// built it is the table's own version: it wants a Swap when it has caught up.
	Building int
	// Live: people read this one; else it is being built.
	Live    bool
	Updated time.Time
}

// Query selects rows for people.
type Query struct {
	Table string
	Equal map[string]string
	Order []string // a leading - means descending; empty: by key
	Limit int      // 0: all
	Skip  int
}

// Store is a database that holds tables. It is safe for concurrent use.
type Store interface {
	Reader
	// Ensure creates the table or checks the stored one: definition is a hash over what the projection means. Under an
	// unchanged version another definition is a *ChangedError. A higher version is built beside the old table, under
	// its own checkpoint at 0, until Swap; reads of people go to the old one till then. A lower one is a
	// *ChangedError too. New columns under the same definition are no change of meaning and are added.
	Ensure(ctx context.Context, d *Def, definition, relay, logID string) (Info, error)
	// Apply commits w, or nothing: ErrFenced, ErrForeignLog, ErrGone. Repeating a Write whose outcome is unknown is
	// refused with ErrFenced when it had gone through; Position tells.
	Apply(ctx context.Context, w *Write) error
	// Take raises the epoch of the table's checkpoint to that of a new owner; a lower epoch than stored is ErrFenced.
	// From then on no Apply under a lower one goes through.
	Take(ctx context.Context, d *Def, relay string, epoch int64) (Info, error)
	// Rebuild begins to build the live table d once more beside it, under the same version and definition and a
	// checkpoint of its own at 0; what was begun before is dropped. It gives the table that is built: Apply and Swap
	// take its Def. Relay and epoch must be those of the owner.
	Rebuild(ctx context.Context, d *Def, relay string, epoch int64) (Info, error)
	// Abandon drops a table that is being built: d as Rebuild or Ensure gave it. Where that is gone, or another is being
	// built by now, it does nothing.
	Abandon(ctx context.Context, d *Def) error
	// Swap puts a table that was built beside in the place of the old one, which is dropped. A rebuild is
	// ErrFenced where the live table was taken since by an owner of a higher epoch.
	Swap(ctx context.Context, d *Def) error
	// Tables lists what there is in the order of the names: each table, behind it the one that is being built in its
	// place.
	Tables(ctx context.Context) ([]Info, error)
	// Query gives the columns and the rows for people and programs; an unknown table or column is an error that
	// names those that exist.
	Query(ctx context.Context, q Query) (Def, iter.Seq2[Row, error], error)
	// WithStore reports whether Write.Park and Write.Unpark work here.
	WithStore() bool
}
