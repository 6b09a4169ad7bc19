package admin

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/eventstore/serverless"
	"github.com/leatdev/leat/pipeline/eventstore/wire"
	"github.com/leatdev/leat/pipeline/telemetry"
)

// The routes of serverless-event-store (github.com/ilia-tolliu/serverless-event-store), with its shapes, statuses and
// error bodies, so that its clients work against leat with another base URL: the listener's root for the main store, or
// /api/v1/stores/{store} for any.
//
// Where that one errs, this does not: who loses a race is told 409, what cannot be read is 400 and not 500, the next
// page's key is taken under both names that are in use, and a negative revision shows no row that is no event. A request
// may carry Idempotency-Key; sent again with the same key it is answered as the first time.
const serverlessTag = "serverless-event-store"

// serverlessPage bounds a page, by its rows and the bytes of its payloads; serverlessBytes is DynamoDB's.
const (
	serverlessPage  = 1000
	serverlessBytes = 1 << 20
)

type serverlessStream struct {
	StreamID   string    `json:"streamId" format:"uuid"`
	StreamType string    `json:"streamType"`
	Revision   int64     `json:"revision" doc:"number of events"`
	UpdatedAt  time.Time `json:"updatedAt"`
}

type serverlessEvent struct {
	StreamID  string    `json:"streamId" format:"uuid"`
	Revision  int64     `json:"revision"`
	EventType string    `json:"eventType"`
	Payload   string    `json:"payload"`
	CreatedAt time.Time `json:"createdAt"`
}

type serverlessNew struct {
	EventType string `json:"eventType" minLength:"1"`
	Payload   string `json:"payload" minLength:"1" doc:"any text; JSON is what pipelines can read"`
}

type serverlessCreate struct {
	InitialEvent *serverlessNew `json:"initialEvent"`
}

type serverlessAppend struct {
	Event *serverlessNew `json:"event"`
}

type serverlessStreamAnswer struct {
	Stream serverlessStream `json:"stream"`
}

type serverlessStreams struct {
	StreamPage struct {
		Streams     []serverlessStream `json:"streams"`
		HasMore     bool               `json:"hasMore"`
		NextPageKey string             `json:"nextPageKey,omitempty"`
	} `json:"streamPage"`
}

type serverlessEvents struct {
	EventPage struct {
		Events                []serverlessEvent `json:"events"`
		HasMore               bool              `json:"hasMore"`
		LastEvaluatedRevision int64             `json:"lastEvaluatedRevision"`
	} `json:"eventPage"`
}

type serverlessAlive struct {
	Status string    `json:"status"`
	At     time.Time `json:"at"`
}

// serverlessError is its body of an answer that is no success.
type serverlessError struct {
	Message   string `json:"message"`
	RequestID string `json:"requestId"`
	Details   any    `json:"details"`
}

// refusal is an answer that is no success.
type refusal struct {
	status  int
	message string
	fields  map[string][]string
}

func (r *refusal) Error() string { return r.message }

const (
	wentWrong   = "Something went wrong"
	notFound    = "Requested resource not found"
	invalid     = "Trying to write based on invalid state. Refetch and try again."
	unparseable = "failed to parse request body"
)

func wrong(field, words string) *refusal {
	return &refusal{http.StatusBadRequest, wentWrong, map[string][]string{field: {words}}}
}

type serverlessHandler func(r *http.Request, st eventstore.Store) (status int, answer any, err error)

