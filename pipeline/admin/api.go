package admin

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/poison"
	"github.com/leatdev/leat/pipeline/table"
)

// routeAPI lists the API. Lists are NDJSON, one thing a line; what ends a list early is in the trailer Leat-Error.
// Anything else is one JSON object; errors are {"error": {"code", "message"}}.
func (s *Server) routeAPI() {
	s.route("GET /api/v1/version", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		answer(w, map[string]string{"version": s.version})
	}))
	s.route("GET /api/v1/status", s.with(s.status))
	const store = "/api/v1/stores/{store}/"
	s.route("GET "+store+"head", s.onStore(head))
	s.route("GET "+store+"streams", s.onStore(streams))
	s.route("GET "+store+"events", s.onStore(read))
	s.route("POST "+store+"events", s.onStore(write))
	s.route("GET "+store+"verify", s.onStore(verify))
	s.route("GET "+store+"tables", s.onStore(tables))
	s.route("GET "+store+"tables/{table}", s.onStore(rows))
	s.route("GET "+store+"poison", s.onStore(parked))
	s.route("PUT "+store+"poison/{id}/payload", s.onStore(editParked))
	s.route("POST "+store+"poison/count", s.onStore(countParked))
	s.route("POST "+store+"poison/retry", s.onStore(s.retryParked))
	s.route("POST "+store+"poison/drop", s.onStore(s.dropParked))
}

func (s *Server) with(h func(http.ResponseWriter, *http.Request, *Daemon)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		d := s.daemon.Load()
		if d == nil {
			unavailable(w, "the daemon is starting")
			return
		}
		h(w, r, d)
	})
}

type onStore func(w http.ResponseWriter, r *http.Request, st eventstore.Store) error

