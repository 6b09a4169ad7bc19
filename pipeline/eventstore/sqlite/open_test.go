package sqlite_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/eventstore/sqlite"
	"github.com/leatdev/leat/pipeline/poison"
	"github.com/leatdev/leat/pipeline/table"
)

func one(stream, id string) *eventstore.Unit {
	return &eventstore.Unit{Pipeline: "p", Appends: []eventstore.Append{{
		Stream: event.Stream{Type: "a", ID: stream}, Events: []event.Event{{ID: id, Type: "T", Data: []byte(`{"a":1}`)}},
	}}}
}

func put(t testing.TB, s *sqlite.Store, units ...*eventstore.Unit) {
	t.Helper()
	if err := s.Commit(t.Context(), units, eventstore.CommitOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, u := range units {
		if u.Result.Status != eventstore.Done {
			t.Fatalf("%+v", u.Result)
		}
	}
}

func execute(t *testing.T, path string, statements ...string) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, s := range statements {
		if _, err := db.Exec(s); err != nil {
			t.Fatal(err)
		}
	}
}

// TestOpenErrors: each thing that stands in the way has an error that says so, and nothing is changed.
func TestOpenErrors(t *testing.T) {
	for _, tt := range []struct {
		name  string
		make  func(t *testing.T, dir string)
		cfg   sqlite.Config
		is    error
		words string
	}{
		{name: "no such store, read only", cfg: sqlite.Config{ReadOnly: true}, is: fs.ErrNotExist, words: sqlite.File},
		{name: "no SQLite file", is: eventstore.ErrCorrupt, words: "no SQLite file", make: func(t *testing.T, dir string) {
			write(t, filepath.Join(dir, sqlite.File), []byte(strings.Repeat("not a database ", 1000)))
		}},
		{name: "another program's", is: sqlite.ErrSchema, words: "another program", make: func(t *testing.T, dir string) {
			execute(t, filepath.Join(dir, sqlite.File), "CREATE TABLE notes (x)", "INSERT INTO notes VALUES (1)")
		}},
		{name: "another program's, read only", cfg: sqlite.Config{ReadOnly: true}, is: sqlite.ErrSchema, words: "no schema", make: func(t *testing.T, dir string) {
			execute(t, filepath.Join(dir, sqlite.File), "CREATE TABLE notes (x)")
		}},
		{name: "a newer leat's", is: sqlite.ErrSchema, words: "use a newer leat", make: func(t *testing.T, dir string) {
			fill(t, dir, 3)
			execute(t, filepath.Join(dir, sqlite.File), "INSERT INTO leat_schema VALUES (999, 'later')")
		}},
		{name: "the log is short of its head", is: eventstore.ErrCorrupt, words: "last event is 2", make: func(t *testing.T, dir string) {
			fill(t, dir, 3)
			execute(t, filepath.Join(dir, sqlite.File), "DELETE FROM leat_events WHERE position = 3")
		}},
		{name: "the row of the head is gone", is: eventstore.ErrCorrupt, words: "leat_log", make: func(t *testing.T, dir string) {
			fill(t, dir, 3)
			execute(t, filepath.Join(dir, sqlite.File), "DELETE FROM leat_log")
		}},
		{name: "the data directory is a file", is: eventstore.ErrUnavailable, words: "not a directory", make: func(t *testing.T, dir string) {
			if err := os.Remove(dir); err != nil {
				t.Fatal(err)
			}
			write(t, dir, nil)
		}},
		{name: "the database is a directory", is: eventstore.ErrUnavailable, make: func(t *testing.T, dir string) {
			if err := os.MkdirAll(filepath.Join(dir, sqlite.File, "x"), 0o700); err != nil {
				t.Fatal(err)
			}
		}},
		{name: "durability", cfg: sqlite.Config{Durability: "none"}, words: "full or relaxed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "data")
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			if tt.make != nil {
				tt.make(t, dir)
			}
			before, _ := os.ReadFile(filepath.Join(dir, sqlite.File))
			tt.cfg.Dir = dir
			s, err := sqlite.Open(t.Context(), tt.cfg)
			if err == nil {
				_ = s.Close()
				t.Fatal("no error")
			}
			if tt.is != nil && !errors.Is(err, tt.is) || !strings.Contains(err.Error(), tt.words) || strings.Contains(err.Error(), "\n") {
				t.Errorf("got %q, want %v and %q in one line", err, tt.is, tt.words)
			}
			if after, _ := os.ReadFile(filepath.Join(dir, sqlite.File)); string(after) != string(before) {
				t.Error("the file was changed")
			}
		})
	}
}