func (s *Server) routeServerless() {
	s.routeServerlessAt("GET", "/liveness-check", Open, "Whether the store is alive", nil, serverlessAlive{}, func(*http.Request, eventstore.Store) (int, any, error) {
		return http.StatusOK, serverlessAlive{"ok", time.Now().UTC()}, nil
	})
	s.routeServerlessAt("POST", "/streams/{streamType}", Write, "Create a stream with its first event", serverlessCreate{}, serverlessStreamAnswer{}, serverlessCreateStream)
	s.routeServerlessAt("GET", "/streams/{streamType}", Read, "Streams of a type, in the order in which they were updated", nil, serverlessStreams{}, serverlessListStreams,
		"updated-after", "only streams updated then or later, RFC 3339", "stream-next-page-key", "nextPageKey of the page before", "nextPageKey", "the same")
	s.routeServerlessAt("GET", "/streams/{streamType}/{streamId}/details", Read, "A stream's head", nil, serverlessStreamAnswer{}, serverlessDetails)
	s.routeServerlessAt("PUT", "/streams/{streamType}/{streamId}/events/{revision}", Write, "Append the event of the next revision", serverlessAppend{}, serverlessStreamAnswer{}, serverlessAppendEvent)
	s.routeServerlessAt("GET", "/streams/{streamType}/{streamId}/events", Read, "A stream's events", nil, serverlessEvents{}, serverlessReadEvents,
		"after-revision", "only events behind this revision")
	// Any other path answers as it does there; elsewhere on the listener what is not there is 404.
	page := http.RedirectHandler("/openapi/", http.StatusMovedPermanently)
	s.route("/streams/", Open, page)
	s.route("GET /{$}", Open, page)
}

// routeServerlessAt adds a route at the root and below each store. Params are names of parameters and what they mean.
func (s *Server) routeServerlessAt(method, path string, scope Scope, summary string, in, out any, h serverlessHandler, params ...string) {
	for _, base := range []string{"", "/api/v1/stores/{store}"} {
		s.route(method+" "+base+path, scope, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			d := s.daemon.Load()
			if d == nil {
				w.Header().Set("Retry-After", "1")
				serverlessFail(w, wire.NewProblem(http.StatusServiceUnavailable, "starting", wentWrong))
				return
			}
			name := cmp.Or(r.PathValue("store"), d.fallback())
			ctx, cancel := context.WithTimeout(r.Context(), cmp.Or(s.cfg.Timeout, readTimeout))
			defer cancel()
			st, err := d.store(name)
			var status int
			var answer any
			if err == nil {
				status, answer, err = h(r.WithContext(ctx), st)
			}
			if err != nil {
				s.serverlessRefuse(w, r, err)
				return
			}
			serverlessWrite(w, status, answer)
		}))
		s.own[len(s.own)-1].refuse = serverlessFail
	}
	s.describeServerless(method, path, scope, summary, in, out, params)
}

func (s *Server) serverlessRefuse(w http.ResponseWriter, r *http.Request, err error) {
	var no *refusal
	if !errors.As(err, &no) {
		p := wire.ProblemOf(err, telemetry.Redact)
		no = &refusal{status: p.Status, message: wentWrong}
		switch p.Status {
		case http.StatusConflict:
			no.message = invalid
		case http.StatusNotFound:
			no.message = notFound
		case http.StatusInternalServerError:
			s.log.Error("request failed", "method", r.Method, "path", r.URL.Path, "error", err)
		}
	}
	body := serverlessError{Message: no.message, RequestID: uuid.NewString()}
	if no.fields != nil {
		body.Details = map[string]any{"messages": no.fields}
	}
	serverlessWrite(w, no.status, body)
}

// serverlessFail says what the listener refuses before the route is reached.
func serverlessFail(w http.ResponseWriter, p *wire.Problem) {
	serverlessWrite(w, p.Status, serverlessError{Message: p.Detail, RequestID: uuid.NewString()})
}

func serverlessWrite(w http.ResponseWriter, status int, v any) {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		http.Error(w, wentWrong, http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(b)+1))
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(append(b, '\n'))
}

func serverlessDecode(r *http.Request, v any) error {
	b, err := io.ReadAll(r.Body)
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return &refusal{status: http.StatusRequestEntityTooLarge, message: wentWrong}
	}
	if err != nil || json.Unmarshal(b, v) != nil {
		return wrong("requestBody", unparseable)
	}
	return nil
}

