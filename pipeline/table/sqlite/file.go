package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
)

// File is a store in a SQLite file of its own.
type File struct {
	*Store
	writer, readers *sql.DB
}

// OpenFile opens a SQLite file, which is made where there is none, with a write-ahead log and synchronous=FULL: what
// is committed survives a power cut. Nothing is parked there.
func OpenFile(ctx context.Context, path string) (*File, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("table: %w", err)
	}
	f := &File{}
	open := func(extra url.Values, conns int) (*sql.DB, error) {
		extra["_pragma"] = append(extra["_pragma"], "busy_timeout(5000)", "journal_mode(wal)", "synchronous(full)", "temp_store(memory)", "cache_size(-16000)")
		db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Path: path, RawQuery: extra.Encode()}).String())
		if err != nil {
			return nil, err
		}
		db.SetMaxOpenConns(conns)
		db.SetMaxIdleConns(conns)
		if err := db.PingContext(ctx); err != nil {
			return nil, errors.Join(err, db.Close())
		}
		return db, nil
	}
	if f.writer, err = open(url.Values{"_txlock": {"immediate"}}, 1); err != nil {
		return nil, fmt.Errorf("table: open %s: %w", path, err)
	}
	if f.readers, err = open(url.Values{"_pragma": {"query_only(1)"}}, 4); err != nil {
		return nil, fmt.Errorf("table: open %s: %w", path, errors.Join(err, f.writer.Close()))
	}
	f.Store = New(f.readers, f.transact, nil)
	return f, nil
}

// OpenFileReading opens a SQLite file that is there (else fs.ErrNotExist) for reading alone.
func OpenFileReading(ctx context.Context, path string) (*File, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("table: %w", err)
	}
	if _, err := os.Stat(path); err != nil {
		return nil, fmt.Errorf("table: open %s: %w", path, err)
	}
	q := url.Values{"mode": {"ro"}, "_pragma": {"busy_timeout(5000)", "query_only(1)", "temp_store(memory)"}}
	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Path: path, RawQuery: q.Encode()}).String())
	if err != nil {
		return nil, fmt.Errorf("table: open %s: %w", path, err)
	}
	if err := db.PingContext(ctx); err != nil {
		return nil, fmt.Errorf("table: open %s: %w", path, errors.Join(err, db.Close()))
	}
	return &File{Store: New(db, nil, nil), readers: db}, nil
}

// transact is a WriteFunc.
func (f *File) transact(ctx context.Context, fn func(Conn) error) error {
	tx, err := f.writer.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := fn(tx); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}

// Close waits for what is under way and closes the file.
func (f *File) Close() error {
	err := f.readers.Close()
	if f.writer != nil { // it was not opened for reading alone
		err = errors.Join(err, f.writer.Close())
	}
	return err
}
