package sqlite_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/eventstore/sqlite"
)

// TestVerifyFinds breaks the log and its index by SQL, one thing at a time.
func TestVerifyFinds(t *testing.T) {
	for _, tt := range []struct{ name, sql, what string }{
		{"payload", "UPDATE leat_events SET body = CAST(replace(body, '1', '2') AS BLOB) WHERE position = 7", "checksum"},
		{"type", "UPDATE leat_events SET type = 'U' WHERE position = 7", "checksum"},
		{"time", "UPDATE leat_events SET committed = committed + 1 WHERE position = 7", "checksum"},
		{"kind of a column", "UPDATE leat_events SET revision = 'x' WHERE position = 7", "checksum"},
		{"event gone", "DELETE FROM leat_events WHERE position = 7", "missing"},
		{"events changed places", "UPDATE leat_events SET position = CASE position WHEN 7 THEN -8 ELSE -7 END WHERE position IN (7, 8); UPDATE leat_events SET position = -position WHERE position < 0", "checksum"},
		{"head of a stream", "UPDATE leat_streams SET revision = revision + 1 WHERE id = '3'", "head"},
		{"stream gone", "DELETE FROM leat_streams WHERE id = '3'", "no head"},
		{"stream of nothing", "INSERT INTO leat_streams VALUES (99, 'a', 'x', 1, 1, 1, 1, 1)", "no events"},
		{"revisions gone", "DELETE FROM leat_revisions WHERE stream = 3", "revisions"},
		{"revision elsewhere", "UPDATE leat_revisions SET positions = CAST(x'09' || substr(positions, 2) AS BLOB) WHERE stream = 3", "revisions"},
		{"ids gone", "DELETE FROM leat_ids WHERE bucket = (SELECT max(bucket) FROM leat_ids)", "entries"},
		{"ids twisted", "UPDATE leat_ids SET entries = CAST(substr(entries, 1, 11) || x'33' || substr(entries, 13) AS BLOB) WHERE bucket = (SELECT max(bucket) FROM leat_ids)", "event ids"},
		{"filter empty", "UPDATE leat_ids SET entries = CAST(substr(entries, 1, 16) || zeroblob(64) AS BLOB) WHERE bucket = -1", "hides"},
		{"SQLite's own index", "PRAGMA writable_schema = 1; UPDATE sqlite_schema SET sql = 'CREATE TABLE leat_cursors (pipeline TEXT NOT NULL, key TEXT NOT NULL, value INTEGER NOT NULL CHECK (value > 5), PRIMARY KEY (pipeline, key)) WITHOUT ROWID' WHERE name = 'leat_cursors'", "the file"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			fill(t, dir, 30)
			execute(t, filepath.Join(dir, sqlite.File), "INSERT INTO leat_cursors VALUES ('p', 'k', '1')", tt.sql)
			s := openStore(t, sqlite.Config{Dir: dir, ReadOnly: true})
			var found []string
			v, err := s.Verify(t.Context(), func(f eventstore.Fault) { found = append(found, fmt.Sprintf("%+v", f)) })
			if err != nil || v.Faults == 0 || int(v.Faults) != len(found) || !strings.Contains(strings.Join(found, "\n"), tt.what) {
				t.Errorf("%+v, %v, %q; want %q", v, err, found, tt.what)
			}
		})
	}
}

// TestReadsRefuseDamage: what is damaged is not given to readers.
func TestReadsRefuseDamage(t *testing.T) {
	dir := t.TempDir()
	fill(t, dir, 30)
	execute(t, filepath.Join(dir, sqlite.File),
		"UPDATE leat_events SET body = CAST(replace(body, '1', '2') AS BLOB) WHERE position = 7",
		"DELETE FROM leat_events WHERE position = 15",
		"UPDATE leat_revisions SET positions = CAST(x'03' || substr(positions, 2) AS BLOB) WHERE stream = (SELECT key FROM leat_streams WHERE id = '3')")
	s := openStore(t, sqlite.Config{Dir: dir})
	n := int64(0)
	var last error
	for r, err := range s.ReadAll(t.Context(), eventstore.ReadOptions{}) {
		if last = err; err == nil {
			n = r.Position
		}
	}
	if n != 6 || !errors.Is(last, eventstore.ErrCorrupt) || !strings.Contains(last.Error(), "event 7") {
		t.Errorf("read to %d, then %v", n, last)
	}
	for _, o := range []eventstore.SubscribeOptions{{After: 6}, {After: 14}} {
		for p, err := range s.Subscribe(t.Context(), o) {
			if !errors.Is(err, eventstore.ErrCorrupt) {
				t.Fatalf("a page through %d behind %d: %v", p.Through, o.After, err)
			}
		}
	}
	for r, err := range s.ReadStream(t.Context(), event.Stream{Type: "a", ID: "3"}, eventstore.ReadOptions{From: 2}) {
		if !errors.Is(err, eventstore.ErrCorrupt) {
			t.Fatalf("%+v, %v", r, err)
		}
	}
}

// TestBitFlips flips bits in the file: either the store says so, or the log and its index read as before.
func TestBitFlips(t *testing.T) {
	dir := t.TempDir()
	fill(t, dir, 60)
	path := filepath.Join(dir, sqlite.File)
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want, err := everything(t, dir)
	if err != nil {
		t.Fatal(err)
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	harmless, flips := 0, 150
	for i := range flips {
		bad := append([]byte{}, good...)
		what := ""
		if i%10 == 0 {
			cut := 1 + rnd.IntN(len(bad)-1)
			bad, what = bad[:len(bad)-cut], fmt.Sprint("cut by ", cut)
		} else {
			at := 100 + rnd.IntN(len(bad)-100)
			bad[at] ^= 1 << rnd.IntN(8)
			what = fmt.Sprint("a bit at ", at)
		}
		write(t, path, bad)
		got, err := everything(t, dir)
		if err != nil {
			continue
		}
		if harmless++; got != want {
			t.Errorf("%s: other events, and nobody says so", what)
		}
	}
	if harmless == flips {
		t.Error("no flip was found")
	}
	t.Logf("%d of %d found, the others in bytes that nothing uses", flips-harmless, flips)
}

// everything reads the log and each stream, after Verify found no fault.
func everything(t *testing.T, dir string) (string, error) {
	s, err := sqlite.Open(t.Context(), sqlite.Config{Dir: dir, ReadOnly: true})
	if err != nil {
		return "", err
	}
	defer s.Close()
	v, err := s.Verify(t.Context(), func(eventstore.Fault) {})
	if err != nil {
		return "", err
	}
	if v.Faults > 0 {
		return "", eventstore.ErrCorrupt
	}
	var b strings.Builder
	for r, err := range s.ReadAll(t.Context(), eventstore.ReadOptions{}) {
		if err != nil {
			return "", err
		}
		fmt.Fprintln(&b, r.Position, r.Stream, r.Revision, r.ID, string(r.Data))
	}
	for i, err := range s.Streams(t.Context(), eventstore.StreamsOptions{}) {
		if err != nil {
			return "", err
		}
		fmt.Fprintln(&b, i.Stream, i.Revision)
		for r, err := range s.ReadStream(t.Context(), i.Stream, eventstore.ReadOptions{}) {
			if err != nil {
				return "", err
			}
			fmt.Fprintln(&b, r.Position, r.ID)
		}
	}
	return b.String(), nil
}