// event makes the event of a request.
func (n *serverlessNew) event(field string, r *http.Request) (event.Event, error) {
	if n == nil {
		return event.Event{}, wrong(field, "required")
	}
	missing := map[string][]string{}
	if n.EventType == "" {
		missing[field+".eventType"] = []string{"required"}
	}
	if n.Payload == "" {
		missing[field+".payload"] = []string{"required"}
	}
	if len(missing) > 0 {
		return event.Event{}, &refusal{http.StatusBadRequest, wentWrong, missing}
	}
	e := event.Event{ID: cmp.Or(r.Header.Get("Idempotency-Key"), event.NewID()), Type: n.EventType, Changed: true}
	if len(e.ID) > 255 {
		return e, wrong("Idempotency-Key", "at most 255 bytes")
	}
	if err := serverless.SetPayload(&e, n.Payload); err != nil {
		return e, wrong(field+".payload", err.Error())
	}
	return e, nil
}

func serverlessEventOf(e *event.Recorded) serverlessEvent {
	return serverlessEvent{StreamID: e.Stream.ID, Revision: e.Revision, EventType: e.Type, Payload: serverless.Payload(&e.Event), CreatedAt: createdAt(e)}
}

// createdAt gives the time of an event's commit, also where it was committed by serverless-event-store itself.
func createdAt(e *event.Recorded) time.Time {
	if e.Origin == serverless.Origin {
		return e.Time.UTC()
	}
	return e.Committed.UTC()
}

// serverlessType gives the stream type of a request. One with a slash, or that is no text, can be nobody's.
func serverlessType(r *http.Request) (string, error) {
	t := r.PathValue("streamType")
	if t == "" || strings.Contains(t, "/") || !utf8.ValidString(t) {
		return "", wrong("streamType", "a name without slashes")
	}
	return t, nil
}

func serverlessName(r *http.Request) (event.Stream, error) {
	t, err := serverlessType(r)
	if err != nil {
		return event.Stream{}, err
	}
	id, err := uuid.Parse(r.PathValue("streamId"))
	if err != nil {
		return event.Stream{}, wrong("streamId", "must be a UUID")
	}
	return event.Stream{Type: t, ID: id.String()}, nil
}

// info gives a stream's head; ok says whether it exists.
func info(ctx context.Context, st eventstore.Store, s event.Stream) (i eventstore.StreamInfo, ok bool, err error) {
	// Of the ids that start so, the id itself is the first.
	for i, err := range st.Streams(ctx, eventstore.StreamsOptions{Type: s.Type, Prefix: s.ID, Max: 1}) {
		return i, err == nil && i.Stream == s, err
	}
	return i, false, nil
}

func serverlessStreamOf(i eventstore.StreamInfo) serverlessStream {
	return serverlessStream{StreamID: i.Stream.ID, StreamType: i.Stream.Type, Revision: i.Revision, UpdatedAt: i.Updated.UTC()}
}

func serverlessDetails(r *http.Request, st eventstore.Store) (int, any, error) {
	s, err := serverlessName(r)
	if err != nil {
		return 0, nil, err
	}
	i, ok, err := info(r.Context(), st, s)
	if err == nil && !ok {
		err = &refusal{status: http.StatusNotFound, message: notFound}
	}
	return http.StatusOK, serverlessStreamAnswer{serverlessStreamOf(i)}, err
}

// idempotentStreams names streams that are created with an Idempotency-Key.
var idempotentStreams = uuid.MustParse("5b0e9a4a-58cf-4c0c-9b4e-2f4d2f3a7a10")

func serverlessCreateStream(r *http.Request, st eventstore.Store) (int, any, error) {
	t, err := serverlessType(r)
	if err != nil {
		return 0, nil, err
	}
	var in serverlessCreate
	if err := serverlessDecode(r, &in); err != nil {
		return 0, nil, err
	}
	e, err := in.InitialEvent.event("initialEvent", r)
	if err != nil {
		return 0, nil, err
	}
	id := uuid.New()
	if key := r.Header.Get("Idempotency-Key"); key != "" {
		id = uuid.NewSHA1(idempotentStreams, []byte(t+"/"+key))
	}
	return serverlessCommit(r.Context(), st, event.Stream{Type: t, ID: id.String()}, eventstore.NoStream, e)
}

