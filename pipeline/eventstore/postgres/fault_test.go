package postgres_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/eventstore/postgres"
	"github.com/leatdev/leat/pipeline/eventstore/postgres/pgtest"
	"github.com/leatdev/leat/pipeline/table"
)

// insist appends n events to a stream of its own, each at its revision, and repeats each call until it is answered.
func insist(t *testing.T, s eventstore.Log, id string, n int, progress func()) {
	for i := range n {
		u := &eventstore.Unit{Appends: []eventstore.Append{{
			Stream: event.Stream{Type: "s", ID: id}, Expect: eventstore.Revision(int64(i)),
			Events: []event.Event{{ID: fmt.Sprint(id, "-", i), Type: "T", Data: []byte(`{"n":1}`)}},
		}}}
		for tries := 0; ; tries++ {
			err := s.Commit(t.Context(), []*eventstore.Unit{u}, eventstore.CommitOptions{})
			if err == nil {
				break
			}
			if tries > 2000 || t.Context().Err() != nil {
				t.Errorf("%s@%d: %v", id, i+1, err)
				return
			}
			if errors.Is(err, eventstore.ErrUnavailable) {
				time.Sleep(5 * time.Millisecond) // the back-off of a caller; nothing is waited for by it
			}
		}
		w := u.Result.Written
		if st := u.Result.Status; (st != eventstore.Done && st != eventstore.Repeated) || w[0].First != int64(i)+1 || w[0].Last != int64(i)+1 {
			t.Errorf("%s@%d: %+v", id, i+1, u.Result)
			return
		}
		progress()
	}
}

// whole checks that each stream has just what its writer was told.
func whole(t *testing.T, s *postgres.Store, streams, events int) {
	t.Helper()
	for id := range streams {
		n := 0
		for r, err := range s.ReadStream(t.Context(), event.Stream{Type: "s", ID: fmt.Sprint(id)}, eventstore.ReadOptions{}) {
			if err != nil {
				t.Fatal(err)
			}
			if want := fmt.Sprint(id, "-", n); r.ID != want || r.Revision != int64(n)+1 {
				t.Fatalf("%s@%d is %s, want %s", r.Stream, r.Revision, r.ID, want)
			}
			n++
		}
		if n != events {
			t.Errorf("stream %d has %d events of %d", id, n, events)
		}
	}
	verify(t, s)
}

// TestTerminate ends the sessions of a store over and over while it commits.
func TestTerminate(t *testing.T) {
	server := pgtest.Shared(t)
	name := "killed_" + pgtest.Schema()
	s := openStore(t, postgres.Config{DSN: server.DSN() + "&application_name=" + name})
	const writers, events, kills = 4, 150, 30
	var wg sync.WaitGroup
	done := make(chan struct{})
	commits := make(chan struct{}, writers*events)
	for w := range writers {
		wg.Go(func() { insist(t, s, fmt.Sprint(w), events, func() { commits <- struct{}{} }) })
	}
	go func() { wg.Wait(); close(done) }()
	killer := server.Conn(t, "")
	killed := 0
	for more := true; more && killed < kills; {
		select { // some commits between two kills, and the kill in the midst of the next ones
		case <-done:
			more = false
		case <-commits:
			if len(commits) > 0 {
				continue
			}
			if _, err := killer.Exec(t.Context(), "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1", name); err != nil {
				t.Fatal(err)
			}
			killed++
		}
	}
	<-done
	if killed < kills/2 {
		t.Errorf("only %d kills", killed)
	}
	whole(t, s, writers, events)
}

// TestRestart stops the server as a crash does while a store commits and another follows.
func TestRestart(t *testing.T) {
	server := pgtest.New(t)
	s := openStore(t, postgres.Config{DSN: server.DSN()})
	const writers, events, restarts = 4, 60, 2
	var wg sync.WaitGroup
	var n atomic.Int64
	part := make(chan struct{}, writers*events)
	for w := range writers {
		wg.Go(func() {
			insist(t, s, fmt.Sprint(w), events, func() {
				if n.Add(1)%(writers*events/(restarts+1)) == 0 {
					part <- struct{}{}
				}
			})
		})
	}
	for range restarts {
		<-part
		server.Stop(true)
		if err := server.Start(); err != nil {
			t.Fatal(err)
		}
	}
	wg.Wait()
	whole(t, s, writers, events)
}

// proxy stands between a store and the server. Once it is armed, it lets the next COMMIT through to the server and
// breaks the connection instead of handing its answer back.
type proxy struct {
	l     net.Listener
	armed atomic.Bool
	cuts  atomic.Int64
}

