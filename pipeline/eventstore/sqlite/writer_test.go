package sqlite_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/eventstore/sqlite"
	"github.com/leatdev/leat/pipeline/table"
)

// ticker is a clock that moves on with each look at it, so that each transaction has a time of its own.
func ticker() func() time.Time {
	var mu sync.Mutex
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	return func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		now = now.Add(time.Second)
		return now
	}
}

// block keeps the committer busy until release is called.
func block(t *testing.T, s *sqlite.Store) (release func()) {
	t.Helper()
	started, gate := make(chan struct{}), make(chan struct{})
	u := one("block", "")
	u.Appends = nil
	u.Within = func(context.Context, table.Tx, []event.Recorded) error {
		close(started)
		<-gate
		return nil
	}
	done := make(chan error, 1)
	go func() { done <- s.Commit(context.Background(), []*eventstore.Unit{u}, eventstore.CommitOptions{}) }()
	<-started
	return func() {
		t.Helper()
		close(gate)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
}

// TestGroupCommit: what waits while a commit is under way goes into one transaction, where each conflicts alone.
func TestGroupCommit(t *testing.T) {
	s := openStore(t, sqlite.Config{Now: ticker()})
	put(t, s, one("0", "0"))
	release := block(t, s)
	const n = 100
	units := make([]*eventstore.Unit, n)
	var wg sync.WaitGroup
	for i := range units {
		units[i] = one(fmt.Sprint(i%10), fmt.Sprint("id", i))
		if i%10 == 0 {
			units[i].Appends[0].Expect = eventstore.NoStream
		}
		wg.Go(func() {
			if err := s.Commit(t.Context(), units[i:i+1], eventstore.CommitOptions{}); err != nil {
				t.Error(err)
			}
		})
	}
	sqlite.WaitQueued(s, n)
	release()
	wg.Wait()
	var c *eventstore.ConflictError
	for i, u := range units {
		if i%10 == 0 && !errors.As(u.Result.Err, &c) || i%10 != 0 && u.Result.Status != eventstore.Done {
			t.Errorf("unit %d: %+v", i, u.Result)
		}
	}
	times := map[time.Time]int{}
	for r, err := range s.ReadAll(t.Context(), eventstore.ReadOptions{From: 2}) {
		if err != nil {
			t.Fatal(err)
		}
		times[r.Committed]++
	}
	if len(times) != 1 {
		t.Errorf("%d transactions: %v", len(times), times)
	}
}

// TestBounds: a call that is too much for one transaction goes through several; ordered, it stops in any of them.
func TestBounds(t *testing.T) {
	s := openStore(t, sqlite.Config{Now: ticker()})
	var units []*eventstore.Unit
	for i := range 9 {
		u := one("1", fmt.Sprint(i))
		u.Appends[0].Events[0].Data = fmt.Appendf(nil, `"%01000000d"`, i)
		if i == 7 {
			u.Appends[0].Expect = eventstore.NoStream
		}
		units = append(units, u)
	}
	if err := s.Commit(t.Context(), units, eventstore.CommitOptions{Ordered: true}); err != nil {
		t.Fatal(err)
	}
	for i, u := range units {
		want := eventstore.Done
		if i == 7 {
			want = eventstore.Refused
		} else if i == 8 {
			want = eventstore.Untried
		}
		if u.Result.Status != want {
			t.Errorf("unit %d: %+v", i, u.Result)
		}
	}
	times := map[time.Time]bool{}
	n := 0
	for r, err := range s.ReadAll(t.Context(), eventstore.ReadOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		times[r.Committed] = true
		n++
	}
	if n != 7 || len(times) != 2 {
		t.Errorf("%d events in %d transactions", n, len(times))
	}
}

// TestWithdrawn: a call that gives up in the queue writes nothing, and its memory is its own again.
func TestWithdrawn(t *testing.T) {
	s := openStore(t, sqlite.Config{})
	release := block(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	u := one("1", "1")
	go func() { done <- s.Commit(ctx, []*eventstore.Unit{u}, eventstore.CommitOptions{}) }()
	sqlite.WaitQueued(s, 1)
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	u.Appends = nil
	release()
	put(t, s, one("1", "2"))
	h, err := s.Head(t.Context())
	if err != nil || h.Position != 1 {
		t.Errorf("%+v, %v", h, err)
	}
}

// TestDiskFull: while there is no room every call says so and loses nothing; when there is, the store goes on.
func TestDiskFull(t *testing.T) {
	s := openStore(t, sqlite.Config{})
	put(t, s, one("1", "0"))
	big := func(id string) *eventstore.Unit {
		u := one("1", id)
		u.Appends[0].Events[0].Data = fmt.Appendf(nil, `"%0100000d"`, 1)
		return u
	}
	sqlite.LimitPages(s, 100)
	var done []string
	var open *eventstore.Unit
	for i := range 20 {
		u := big(fmt.Sprint("big", i))
		err := s.Commit(t.Context(), []*eventstore.Unit{u}, eventstore.CommitOptions{})
		if err != nil {
			if !errors.Is(err, eventstore.ErrUnavailable) || u.Result.Status != eventstore.Untried {
				t.Fatalf("%v, %+v", err, u.Result)
			}
			open = u
			break
		}
		done = append(done, u.Appends[0].Events[0].ID)
	}
	if open == nil || len(done) == 0 {
		t.Fatal("the disk did not fill up")
	}
	for range 3 {
		if err := s.Commit(t.Context(), []*eventstore.Unit{big("again")}, eventstore.CommitOptions{}); !errors.Is(err, eventstore.ErrUnavailable) {
			t.Fatal(err)
		}
	}
	// Reads go on, and what was answered is there.
	ids := func() (out []string) {
		for r, err := range s.ReadAll(t.Context(), eventstore.ReadOptions{From: 2}) {
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, r.ID)
		}
		return out
	}
	if got := ids(); len(got) != len(done) {
		t.Errorf("%v, want %v", got, done)
	}
	sqlite.LimitPages(s, 1<<30)
	put(t, s, open)
	if got := ids(); len(got) != len(done)+1 {
		t.Errorf("%v after there was room again", got)
	}
	if v, err := s.Verify(t.Context(), func(f eventstore.Fault) { t.Error(f) }); err != nil || v.Events != int64(len(done))+2 {
		t.Errorf("%+v, %v", v, err)
	}
}

// TestWAL: the write-ahead log is taken over beside the commits, and stays bounded under load.
func TestWAL(t *testing.T) {
	sqlite.ShortWAL(t.Cleanup)
	dir := t.TempDir()
	s := openStore(t, sqlite.Config{Dir: dir})
	var largest int64
	u := one("1", "")
	for i := range 400 {
		u.Appends[0].Events[0].ID = fmt.Sprint(i)
		u.Appends[0].Events[0].Data = fmt.Appendf(nil, `"%020000d"`, i)
		put(t, s, u)
		if w, err := os.Stat(filepath.Join(dir, sqlite.File+"-wal")); err == nil {
			largest = max(largest, w.Size())
		}
	}
	if largest == 0 || largest > 5<<20 { // 8 MB were written, the bound is 1 MB and what comes during a checkpoint
		t.Errorf("the WAL grew to %d bytes", largest)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, sqlite.File+"-wal")); err == nil {
		t.Error("the WAL is there after Close")
	}
}

// TestNothingStays: Close leaves no goroutine behind, also with a follower and a read half done.
func TestNothingStays(t *testing.T) {
	opt := goleak.IgnoreCurrent()
	s := openStore(t, sqlite.Config{})
	put(t, s, one("1", "1"), one("1", "2"))
	next, stop := iter.Pull2(s.ReadAll(t.Context(), eventstore.ReadOptions{}))
	if _, err, ok := next(); err != nil || !ok {
		t.Fatal(err)
	}
	following, done := make(chan struct{}), make(chan error, 1)
	go func() {
		for _, err := range s.Subscribe(context.Background(), eventstore.SubscribeOptions{}) {
			if err != nil {
				done <- err
				return
			}
			close(following)
		}
	}()
	<-following
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; !errors.Is(err, eventstore.ErrClosed) {
		t.Error(err)
	}
	stop()
	goleak.VerifyNone(t, opt)
}