func serverlessAppendEvent(r *http.Request, st eventstore.Store) (int, any, error) {
	s, err := serverlessName(r)
	if err != nil {
		return 0, nil, err
	}
	revision, err := strconv.ParseInt(r.PathValue("revision"), 10, 64)
	if err != nil {
		return 0, nil, wrong("revision", "must be a whole number")
	}
	var in serverlessAppend
	if err := serverlessDecode(r, &in); err != nil {
		return 0, nil, err
	}
	e, err := in.Event.event("event", r)
	if err != nil {
		return 0, nil, err
	}
	if revision < 2 {
		// The first event comes with the stream, so that this cannot be the next one.
		_, ok, err := info(r.Context(), st, s)
		if err == nil {
			err = &refusal{status: http.StatusNotFound, message: notFound}
			if ok {
				err = &refusal{status: http.StatusConflict, message: invalid}
			}
		}
		return 0, nil, err
	}
	return serverlessCommit(r.Context(), st, s, eventstore.Revision(revision-1), e)
}

func serverlessCommit(ctx context.Context, st eventstore.Store, s event.Stream, expect eventstore.Expect, e event.Event) (int, any, error) {
	u := &eventstore.Unit{Appends: []eventstore.Append{{Stream: s, Expect: expect, Events: []event.Event{e}}}}
	if err := st.Commit(ctx, []*eventstore.Unit{u}, eventstore.CommitOptions{}); err != nil {
		return 0, nil, err
	}
	if u.Result.Status == eventstore.Refused {
		var c *eventstore.ConflictError
		if errors.As(u.Result.Err, &c) && c.Actual == 0 {
			return 0, nil, &refusal{status: http.StatusNotFound, message: notFound}
		}
		return 0, nil, u.Result.Err
	}
	// The time is the committer's, as precise as the store keeps it: that of the event, whatever came behind it since.
	revision := u.Result.Written[0].Last
	for got, err := range st.ReadStream(ctx, s, eventstore.ReadOptions{From: revision, To: revision}) {
		if err != nil {
			return 0, nil, err
		}
		return http.StatusCreated, serverlessStreamAnswer{serverlessStream{s.ID, s.Type, revision, createdAt(got)}}, nil
	}
	return 0, nil, fmt.Errorf("admin: revision %d of %s is gone", revision, s)
}

func serverlessReadEvents(r *http.Request, st eventstore.Store) (int, any, error) {
	s, err := serverlessName(r)
	if err != nil {
		return 0, nil, err
	}
	after := int64(0)
	if text := r.URL.Query().Get("after-revision"); text != "" {
		if after, err = strconv.ParseInt(text, 10, 64); err != nil {
			return 0, nil, wrong("after-revision", "must be a whole number")
		}
	}
	var out serverlessEvents
	page := &out.EventPage
	page.Events = []serverlessEvent{}
	after = max(after, 0)
	size := 0
	if after+1 > after {
		for e, err := range st.ReadStream(r.Context(), s, eventstore.ReadOptions{From: after + 1, Max: serverlessPage + 1}) {
			if err != nil {
				return 0, nil, err
			}
			if len(page.Events) == serverlessPage || size > 0 && size+len(e.Data) > serverlessBytes {
				page.HasMore = true
				break
			}
			size += len(e.Data)
			page.Events = append(page.Events, serverlessEventOf(e))
			page.LastEvaluatedRevision = e.Revision
		}
	}
	if len(page.Events) == 0 {
		if _, ok, err := info(r.Context(), st, s); err != nil || !ok {
			return 0, nil, cmp.Or(err, error(&refusal{status: http.StatusNotFound, message: notFound}))
		}
	}
	return http.StatusOK, out, nil
}

