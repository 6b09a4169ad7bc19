package postgres

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/eventstore/plan"
)

// stream is a stream's head.
type stream struct {
	key, revision, position int64
	// ids are the hashes of all its ids; nil where not all are known.
	ids map[int64]struct{}
}

// memory is what the committer knows of streams without asking. It holds only as long as the log's head is where the
// committer has left it: then nobody else has written.
type memory struct {
	streams map[event.Stream]*stream
	head    int64
	ids     int
	// strangers counts down the transactions for which the memory is not trusted after somebody else has written:
	// where several processes append, asking at once is cheaper than asking again.
	strangers int
}

// The bounds of what is remembered: about 100 MB.
const (
	maxStreams   = 200_000
	maxIDs       = 1 << 20
	maxStreamIDs = 1 << 17
)

func newMemory() memory { return memory{streams: map[event.Stream]*stream{}, head: -1} }

func (m *memory) forget() { *m = newMemory() }

func (m *memory) committed(d *plan.Draft) {
	if len(m.streams) > maxStreams || m.ids > maxIDs {
		m.forget()
	}
	for _, w := range d.Writes {
		st := w.Stream.Base.Ref.(*stream)
		if w.Revision == 1 {
			st.ids = map[int64]struct{}{}
		}
		if st.ids != nil {
			if len(st.ids) >= maxStreamIDs {
				m.ids -= len(st.ids)
				st.ids = nil
			} else {
				st.ids[idHash(w.Event.ID)] = struct{}{}
				m.ids++
			}
		}
		st.revision, st.position = w.Revision, w.Position
		m.streams[w.Stream.Name] = st
	}
	m.head = d.Head()
}

// question is what a batch has to know.
type question struct {
	names      []event.Stream // whose heads are asked for
	types, ids []string
	byName     [3][]string // stream type, stream id, event id
	byKey      [2][]int64  // stream, id's hash
	marks      [2][]string // pipeline, key
	rows       []int64     // of the outbox
	fromMemory bool        // something is not asked for because it is remembered
	nameHash   []int64     // of byName
	asked      map[event.Stream]bool
	askedMarks map[plan.MarkID]bool
}

func (w *writer) question(batch []*request, trust bool) *question {
	q := &question{asked: map[event.Stream]bool{}, askedMarks: map[plan.MarkID]bool{}}
	for _, r := range batch {
		for _, u := range r.Units[r.Next : r.Next+r.take] {
			if u.Inbox != nil {
				if id := (plan.MarkID{Pipeline: u.Pipeline, Key: u.Inbox.Key}); !q.askedMarks[id] {
					q.askedMarks[id] = true
					q.marks[0], q.marks[1] = append(q.marks[0], escape(id.Pipeline)), append(q.marks[1], markKey(id.Key))
				}
			}
			q.rows = append(q.rows, u.Outbox...)
			for i := range u.Appends {
				q.ask(w, &u.Appends[i], trust)
			}
		}
	}
	return q
}

func (q *question) ask(w *writer, a *eventstore.Append, trust bool) {
	var st *stream
	if trust {
		st = w.memory.streams[a.Stream]
	}
	if st != nil {
		q.fromMemory = true
		for i := range a.Events {
			h := idHash(a.Events[i].ID)
			if st.ids != nil {
				if _, may := st.ids[h]; !may {
					continue
				}
			}
			q.byKey[0], q.byKey[1] = append(q.byKey[0], st.key), append(q.byKey[1], h)
		}
		return
	}
	typ, id := escape(a.Stream.Type), escape(a.Stream.ID)
	if !q.asked[a.Stream] {
		q.asked[a.Stream] = true
		q.names, q.types, q.ids = append(q.names, a.Stream), append(q.types, typ), append(q.ids, id)
	}
	for i := range a.Events {
		q.byName[0], q.byName[1] = append(q.byName[0], typ), append(q.byName[1], id)
		q.nameHash = append(q.nameHash, idHash(a.Events[i].ID))
	}
}

// known is what a draft may ask, read under the lock.
type known struct {
	head      int64
	committed time.Time
	w         *writer
	trust     bool
	streams   map[event.Stream]*stream
	ids       map[place]plan.Known
	revisions map[[2]int64]plan.Known
	marks     map[plan.MarkID]uint64
	rows      map[int64]struct{}
}