func (s *Server) onStore(h onStore) http.Handler {
	return s.with(func(w http.ResponseWriter, r *http.Request, d *Daemon) {
		name := r.PathValue("store")
		if d.Store == nil {
			fail(w, http.StatusNotFound, "unknown", "this daemon offers no stores")
			return
		}
		st, ok := d.Store(name)
		if !ok {
			fail(w, http.StatusNotFound, "unknown", fmt.Sprintf("no store is called %q", name))
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		if err := h(w, r, st); err != nil {
			status, p := answerErrorOf(err)
			fail(w, status, p.Code, p.Message)
		}
	})
}

func (s *Server) status(w http.ResponseWriter, _ *http.Request, d *Daemon) {
	if d.Status == nil {
		fail(w, http.StatusNotFound, "unknown", "this daemon has no status")
		return
	}
	answer(w, d.Status())
}

// Head is the log's end as it is written.
type Head struct {
	LogID     string    `json:"log_id"`
	Position  int64     `json:"position"`
	Committed time.Time `json:"committed,omitzero"`
}

func head(w http.ResponseWriter, r *http.Request, st eventstore.Store) error {
	h, err := st.Head(r.Context())
	if err == nil {
		answer(w, Head{LogID: h.LogID, Position: h.Position, Committed: h.Committed})
	}
	return err
}

func streams(w http.ResponseWriter, r *http.Request, st eventstore.Store) error {
	q := query{Values: r.URL.Query()}
	o := eventstore.StreamsOptions{Type: q.Get("type"), Prefix: q.Get("prefix"), After: q.stream("after"), Max: q.number("max")}
	if err := q.done("type", "prefix", "after", "max"); err != nil {
		return err
	}
	out := newLines(w)
	for info, err := range st.Streams(r.Context(), o) {
		if err == nil {
			err = out.encode(StreamOf(info))
		}
		if err != nil {
			out.done(err)
			return nil
		}
	}
	out.done(nil)
	return nil
}

func read(w http.ResponseWriter, r *http.Request, st eventstore.Store) error {
	q := query{Values: r.URL.Query()}
	o := eventstore.ReadOptions{
		From: q.number("from"), To: q.number("to"), Max: q.number("max"), Backwards: q.flag("backwards"), SinceTime: q.time("since"),
		Filter: eventstore.Filter{StreamTypes: q.Values["stream_type"], Types: q.Values["type"], Origins: q.Values["origin"]},
	}
	stream := q.stream("stream")
	if err := q.done("stream", "from", "to", "max", "backwards", "since", "stream_type", "type", "origin"); err != nil {
		return err
	}
	events := st.ReadAll(r.Context(), o)
	if !stream.IsZero() {
		events = st.ReadStream(r.Context(), stream, o)
	}
	out := newLines(w)
	for e, err := range events {
		if err == nil {
			err = out.encode(EventOf(e))
		}
		if err != nil {
			out.done(err)
			return nil
		}
	}
	out.done(nil)
	return nil
}

func write(w http.ResponseWriter, r *http.Request, st eventstore.Store) error {
	q := query{Values: r.URL.Query()}
	stream := q.stream("stream")
	if err := q.done("stream"); err != nil {
		return err
	}
	if stream.IsZero() {
		return &requestError{errors.New("stream is missing")}
	}
	var a Append
	if err := decode(r, &a); err != nil {
		return err
	}
	u, err := UnitOf(stream, a)
	if err != nil {
		return &requestError{err}
	}
	if err := st.Commit(r.Context(), []*eventstore.Unit{u}, eventstore.CommitOptions{}); err != nil {
		return err
	}
	if u.Result.Status == eventstore.Refused {
		return u.Result.Err
	}
	answer(w, AppendedOf(stream, u.Result.Written[0]))
	return nil
}

// UnitOf makes the unit that writes an append. Events without an id get a fresh one.
func UnitOf(stream event.Stream, a Append) (*eventstore.Unit, error) {
	expect := eventstore.Any
	if a.Expect != "" {
		var err error
		if expect, err = eventstore.ParseExpect(a.Expect); err != nil {
			return nil, err
		}
	}
	if len(a.Events) == 0 {
		return nil, errors.New("there are no events")
	}
	ap := eventstore.Append{Stream: stream, Expect: expect}
	for i := range a.Events {
		in := &a.Events[i]
		if in.Type == "" {
			return nil, fmt.Errorf("event %d has no type", i+1)
		}
		if in.Stream != "" && in.Stream != stream.String() {
			return nil, fmt.Errorf("event %d is of stream %s", i+1, in.Stream)
		}
		if in.ID == "" {
			in.ID = event.NewID()
		}
		e, err := in.Back()
		if err != nil {
			return nil, fmt.Errorf("event %d: %w", i+1, err)
		}
		if string(e.Metadata) == "null" || string(e.Metadata) == "{}" {
			e.Metadata = nil
		}
		if len(e.Metadata) > 0 && e.Metadata[0] != '{' {
			return nil, fmt.Errorf("event %d: metadata is no object", i+1)
		}
		ap.Events = append(ap.Events, e.Event)
	}
	return &eventstore.Unit{Appends: []eventstore.Append{ap}}, nil
}

// AppendedOf gives the form that is written.
func AppendedOf(stream event.Stream, w eventstore.Written) Appended {
	return Appended{Stream: stream.String(), First: w.First, Last: w.Last, Position: w.Position, Repeated: w.Repeated}
}

// VerifyLine is a line of a verification: a fault, or at last the counts.
type VerifyLine struct {
	Fault    *Fault    `json:"fault,omitempty"`
	Verified *Verified `json:"verified,omitempty"`
}

func verify(w http.ResponseWriter, r *http.Request, st eventstore.Store) error {
	out := newLines(w)
	v, err := st.Verify(r.Context(), func(f eventstore.Fault) {
		wire := FaultOf(f)
		_ = out.encode(VerifyLine{Fault: &wire}) // a reader that has gone ends the context too
		out.flush()
	})
	if err == nil {
		err = out.encode(VerifyLine{Verified: &Verified{Events: v.Events, Streams: v.Streams, Faults: v.Faults}})
	}
	out.done(err)
	return nil
}

func tables(w http.ResponseWriter, r *http.Request, st eventstore.Store) error {
	infos, err := st.Tables().Tables(r.Context())
	if err != nil {
		return err
	}
	out := newLines(w)
	for i := range infos {
		if err := out.encode(TableOf(&infos[i])); err != nil {
			out.done(err)
			return nil
		}
	}
	out.done(nil)
	return nil
}

// Columns is the first line of a table's rows.
type Columns struct {
	Columns []TableColumn `json:"columns"`
	Key     []string      `json:"key"`
}

func rows(w http.ResponseWriter, r *http.Request, st eventstore.Store) error {
	q := query{Values: r.URL.Query()}
	t := table.Query{
		Table: r.PathValue("table"), Order: q.Values["order"], Limit: int(q.number("limit")), Skip: int(q.number("skip")),
		Equal: map[string]string{},
	}
	for _, w := range q.Values["where"] {
		column, value, ok := strings.Cut(w, "=")
		if !ok {
			return &requestError{fmt.Errorf("where is column=value, not %q", w)}
		}
		t.Equal[column] = value
	}
	if err := q.done("where", "order", "limit", "skip"); err != nil {
		return err
	}
	def, found, err := st.Tables().Query(r.Context(), t)
	if err != nil {
		return err
	}
	out := newLines(w)
	if err := out.encode(Columns{Columns: columnsOf(&def), Key: def.Key}); err != nil {
		out.done(err)
		return nil
	}
	var line []byte
	for row, err := range found {
		if err == nil {
			line = append(table.AppendRowJSON(line[:0], &def, row), '\n')
			err = out.write(line)
		}
		if err != nil {
			out.done(err)
			return nil
		}
	}
	out.done(nil)
	return nil
}

func parked(w http.ResponseWriter, r *http.Request, st eventstore.Store) error {
	q := query{Values: r.URL.Query()}
	sel := Selection{
		IDs: q.numbers("id"), Pipeline: q.Get("pipeline"), Step: q.Get("step"), Code: q.Get("code"), Stream: q.Get("stream"),
		Since: q.time("since"), Max: int(q.number("max")),
	}
	for _, state := range q.Values["state"] {
		sel.States = append(sel.States, poison.State(state))
	}
	if err := q.done("id", "pipeline", "step", "code", "stream", "since", "max", "state"); err != nil {
		return err
	}
	f, err := sel.Filter()
	if err != nil {
		return &requestError{err}
	}
	out := newLines(w)
	for e, err := range st.ListParked(r.Context(), f) {
		if err == nil {
			err = out.encode(ParkedOf(&e))
		}
		if err != nil {
			out.done(err)
			return nil
		}
	}
	out.done(nil)
	return nil
}

func editParked(w http.ResponseWriter, r *http.Request, st eventstore.Store) error {
	id, err := strconv.ParseInt(r.PathValue("id"), 10, 64)
	if err != nil {
		return &requestError{fmt.Errorf("%q is no id", r.PathValue("id"))}
	}
	payload, err := io.ReadAll(r.Body)
	if err != nil {
		return &requestError{err}
	}
	if err := st.EditParked(r.Context(), id, payload); err != nil {
		return err
	}
	answer(w, Count{N: 1})
	return nil
}

// Count is how many parked events something concerned.
type Count struct {
	N      int64     `json:"count"`
	Oldest time.Time `json:"oldest,omitzero"`
}

func countParked(w http.ResponseWriter, r *http.Request, st eventstore.Store) error {
	f, err := selection(r, true)
	if err != nil {
		return err
	}
	n, oldest, err := st.CountParked(r.Context(), f)
	if err == nil {
		answer(w, Count{N: n, Oldest: oldest})
	}
	return err
}

func (s *Server) retryParked(w http.ResponseWriter, r *http.Request, st eventstore.Store) error {
	f, err := selection(r, false)
	if err != nil {
		return err
	}
	n, err := st.SetParked(r.Context(), f, poison.Retrying)
	if err != nil {
		return err
	}
	if d := s.daemon.Load(); n > 0 && d != nil && d.Retry != nil {
		pipelines, err := retrying(r, st)
		if err != nil {
			return err
		}
		for _, p := range pipelines {
			d.Retry(r.Context(), p)
		}
	}
	answer(w, Count{N: n})
	return nil
}

func retrying(r *http.Request, st eventstore.Store) ([]string, error) {
	var out []string
	for e, err := range st.ListParked(r.Context(), poison.Filter{States: []poison.State{poison.Retrying}}) {
		if err != nil {
			return nil, err
		}
		if !slices.Contains(out, e.Pipeline) {
			out = append(out, e.Pipeline)
		}
	}
	return out, nil
}

func (s *Server) dropParked(w http.ResponseWriter, r *http.Request, st eventstore.Store) error {
	f, err := selection(r, false)
	if err != nil {
		return err
	}
	n, err := st.DropParked(r.Context(), f)
	if err != nil {
		return err
	}
	if d := s.daemon.Load(); n > 0 && d != nil && d.Retry != nil {
		d.Retry(r.Context(), "") // what was held behind them may go on
	}
	answer(w, Count{N: n})
	return nil
}

func selection(r *http.Request, empty bool) (poison.Filter, error) {
	var sel Selection
	if err := decode(r, &sel); err != nil {
		return poison.Filter{}, err
	}
	f, err := sel.Filter()
	if err != nil {
		return f, &requestError{err}
	}
	if !empty && !sel.All && len(f.IDs) == 0 && f.Pipeline == "" && f.Step == "" && f.Code == "" && f.Stream.IsZero() && f.Since.IsZero() {
		return f, &requestError{errors.New("nothing is selected: name ids, a pipeline, a code …, or set all")}
	}
	return f, nil
}

func decode(r *http.Request, v any) error {
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		var large *http.MaxBytesError
		if errors.As(err, &large) {
			return fmt.Errorf("%w: a request may have %d bytes", eventstore.ErrTooLarge, large.Limit)
		}
		return &requestError{fmt.Errorf("the body: %w", err)}
	}
	if d.More() {
		return &requestError{errors.New("the body has something behind its JSON value")}
	}
	return nil
}