// place is where a stream stands in the order of updates.
type place struct {
	updated time.Time
	id      string
}

func (p place) compare(q place) int {
	return cmp.Or(p.updated.Compare(q.updated), cmp.Compare(p.id, q.id))
}

// serverlessListStreams gives a page of a type's streams in the order of their updates.
func serverlessListStreams(r *http.Request, st eventstore.Store) (int, any, error) {
	t, err := serverlessType(r)
	if err != nil {
		return 0, nil, err
	}
	q := r.URL.Query()
	var since time.Time
	if text := q.Get("updated-after"); text != "" {
		if since, err = time.Parse(time.RFC3339Nano, text); err != nil {
			return 0, nil, wrong("updated-after", "must be a time, RFC 3339")
		}
	}
	var behind *place
	if key := cmp.Or(q.Get("stream-next-page-key"), q.Get("nextPageKey")); key != "" {
		if behind, err = parsePageKey(key, t); err != nil {
			return 0, nil, err
		}
	}
	first, err := updatedStreams(r.Context(), st, t, since, behind)
	if err != nil {
		return 0, nil, err
	}
	var out serverlessStreams
	page := &out.StreamPage
	page.Streams = append([]serverlessStream{}, first[:min(len(first), serverlessPage)]...)
	if len(first) > serverlessPage {
		last := page.Streams[serverlessPage-1]
		page.HasMore = true
		page.NextPageKey = last.StreamID + "|" + last.StreamType + "|" + last.UpdatedAt.Format(time.RFC3339Nano)
	}
	return http.StatusOK, out, nil
}

// parsePageKey reads streamId|streamType|updatedAt; a type may have a | of its own.
func parsePageKey(key, t string) (*place, error) {
	id, rest, ok := strings.Cut(key, "|")
	i := strings.LastIndexByte(rest, '|')
	if !ok || i < 0 || rest[:i] != t {
		return nil, wrong("stream-next-page-key", "must be a nextPageKey of this type")
	}
	updated, err := time.Parse(time.RFC3339Nano, rest[i+1:])
	if err != nil {
		return nil, wrong("stream-next-page-key", "must be a nextPageKey of this type")
	}
	return &place{updated, id}, nil
}

// describeServerless puts a route into the document.
func (s *Server) describeServerless(method, path string, scope Scope, summary string, in, out any, params []string) {
	op := &huma.Operation{
		Method: method, Path: path, Summary: summary, Tags: []string{serverlessTag},
		OperationID: strings.ToLower(method) + strings.NewReplacer("/", "-", "{", "", "}", "").Replace(path),
		Description: "Scope: " + scope.String() + ".", Responses: map[string]*huma.Response{},
	}
	if scope != Open {
		op.Security = []map[string][]string{{"bearer": {}}, {"key": {}}}
	}
	text := &huma.Schema{Type: huma.TypeString}
	for part := range strings.SplitSeq(path, "/") {
		if name, ok := strings.CutPrefix(part, "{"); ok {
			op.Parameters = append(op.Parameters, &huma.Param{Name: strings.TrimSuffix(name, "}"), In: "path", Required: true, Schema: text})
		}
	}
	for i := 0; i < len(params); i += 2 {
		op.Parameters = append(op.Parameters, &huma.Param{Name: params[i], In: "query", Description: params[i+1], Schema: text})
	}
	answer := func(words string, v any) *huma.Response {
		return &huma.Response{Description: words, Content: map[string]*huma.MediaType{"application/json": {Schema: s.schema(v)}}}
	}
	status := "200"
	if in != nil {
		status = "201"
		op.RequestBody = &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{"application/json": {Schema: s.schema(in)}}}
		op.Responses["409"] = answer("another revision is the next", serverlessError{})
	}
	op.Responses[status] = answer("done", out)
	op.Responses["default"] = answer("anything else", serverlessError{})
	s.document.AddOperation(op)
}