// place is an id in a stream.
type place struct {
	stream int64
	id     string
}

// The correlated subqueries with OFFSET 0 leave the planner one way: a look into the index for each row of the arrays.
const (
	lockLog       = "SELECT log_id FROM leat_log FOR UPDATE"
	selectStreams = `SELECT q.n, s.key, e.revision, e.position FROM unnest($1::text[], $2::text[]) WITH ORDINALITY q (type, id, n)
CROSS JOIN LATERAL (SELECT key FROM leat_streams s WHERE s.type = q.type AND s.id = q.id OFFSET 0) s
CROSS JOIN LATERAL (SELECT revision, position FROM leat_events e WHERE e.stream = s.key ORDER BY revision DESC LIMIT 1) e`
	knownColumns = "e.stream, e.revision, e.position, e.id, e.type, substr(e.body, e.data_at + 1, e.data_len)"
	selectByKey  = "SELECT " + knownColumns + ` FROM unnest($1::bigint[], $2::bigint[]) q (key, hash)
CROSS JOIN LATERAL (SELECT * FROM leat_events e WHERE e.stream = q.key AND e.id_hash = q.hash OFFSET 0) e`
	selectByName = "SELECT " + knownColumns + ` FROM unnest($1::text[], $2::text[], $3::bigint[]) q (type, id, hash)
CROSS JOIN LATERAL (SELECT key FROM leat_streams s WHERE s.type = q.type AND s.id = q.id OFFSET 0) s
CROSS JOIN LATERAL (SELECT * FROM leat_events e WHERE e.stream = s.key AND e.id_hash = q.hash OFFSET 0) e`
	selectMarks = `SELECT q.n, m.hash FROM unnest($1::text[], $2::text[]) WITH ORDINALITY q (pipeline, key, n)
CROSS JOIN LATERAL (SELECT hash FROM leat_inbox m WHERE m.pipeline = q.pipeline AND m.key = q.key OFFSET 0) m`
)

// lookup is the first round trip: it takes the lock on the log, and reads what the batch has to know. Where somebody
// else has written since, it asks again for what it thought to know.
func (w *writer) lookup(ctx context.Context, batch []*request) (*known, error) {
	trust := w.memory.strangers == 0 && w.memory.head >= 0
	q := w.question(batch, trust)
	k := &known{w: w, trust: trust, streams: map[event.Stream]*stream{}, ids: map[place]plan.Known{}, revisions: map[[2]int64]plan.Known{}, marks: map[plan.MarkID]uint64{}, rows: map[int64]struct{}{}}
	b := &pgx.Batch{}
	b.Queue("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE")
	there := false
	b.Queue(lockLog).Query(func(rows pgx.Rows) error {
		for rows.Next() {
			there = true
		}
		return nil
	})
	b.Queue(selectHead).Query(func(rows pgx.Rows) error {
		for rows.Next() {
			if err := rows.Scan(&k.head, &k.committed); err != nil {
				return err
			}
			k.committed = k.committed.UTC()
		}
		return nil
	})
	k.queue(b, q)
	if err := w.c.SendBatch(ctx, b).Close(); err != nil {
		return nil, err
	}
	if !there {
		return nil, fmt.Errorf("%w: the row of leat_log is gone", eventstore.ErrCorrupt)
	}
	if k.head == w.memory.head {
		w.memory.strangers = max(0, w.memory.strangers-1)
		return k, nil
	}
	old := w.memory.head
	w.memory.forget()
	if w.memory.head = k.head; old >= 0 {
		w.memory.strangers = 64
	}
	k.trust = false
	if !q.fromMemory {
		return k, nil
	}
	b = &pgx.Batch{}
	k.queue(b, w.question(batch, false))
	return k, w.c.SendBatch(ctx, b).Close()
}

