// Package client is the event store behind the API of a leat daemon, for Go programs.
//
//	c, err := client.Connect("https://leat.example:8087", "main", client.WithKey(os.Getenv("LEAT_API_KEY")))
//
// Client reads, appends and subscribes as the embedded store does, over iterators that fetch pages as they are asked for. Errors
// are those of the store's contract: errors.As finds a *ConflictError, errors.Is the sentinels of package eventstore. What
// can be repeated is repeated where the outcome is unknown: events have their ids before the first attempt, so that
// nothing is written twice, and a read that breaks off goes on behind the last event. Store gives the whole contract,
// with errors.ErrUnsupported for what does not travel.
package client

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/apd/v3"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/eventstore/wire"
	"github.com/leatdev/leat/pipeline/poison"
	"github.com/leatdev/leat/pipeline/table"
)

// ErrUnreachable is wrapped where no daemon answers.
var ErrUnreachable = errors.New("client: no daemon answers")

// ConflictError says that a stream was not where an append expected it.
type ConflictError = eventstore.ConflictError

// Client speaks to a daemon's API. It is safe for concurrent use.
type Client struct {
	base     string
	store    string
	key      config.Secret
	attempts int
	http     *http.Client

	life    context.Context // ends with Close
	end     context.CancelFunc
	reached atomic.Bool // the daemon has answered once
}

// Option changes how a client connects.
type Option func(*Client)

// WithKey sends an API key with each request.
func WithKey(key string) Option {
	return func(c *Client) { c.key = config.NewSecret(key) }
}

// WithTLS sets what an https connection trusts and shows: root certificates, a certificate of the client's own.
func WithTLS(t *tls.Config) Option {
	return func(c *Client) { c.http.Transport.(*http.Transport).TLSClientConfig = t }
}

// WithAttempts says how often a request is sent that may be repeated and whose outcome is unknown, or that the daemon
// has no time for; 1: once. The default is 5, with waits from 50 ms that double. A daemon that has never answered is not
// waited for.
func WithAttempts(n int) Option {
	return func(c *Client) { c.attempts = max(n, 1) }
}

// Connect makes a client for a daemon at an address (host:port, or an http or https URL) and one of its stores. It does
// not connect yet.
func Connect(server, store string, options ...Option) (*Client, error) {
	if !strings.Contains(server, "://") {
		server = "http://" + server
	}
	u, err := url.Parse(server)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return nil, fmt.Errorf("client: a server is host:port, http://host:port or https://host:port, not %q", server)
	}
	if u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("client: a server has no user, parameters or fragment: %s", u.Redacted())
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	if config.Loopback(u.Hostname()) {
		transport.Proxy = nil // a daemon on this machine is never behind one
	}
	transport.MaxIdleConnsPerHost = 64
	c := &Client{base: strings.TrimSuffix(u.String(), "/"), store: store, attempts: 5, http: &http.Client{Transport: transport}}
	c.life, c.end = context.WithCancel(context.Background())
	for _, o := range options {
		o(c)
	}
	return c, nil
}

// Close ends what is under way, with eventstore.ErrClosed, and lets go of the connections.
func (c *Client) Close() error {
	c.end()
	c.http.CloseIdleConnections()
	return nil
}

// Get asks for any path of the listener and gives status and body, at most 1 MiB of it.
func (c *Client) Get(ctx context.Context, path string) (int, []byte, error) {
	return c.GetAs(ctx, path, "")
}