func write(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// fill makes a store of n events and closes it.
func fill(t *testing.T, dir string, n int) {
	t.Helper()
	s, err := sqlite.Open(t.Context(), sqlite.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		put(t, s, one(fmt.Sprint(i%7), fmt.Sprint(i)))
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestMakesDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b c?#%41")
	s := openStore(t, sqlite.Config{Dir: dir})
	put(t, s, one("1", "1"))
	i, err := os.Stat(dir)
	if err != nil || i.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", i.Mode(), err)
	}
	if _, err := os.Stat(filepath.Join(dir, sqlite.File)); err != nil {
		t.Error(err)
	}
}

func TestSecondProcess(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, sqlite.Config{Dir: dir})
	put(t, s, one("1", "1"))
	_, err := sqlite.Open(t.Context(), sqlite.Config{Dir: dir})
	if !errors.Is(err, eventstore.ErrLocked) || !strings.Contains(err.Error(), fmt.Sprint("process ", os.Getpid())) {
		t.Fatalf("the second writer: %v", err)
	}
	// A reader beside it sees what is there, what comes, and by subscription too.
	r := openStore(t, sqlite.Config{Dir: dir, ReadOnly: true})
	ids := func() (out []string) {
		for e, err := range r.ReadStream(t.Context(), event.Stream{Type: "a", ID: "1"}, eventstore.ReadOptions{}) {
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, e.ID)
		}
		return out
	}
	if got := ids(); len(got) != 1 {
		t.Fatal(got)
	}
	put(t, s, one("1", "2"), one("2", "1"))
	if got := ids(); len(got) != 2 {
		t.Fatal(got)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	seen := int64(0)
	for p, err := range r.Subscribe(ctx, eventstore.SubscribeOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		if seen = p.Through; seen == 3 {
			put(t, s, one("1", "3")) // found by the poll, within a second
		} else {
			break
		}
	}
	if seen != 4 {
		t.Errorf("the follower came to %d", seen)
	}
	streams := 0
	for _, err := range r.Streams(t.Context(), eventstore.StreamsOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		streams++
	}
	if v, err := r.Verify(t.Context(), func(f eventstore.Fault) { t.Error(f) }); err != nil || v.Events != 4 || streams != 2 {
		t.Errorf("%+v, %v, %d streams", v, err, streams)
	}
	for name, err := range map[string]error{
		"commit":  r.Commit(t.Context(), []*eventstore.Unit{one("1", "4")}, eventstore.CommitOptions{}),
		"park":    r.Park(t.Context(), poison.Entry{}),
		"advance": r.AdvanceRelay(t.Context(), eventstore.Advance{}),
		"table":   r.Tables().Apply(t.Context(), &table.Write{Def: &table.Def{Name: "x", Key: []string{"k"}, Columns: []table.Column{{Name: "k", Type: table.Text}}, Version: 1}}),
	} {
		if !errors.Is(err, eventstore.ErrReadOnly) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// The lock goes with the store.
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if got := ids(); len(got) != 3 {
		t.Fatal(got)
	}
	put(t, openStore(t, sqlite.Config{Dir: dir}), one("1", "4"))
	if got := ids(); len(got) != 4 {
		t.Fatal(got)
	}
}

// TestReadOnlyAfterKill: what a killed process left, its WAL among it, is read without a writer.
func TestReadOnlyAfterKill(t *testing.T) {
	s := openStore(t, sqlite.Config{})
	for i := range 20 {
		put(t, s, one(fmt.Sprint(i%3), fmt.Sprint(i)))
	}
	dir := t.TempDir()
	for _, name := range []string{sqlite.File, sqlite.File + "-wal"} {
		b, err := os.ReadFile(filepath.Join(sqlite.Dir(s), name))
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, name), b)
	}
	r := openStore(t, sqlite.Config{Dir: dir, ReadOnly: true})
	if v, err := r.Verify(t.Context(), func(f eventstore.Fault) { t.Error(f) }); err != nil || v.Events != 20 || v.Streams != 3 {
		t.Errorf("%+v, %v", v, err)
	}
	n := 0
	for _, err := range r.ReadStream(t.Context(), event.Stream{Type: "a", ID: "1"}, eventstore.ReadOptions{Backwards: true}) {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	if n != 7 {
		t.Errorf("%d events", n)
	}
}

// TestMigrationGoesOn: a start that was killed while it made the schema is taken up by the next one.
func TestMigrationGoesOn(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, sqlite.File), nil) // made, and nothing written
	put(t, openStore(t, sqlite.Config{Dir: dir}), one("1", "1"))
}

// TestView: people read the log with any SQLite tool.
func TestView(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, sqlite.Config{Dir: dir, Now: func() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 5e6, time.UTC) }})
	e := benchEvent(7)
	put(t, s, &eventstore.Unit{Appends: []eventstore.Append{{Stream: event.Stream{Type: "order", ID: "o-1"}, Events: []event.Event{e}}}})
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, sqlite.File)+"?mode=ro")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var stream, data, committed string
	if err := db.QueryRow("SELECT stream, data, committed FROM leat_log_view").Scan(&stream, &data, &committed); err != nil {
		t.Fatal(err)
	}
	if stream != "order/o-1" || data != string(e.Data) || committed != "2026-03-01T12:00:00.005Z" {
		t.Error(stream, data, committed)
	}
}