// queue adds the statements of a question to a round trip.
func (k *known) queue(b *pgx.Batch, q *question) {
	if len(q.names) > 0 {
		b.Queue(selectStreams, q.types, q.ids).Query(func(rows pgx.Rows) error {
			for rows.Next() {
				var n int64
				st := &stream{}
				if err := rows.Scan(&n, &st.key, &st.revision, &st.position); err != nil {
					return err
				}
				k.streams[q.names[n-1]] = st
			}
			return nil
		})
	}
	if len(q.nameHash) > 0 {
		b.Queue(selectByName, q.byName[0], q.byName[1], q.nameHash).Query(k.scanKnown)
	}
	if len(q.byKey[0]) > 0 {
		b.Queue(selectByKey, q.byKey[0], q.byKey[1]).Query(k.scanKnown)
	}
	if len(q.rows) > 0 {
		b.Queue("SELECT id FROM leat_outbox WHERE id = ANY ($1)", q.rows).Query(func(rows pgx.Rows) error {
			for rows.Next() {
				var id int64
				if err := rows.Scan(&id); err != nil {
					return err
				}
				k.rows[id] = struct{}{}
			}
			return nil
		})
	}
	if len(q.marks[0]) > 0 {
		var names []plan.MarkID
		for i := range q.marks[0] {
			names = append(names, plan.MarkID{Pipeline: q.marks[0][i], Key: q.marks[1][i]})
		}
		b.Queue(selectMarks, q.marks[0], q.marks[1]).Query(func(rows pgx.Rows) error {
			for rows.Next() {
				var n, hash int64
				if err := rows.Scan(&n, &hash); err != nil {
					return err
				}
				k.marks[names[n-1]] = uint64(hash)
			}
			return nil
		})
	}
}

func (k *known) scanKnown(rows pgx.Rows) error {
	for rows.Next() {
		var e plan.Known
		var key int64
		if err := rows.Scan(&key, &e.Revision, &e.Position, &e.ID, &e.Type, &e.Data); err != nil {
			return err
		}
		e.ID, e.Type = unescape(e.ID), unescape(e.Type)
		k.ids[place{key, e.ID}] = e
		k.revisions[[2]int64{key, e.Revision}] = e
	}
	return nil
}

// Open implements plan.Database.
func (k *known) Open(_ context.Context, name event.Stream) (plan.Base, error) {
	if len(escape(name.Type))+len(escape(name.ID)) > 2000 { // what an index can hold
		return plan.Base{}, plan.Refuse(fmt.Errorf("%w: the stream's name, as it is stored", eventstore.ErrTooLarge))
	}
	st := k.streams[name]
	if st == nil && k.trust {
		st = k.w.memory.streams[name]
	}
	if st == nil {
		return plan.Base{Ref: &stream{}}, nil
	}
	return plan.Base{Revision: st.revision, Position: st.position, Ref: st}, nil
}

// At implements plan.Database. All events that have an id of the batch's were looked up: any other is just another.
func (k *known) At(_ context.Context, s *plan.Stream, revision int64) (plan.Known, error) {
	if e, ok := k.revisions[[2]int64{s.Base.Ref.(*stream).key, revision}]; ok {
		return e, nil
	}
	return plan.Known{Revision: revision}, nil
}

// Find implements plan.Database.
func (k *known) Find(_ context.Context, s *plan.Stream, id string) (plan.Known, bool, error) {
	if len(k.ids) == 0 {
		return plan.Known{}, false, nil
	}
	e, ok := k.ids[place{s.Base.Ref.(*stream).key, id}]
	return e, ok, nil
}

// Mark implements plan.Database.
func (k *known) Mark(_ context.Context, pipeline, key string) (uint64, bool, error) {
	hash, ok := k.marks[plan.MarkID{Pipeline: escape(pipeline), Key: markKey(key)}]
	return hash, ok, nil
}

// Row implements plan.Database. The rows were looked up under the lock, without which nobody moves any.
func (k *known) Row(_ context.Context, id int64) (bool, error) {
	_, there := k.rows[id]
	return there, nil
}

// markKey gives an inbox key as it is stored. One that is too long for an index keeps its beginning and a checksum.
func markKey(key string) string {
	key = escape(key)
	if len(key) <= 1500 {
		return key
	}
	sum := sha256.Sum256([]byte(key))
	return escape(key[:1400]) + hex.EncodeToString(sum[:])
}
