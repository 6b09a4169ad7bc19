package dynamofake

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"time"
)

// Limits of the service.
const (
	MaxItem     = 400 << 10
	MaxTransact = 100
	MaxBytes    = 4 << 20
	PageBytes   = 1 << 20
)

// Server is a DynamoDB in memory. It is safe for concurrent use.
type Server struct {
	URL string

	http   *httptest.Server
	mu     sync.Mutex
	tables map[string]*table
	tokens map[string]string // of transactions: their request
	begun  map[string]bool   // tokens of those whose items are becoming visible
	plan   *Plan
	cost   Cost
	now    func() time.Time
}

// Cost is what the calls so far would have cost.
type Cost struct {
	// Calls by operation.
	Calls map[string]int
	// Write and Read are capacity units: a write of up to 1 KB, a consistent read of up to 4 KB; in transactions twice.
	Write, Read float64
}

// Total gives the count of all calls.
func (c Cost) Total() (n int) {
	for _, k := range c.Calls {
		n += k
	}
	return n
}

type table struct {
	hash, sort string
	indexes    map[string]index
	provision  json.RawMessage
	attributes json.RawMessage
	stream     json.RawMessage
	billing    string
	tags       map[string]string
	rows       map[string]map[string]item // by hash and by sort key
	order      map[string][]string        // sort keys by hash, in their order
	late       map[string]bool            // items that a committed transaction is about to write
}

type index struct {
	hash, sort string
	projection json.RawMessage
}

// New starts a server. Plan may be nil.
func New(plan *Plan) *Server {
	s := &Server{tables: map[string]*table{}, tokens: map[string]string{}, begun: map[string]bool{}, plan: plan, cost: Cost{Calls: map[string]int{}}, now: time.Now}
	s.http = httptest.NewServer(s)
	s.URL = s.http.URL
	return s
}

// Close stops the server.
func (s *Server) Close() { s.http.Close() }

// Cost gives what was spent since the last call of Reset.
func (s *Server) Cost() Cost {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.cost
	out.Calls = map[string]int{}
	for k, n := range s.cost.Calls {
		out.Calls[k] = n
	}
	return out
}

// Reset begins to count anew.
func (s *Server) Reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cost = Cost{Calls: map[string]int{}}
}

// Items counts the items of a table.
func (s *Server) Items(name string) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.tables[name]; t != nil {
		for _, rows := range t.rows {
			n += len(rows)
		}
	}
	return n
}

// fault is an error as the service gives it.
type fault struct {
	status  int
	code    string
	message string
	more    map[string]any
}

func (f *fault) Error() string { return f.code + ": " + f.message }

func refuse(code, format string, args ...any) error {
	return &fault{status: 400, code: code, message: fmt.Sprintf(format, args...)}
}

func validation(format string, args ...any) error {
	return refuse("ValidationException", format, args...)
}

// ServeHTTP answers one call.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, op, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	after, before := s.plan.decide(op)
	var out any
	if before != nil {
		err = before
	} else if after == cut && s.plan.Part > 0 {
		s.callApart(op, body)
	} else {
		out, err = s.call(op, body)
	}
	if after == cut {
		// The call has had its effect, and nobody hears of it.
		if c, _, e := http.NewResponseController(w).Hijack(); e == nil {
			_ = c.Close()
		}
		return
	}
	if after == broken && err == nil {
		err = &fault{status: 500, code: "InternalServerError", message: "Internal server error"}
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.0")
	w.Header().Set("X-Amzn-Requestid", "fake")
	var f *fault
	if errors.As(err, &f) {
		m := map[string]any{"__type": "com.amazonaws.dynamodb.v20120810#" + f.code, "message": f.message, "Message": f.message}
		for k, v := range f.more {
			m[k] = v
		}
		w.WriteHeader(f.status)
		_ = json.NewEncoder(w).Encode(m)
		return
	}
	_ = json.NewEncoder(w).Encode(out)
}

// callApart makes a call that its caller gives up before it is through.
func (s *Server) callApart(op string, body []byte) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = s.call(op, body)
	}()
	select {
	case <-done:
	case <-time.After(500 * time.Microsecond):
	}
}

func (s *Server) call(op string, body []byte) (out any, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cost.Calls[op]++
	defer func() {
		if p := recover(); p != nil {
			bad, ok := p.(invalid)
			if !ok {
				panic(p)
			}
			out, err = nil, validation("%s", bad.message)
		}
	}()
	run, ok := map[string]func([]byte) (any, error){
		"CreateTable": s.createTable, "DescribeTable": s.describeTable, "DeleteTable": s.deleteTable, "ListTagsOfResource": s.listTags,
		"GetItem": s.getItem, "PutItem": s.putItem, "UpdateItem": s.updateItem, "DeleteItem": s.deleteItem,
		"Query": s.query, "Scan": s.scan, "BatchGetItem": s.batchGet, "BatchWriteItem": s.batchWrite, "TransactWriteItems": s.transact,
		"DescribeContinuousBackups": s.describeBackups,
		"DescribeTimeToLive":        func([]byte) (any, error) { return map[string]any{}, nil },
		"UpdateTimeToLive":          func([]byte) (any, error) { return map[string]any{}, nil },
	}[op]
	if !ok {
		return nil, refuse("UnknownOperationException", "the fake has no %s", op)
	}
	return run(body)
}

func read[T any](body []byte) T {
	var v T
	if err := json.Unmarshal(body, &v); err != nil {
		panic(invalid{"the request cannot be read: " + err.Error()})
	}
	return v
}

func (s *Server) table(name string) (*table, error) {
	if i := strings.LastIndex(name, "table/"); i >= 0 {
		name = name[i+len("table/"):]
	}
	t := s.tables[name]
	if t == nil {
		return nil, refuse("ResourceNotFoundException", "Requested resource not found: Table: %s not found", name)
	}
	return t, nil
}

func at(h, r string) string { return h + "\x00" + r }

// key gives the places of an item, or of a key.
func (t *table) key(i item) (string, string, error) {
	h, ok := i[t.hash]
	if !ok || h.text() == "" {
		return "", "", validation("One of the required keys was not given a value: %s", t.hash)
	}
	if t.sort == "" {
		return hash(h), "", nil
	}
	r, ok := i[t.sort]
	if !ok {
		return "", "", validation("One of the required keys was not given a value: %s", t.sort)
	}
	if r.kind() == "N" {
		n := r.number()
		if n == nil {
			return "", "", validation("The parameter cannot be converted to a numeric value: %s", r.text())
		}
		return hash(h), hash(number(n)), nil
	}
	return hash(h), hash(r), nil
}

func (t *table) get(key item) (item, error) {
	h, r, err := t.key(key)
	if err != nil {
		return nil, err
	}
	return t.rows[h][r], nil
}

func (t *table) put(i item) error {
	h, r, err := t.key(i)
	if err != nil {
		return err
	}
	if i.size() > MaxItem {
		return validation("Item size has exceeded the maximum allowed size")
	}
	for name, x := range t.indexes { // what an index is keyed by is not empty
		for _, k := range []string{x.hash, x.sort} {
			if v, there := i[k]; there && k != "" && v.text() == "" {
				return validation("One or more parameter values are not valid. The update expression attempted to update a secondary index key to a value that is not supported: %s.%s", name, k)
			}
		}
	}
	if t.rows[h] == nil {
		t.rows[h] = map[string]item{}
	}
	t.rows[h][r] = i
	t.place(h, r)
	return nil
}

func (t *table) drop(key item) {
	if h, r, err := t.key(key); err == nil {
		delete(t.rows[h], r)
		t.displace(h, r)
	}
}
