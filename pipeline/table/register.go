package table

import (
	"context"
	"fmt"
	"reflect"

	"github.com/leatdev/leat/config"
)

// Database is a Store with a database of its own.
type Database interface {
	Store
	// Close waits for what is under way and lets go of the database.
	Close() error
}

type opener = func(ctx context.Context, cfg any) (Database, error)

// Register notes a backend under the name that the YAML's `databases` uses. C is the struct that is its YAML. It panics
// where the name is taken.
func Register[C any](name string, open func(ctx context.Context, c C) (Database, error)) {
	config.RegisterPlugin(config.Registration{
		Kind: config.KindDatabase, Name: name, Config: reflect.TypeFor[C](),
		Open: opener(func(ctx context.Context, cfg any) (Database, error) { return open(ctx, cfg.(C)) }),
	})
}

// Open opens the database that a plugin key names.
func Open(ctx context.Context, p config.Plugin) (Database, error) {
	r, ok := config.LookupPlugin(config.KindDatabase, p.Name)
	if !ok {
		return nil, fmt.Errorf("table: no database is called %q", p.Name)
	}
	return r.Open.(opener)(ctx, p.Config)
}

// Readable is implemented by the YAML of backends that can be opened for reading alone.
type Readable interface {
	// OpenReading opens the database and neither makes nor changes anything; writes fail. fs.ErrNotExist: there is none.
	OpenReading(ctx context.Context) (Database, error)
}

// OpenReading opens the database that a plugin key names for reading alone.
func OpenReading(ctx context.Context, p config.Plugin) (Database, error) {
	c, ok := p.Config.(Readable)
	if !ok {
		return nil, fmt.Errorf("table: a database %q cannot be opened for reading alone", p.Name)
	}
	return c.OpenReading(ctx)
}
