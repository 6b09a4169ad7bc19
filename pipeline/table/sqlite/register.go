package sqlite

import (
	"context"

	"github.com/leatdev/leat/pipeline/table"
)

func init() { table.Register("sqlite", openPlugin) }

// Settings are the YAML of a database.
type Settings struct {
	_ struct{} `doc:"tables in a SQLite file"`

	Path string `yaml:"path" doc:"the file; it is made where there is none, in a folder that is there" example:"/var/lib/shop/reporting.db"`
}

// Target names the file.
func (s Settings) Target() string { return s.Path }

func openPlugin(ctx context.Context, s Settings) (table.Database, error) {
	f, err := OpenFile(ctx, s.Path)
	if err != nil {
		return nil, err // not a nil *File in the interface
	}
	return f, nil
}

// OpenReading implements table.Readable.
func (s Settings) OpenReading(ctx context.Context) (table.Database, error) {
	f, err := OpenFileReading(ctx, s.Path)
	if err != nil {
		return nil, err
	}
	return f, nil
}