// GetAs is Get for an answer of a media type; "" asks for none.
func (c *Client) GetAs(ctx context.Context, path, accept string) (int, []byte, error) {
	res, err := c.sendFor(ctx, http.MethodGet, path, nil, nil, accept)
	if err != nil {
		return 0, nil, err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	return res.StatusCode, b, err
}

func (c *Client) send(ctx context.Context, method, path string, q url.Values, body []byte) (*http.Response, error) {
	return c.sendFor(ctx, method, path, q, body, "")
}

func (c *Client) sendFor(ctx context.Context, method, path string, q url.Values, body []byte, accept string) (*http.Response, error) {
	u := c.base + path
	if len(q) > 0 {
		u += "?" + q.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, method, u, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	if accept != "" {
		req.Header.Set("Accept", accept)
	}
	if !c.key.IsZero() {
		req.Header.Set("Authorization", "Bearer "+c.key.Reveal())
	}
	res, err := c.http.Do(req)
	if err != nil {
		var op *net.OpError
		if errors.As(err, &op) {
			return nil, fmt.Errorf("%w at %s: %w", ErrUnreachable, c.base, op)
		}
		return nil, fmt.Errorf("client: %w", err)
	}
	c.reached.Store(true)
	return res, nil
}

func (c *Client) path(rest string) string {
	return "/api/v1/stores/" + url.PathEscape(c.store) + "/" + rest
}

// call makes one request that answers with one JSON value. It is sent again where that is harmless: GETs, and what
// repeatable says.
func (c *Client) call(ctx context.Context, method, path string, q url.Values, in, out any, repeatable ...bool) error {
	var body []byte
	switch in := in.(type) {
	case nil:
	case []byte:
		body = in
	default:
		var err error
		if body, err = wire.Line(in); err != nil {
			return err
		}
	}
	once := func(ctx context.Context) error {
		res, err := c.send(ctx, method, path, q, body)
		if err != nil {
			return err
		}
		defer res.Body.Close()
		if err := refused(res); err != nil {
			return err
		}
		if err := json.NewDecoder(res.Body).Decode(out); err != nil {
			return fmt.Errorf("%w: %w", errBroken, err)
		}
		return nil
	}
	if method == http.MethodGet || len(repeatable) > 0 {
		return c.again(ctx, once)
	}
	ctx, done := c.during(ctx)
	defer done()
	return c.closed(once(ctx))
}

func refused(res *http.Response) error {
	if res.StatusCode < 300 {
		return nil
	}
	b, _ := io.ReadAll(io.LimitReader(res.Body, 64<<10))
	no := &refusal{status: res.StatusCode}
	if n, err := strconv.Atoi(res.Header.Get("Retry-After")); err == nil {
		no.after = time.Duration(n) * time.Second
	}
	var p wire.Problem
	if json.Unmarshal(b, &p) == nil && p.Code != "" {
		no.err = &p
	} else {
		no.err = fmt.Errorf("client: the daemon answers %s: %s", res.Status, bytes.TrimSpace(b))
	}
	return no
}

// list makes one request that answers with lines, and calls each with every one of them.
func (c *Client) list(ctx context.Context, path string, q url.Values, each func(line []byte) (more bool, err error)) error {
	ctx, done := c.during(ctx)
	defer done() // a reader that stops early ends the request
	return c.closed(c.lines(ctx, path, q, each))
}

func (c *Client) lines(ctx context.Context, path string, q url.Values, each func(line []byte) (more bool, err error)) error {
	res, err := c.send(ctx, http.MethodGet, path, q, nil)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if err := refused(res); err != nil {
		return err
	}
	in := bufio.NewReaderSize(res.Body, 64<<10)
	for {
		line, err := in.ReadBytes('\n')
		if err == nil || errors.Is(err, io.EOF) && len(line) > 0 {
			if more, err := each(bytes.TrimSpace(line)); err != nil || !more {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("%w: %w", errBroken, err)
		}
	}
	if t := res.Trailer.Get(wire.ErrorTrailer); t != "" {
		var p wire.Problem
		if json.Unmarshal([]byte(t), &p) != nil || p.Code == "" {
			return fmt.Errorf("client: the daemon's answer broke off: %s", t)
		}
		return &p
	}
	return nil
}

// each turns list into an iterator.
func each[T any](ctx context.Context, c *Client, path string, q url.Values, back func(line []byte) (T, error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		err := c.list(ctx, path, q, func(line []byte) (bool, error) {
			if len(line) == 0 {
				return true, nil
			}
			v, err := back(line)
			if err != nil {
				return false, fmt.Errorf("client: the daemon's answer: %w", err)
			}
			return yield(v, nil), nil
		})
		if err != nil {
			var zero T
			yield(zero, err)
		}
	}
}

// Status gives the daemon's status as it answers it.
func (c *Client) Status(ctx context.Context) (json.RawMessage, error) {
	var out json.RawMessage
	err := c.call(ctx, http.MethodGet, "/api/v1/status", nil, nil, &out)
	return out, err
}

// Head gives the log's end.
func (c *Client) Head(ctx context.Context) (eventstore.Head, error) {
	var h wire.Head
	err := c.call(ctx, http.MethodGet, c.path("head"), nil, nil, &h)
	return eventstore.Head{LogID: h.LogID, Position: h.Position, Committed: h.Committed}, err
}

// Streams lists streams.
func (c *Client) Streams(ctx context.Context, o eventstore.StreamsOptions) iter.Seq2[eventstore.StreamInfo, error] {
	q := url.Values{}
	put(q, "type", o.Type)
	put(q, "prefix", o.Prefix)
	if !o.After.IsZero() {
		put(q, "after", o.After.String())
	}
	putNumber(q, "max", o.Max)
	return each(ctx, c, c.path("streams"), q, func(line []byte) (eventstore.StreamInfo, error) {
		var w wire.Stream
		if err := json.Unmarshal(line, &w); err != nil {
			return eventstore.StreamInfo{}, err
		}
		s, err := event.ParseStream(w.Stream)
		return eventstore.StreamInfo{Stream: s, Revision: w.Revision, Created: w.Created, Updated: w.Updated}, err
	})
}

// Append writes events to one stream, all or none. Events without an id get one.
func (c *Client) Append(ctx context.Context, s event.Stream, a wire.Append) (wire.Appended, error) {
	var out wire.Appended
	a.Events = withIDs(a.Events)
	err := c.call(ctx, http.MethodPost, c.path("events"), url.Values{"stream": {s.String()}}, a, &out, true)
	return out, err
}

// AppendAll writes events to several streams, all or none. Events without an id get one.
func (c *Client) AppendAll(ctx context.Context, appends ...wire.AppendTo) ([]wire.Appended, error) {
	in := wire.AppendAll{Appends: slices.Clone(appends)}
	for i := range in.Appends {
		in.Appends[i].Events = withIDs(in.Appends[i].Events)
	}
	var out wire.AppendedAll
	err := c.call(ctx, http.MethodPost, c.path("append"), nil, in, &out, true)
	return out.Appended, err
}

// withIDs gives events that have ids, so that a repeat is known.
func withIDs(events []wire.Event) []wire.Event {
	events = slices.Clone(events)
	for i := range events {
		if events[i].ID == "" {
			events[i].ID = event.NewID()
		}
	}
	return events
}

// Verify has the store verified; report is called with each fault.
func (c *Client) Verify(ctx context.Context, report func(eventstore.Fault)) (eventstore.Verified, error) {
	var out eventstore.Verified
	ended := false
	err := c.list(ctx, c.path("verify"), nil, func(line []byte) (bool, error) {
		var w wire.VerifyLine
		if err := json.Unmarshal(line, &w); err != nil {
			return false, fmt.Errorf("client: the daemon's answer: %w", err)
		}
		if f := w.Fault; f != nil {
			s, _ := event.ParseStream(f.Stream) // a fault of the whole log names no stream
			report(eventstore.Fault{Stream: s, Position: f.Position, What: f.What})
		}
		if v := w.Verified; v != nil {
			ended = true
			out = eventstore.Verified{Events: v.Events, Streams: v.Streams, Faults: v.Faults}
		}
		return true, nil
	})
	if err == nil && !ended {
		err = errors.New("client: the daemon's answer broke off before its end")
	}
	return out, err
}

// ListTables lists the tables in the store's own database.
func (c *Client) ListTables(ctx context.Context) ([]table.Info, error) {
	var out []table.Info
	for i, err := range each(ctx, c, c.path("tables"), nil, func(line []byte) (table.Info, error) {
		var w wire.Table
		err := json.Unmarshal(line, &w)
		return w.Back(), err
	}) {
		if err != nil {
			return nil, err
		}
		out = append(out, i)
	}
	return out, nil
}

// QueryTable gives the columns and rows of a table.
func (c *Client) QueryTable(ctx context.Context, t table.Query) (table.Def, iter.Seq2[table.Row, error], error) {
	q := url.Values{"order": t.Order}
	for column, value := range t.Equal {
		q.Add("where", column+"="+value)
	}
	putNumber(q, "limit", int64(t.Limit))
	putNumber(q, "skip", int64(t.Skip))

	// The columns are the first line of the answer, so the request runs ahead of the rows.
	next, stop := iter.Pull2(each(ctx, c, c.path("tables/"+url.PathEscape(t.Table)), q, func(line []byte) ([]byte, error) {
		return line, nil
	}))
	first, err, ok := next()
	if err != nil || !ok {
		stop()
		if err == nil {
			err = errors.New("client: the daemon's answer is empty")
		}
		return table.Def{}, nil, err
	}
	var w wire.Columns
	if err := json.Unmarshal(first, &w); err != nil {
		stop()
		return table.Def{}, nil, fmt.Errorf("client: the daemon's answer: %w", err)
	}
	info := (&wire.Table{Name: t.Table, Columns: w.Columns, Key: w.Key}).Back()
	return info.Def, func(yield func(table.Row, error) bool) {
		defer stop()
		for {
			line, err, ok := next()
			if !ok {
				return
			}
			var row table.Row
			if err == nil {
				row, err = rowOf(&info.Def, line)
			}
			if !yield(row, err) || err != nil {
				return
			}
		}
	}, nil
}

func rowOf(d *table.Def, line []byte) (table.Row, error) {
	var values map[string]json.RawMessage
	if err := json.Unmarshal(line, &values); err != nil {
		return nil, fmt.Errorf("client: the daemon's answer: %w", err)
	}
	row := make(table.Row, len(d.Columns))
	for i, c := range d.Columns {
		raw := bytes.TrimSpace(values[c.Name])
		if len(raw) == 0 || string(raw) == "null" {
			continue
		}
		var err error
		switch raw[0] {
		case '"':
			var s string
			err = json.Unmarshal(raw, &s)
			row[i] = s
		case 't', 'f':
			row[i] = raw[0] == 't'
		case '{', '[':
			row[i] = json.RawMessage(raw)
		default:
			row[i], _, err = apd.NewFromString(string(raw))
		}
		if err != nil {
			return nil, fmt.Errorf("client: the daemon's answer: column %s: %w", c.Name, err)
		}
	}
	return row, nil
}

// ListParked lists parked events.
func (c *Client) ListParked(ctx context.Context, f poison.Filter) iter.Seq2[poison.Entry, error] {
	q := url.Values{}
	for _, id := range f.IDs {
		q.Add("id", strconv.FormatInt(id, 10))
	}
	for _, s := range f.States {
		q.Add("state", string(s))
	}
	put(q, "pipeline", f.Pipeline)
	put(q, "step", f.Step)
	put(q, "code", f.Code)
	if !f.Stream.IsZero() {
		put(q, "stream", f.Stream.String())
	}
	putTime(q, "since", f.Since)
	put(q, "relay", f.Relay)
	putNumber(q, "max", int64(f.Max))
	return each(ctx, c, c.path("poison"), q, func(line []byte) (poison.Entry, error) {
		var w wire.Parked
		if err := json.Unmarshal(line, &w); err != nil {
			return poison.Entry{}, err
		}
		return w.Back()
	})
}

// CountParked counts parked events.
func (c *Client) CountParked(ctx context.Context, f poison.Filter) (int64, time.Time, error) {
	var n wire.Count
	err := c.call(ctx, http.MethodPost, c.path("poison/count"), nil, wire.SelectionOf(f), &n, true)
	return n.N, n.Oldest, err
}

// EditParked replaces a payload.
func (c *Client) EditParked(ctx context.Context, id int64, payload []byte) error {
	return c.call(ctx, http.MethodPut, c.path("poison/"+strconv.FormatInt(id, 10)+"/payload"), nil, payload, &wire.Count{}, true)
}

// RetryParked has the selected events sent again.
func (c *Client) RetryParked(ctx context.Context, f poison.Filter) (int64, error) {
	return c.change(ctx, "poison/retry", f)
}

// DropParked removes the selected events.
func (c *Client) DropParked(ctx context.Context, f poison.Filter) (int64, error) {
	return c.change(ctx, "poison/drop", f)
}

func (c *Client) change(ctx context.Context, path string, f poison.Filter) (int64, error) {
	sel := wire.SelectionOf(f)
	sel.All = true // the caller has made up its mind
	var n wire.Count
	err := c.call(ctx, http.MethodPost, c.path(path), nil, sel, &n)
	return n.N, err
}

func put(q url.Values, name, value string) {
	if value != "" {
		q.Set(name, value)
	}
}

func putNumber(q url.Values, name string, n int64) {
	if n != 0 {
		q.Set(name, strconv.FormatInt(n, 10))
	}
}

func putTime(q url.Values, name string, t time.Time) {
	if !t.IsZero() {
		q.Set(name, t.UTC().Format(time.RFC3339Nano))
	}
}