// query reads parameters and keeps the first mistake.
type query struct {
	url.Values
	err error
}

func (q *query) note(name string, err error) {
	if err != nil && q.err == nil {
		q.err = fmt.Errorf("%s: %w", name, err)
	}
}

func (q *query) number(name string) int64 {
	s := q.Get(name)
	if s == "" {
		return 0
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err == nil && n < 0 {
		err = errors.New("it counts from 0")
	}
	q.note(name, err)
	return n
}

func (q *query) numbers(name string) []int64 {
	var out []int64
	for _, s := range q.Values[name] {
		n, err := strconv.ParseInt(s, 10, 64)
		q.note(name, err)
		out = append(out, n)
	}
	return out
}

func (q *query) flag(name string) bool {
	switch q.Get(name) {
	case "", "false", "0":
		return false
	case "true", "1":
		return true
	}
	q.note(name, errors.New("it is true or false"))
	return false
}

func (q *query) time(name string) time.Time {
	s := q.Get(name)
	if s == "" {
		return time.Time{}
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	q.note(name, err)
	return t
}

func (q *query) stream(name string) event.Stream {
	s := q.Get(name)
	if s == "" {
		return event.Stream{}
	}
	stream, err := event.ParseStream(s)
	q.note(name, err)
	return stream
}

// done gives the first mistake; a parameter that is not among the known ones is one.
func (q *query) done(known ...string) error {
	for name := range q.Values {
		if !slices.Contains(known, name) {
			q.note(name, fmt.Errorf("there is no such parameter, only %s", strings.Join(known, ", ")))
		}
	}
	if q.err != nil {
		return &requestError{q.err}
	}
	return nil
}