func newProxy(t *testing.T, dsn string) (*proxy, string) {
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	target := u.Host
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{l: l}
	t.Cleanup(func() { l.Close() })
	u.Host = l.Addr().String()
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			go p.serve(client, target)
		}
	}()
	return p, u.String()
}

var committed = []byte("C\x00\x00\x00\x0bCOMMIT\x00")

func (p *proxy) serve(client net.Conn, target string) {
	defer client.Close()
	server, err := net.Dial("tcp", target)
	if err != nil {
		return
	}
	defer server.Close()
	go func() { _, _ = io.Copy(server, client); server.Close() }()
	buf := make([]byte, 64<<10)
	for {
		n, err := server.Read(buf)
		if err != nil {
			return
		}
		if bytes.Contains(buf[:n], committed) && p.armed.CompareAndSwap(true, false) {
			p.cuts.Add(1)
			return
		}
		if _, err := client.Write(buf[:n]); err != nil {
			return
		}
	}
}

// TestLostAnswer loses the answer to a COMMIT that went through: the store finds out, and the caller sees nothing of it.
func TestLostAnswer(t *testing.T) {
	p, dsn := newProxy(t, pgtest.Shared(t).DSN())
	s := openStore(t, postgres.Config{DSN: dsn})
	for i := range 5 {
		p.armed.Store(true)
		u := &eventstore.Unit{Pipeline: "p", Cursor: &event.Cursor{Key: "k", Value: fmt.Sprint(i)}, Appends: []eventstore.Append{{
			Stream: event.Stream{Type: "s", ID: "0"}, Expect: eventstore.Revision(int64(i)), Events: []event.Event{{ID: fmt.Sprint("0-", i), Type: "T"}},
		}}}
		if i == 3 {
			u.Appends = nil // a transaction without events
		}
		if err := s.Commit(t.Context(), []*eventstore.Unit{u}, eventstore.CommitOptions{}); err != nil {
			t.Fatal(err)
		}
		if u.Result.Status != eventstore.Done {
			t.Errorf("%+v", u.Result)
		}
		if i == 3 {
			break
		}
	}
	if p.cuts.Load() != 4 {
		t.Errorf("%d answers were lost", p.cuts.Load())
	}
	if v, err := s.Cursor(t.Context(), "p", "k"); v != "3" || err != nil {
		t.Errorf("the cursor is %q, %v", v, err)
	}
	whole(t, s, 1, 3)
}

// TestOutage: while there is no server, calls say so and nothing is written; afterwards the store goes on.
func TestOutage(t *testing.T) {
	server := pgtest.New(t)
	s := openStore(t, postgres.Config{DSN: server.DSN()})
	commit(t, s, benchUnit(0, 1, 1))
	server.Stop(false)
	u := benchUnit(1, 1, 1)
	err := s.Commit(t.Context(), []*eventstore.Unit{u}, eventstore.CommitOptions{})
	if !errors.Is(err, eventstore.ErrUnavailable) || u.Result.Status != eventstore.Untried {
		t.Errorf("%v, %+v", err, u.Result)
	}
	if _, err := s.Head(t.Context()); !errors.Is(err, eventstore.ErrUnavailable) {
		t.Errorf("head: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	commit(t, s, u)
	for p, err := range s.Subscribe(ctx, eventstore.SubscribeOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		if p.Through == 2 {
			break
		}
	}
}

// TestHung lets a daemon hang in the middle of a transaction: the server takes the lock from it, others go on, and when
// it wakes up its own units are written once.
func TestHung(t *testing.T) {
	server := pgtest.Shared(t)
	free := openStore(t, postgres.Config{})
	hung := openStore(t, postgres.Config{DSN: server.DSN() + "&idle_in_transaction_session_timeout=200", Schema: postgres.SchemaOf(free)})
	held, wake := make(chan struct{}, 9), make(chan struct{})
	u := benchUnit(0, 1, 1)
	u.Within = func(context.Context, table.Tx, []event.Recorded) error {
		held <- struct{}{}
		<-wake
		return nil
	}
	done := make(chan error)
	go func() { done <- hung.Commit(t.Context(), []*eventstore.Unit{u}, eventstore.CommitOptions{}) }()
	<-held
	other := benchUnit(1, 1, 1)
	commit(t, free, other) // waits until the server has ended the other session
	close(wake)
	if err := <-done; err != nil || u.Result.Status != eventstore.Done || u.Result.Written[0].Position != 2 {
		t.Errorf("%v, %+v", err, u.Result)
	}
	verify(t, free)
}
