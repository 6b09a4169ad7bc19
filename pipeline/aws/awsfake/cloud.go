package awsfake

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Account is the account that everything belongs to.
const Account = "123456789012"

// Cloud is one region with its queues and buses. It is safe for concurrent use.
type Cloud struct {
	faults func(op string, n int) Fault

	mu     sync.Mutex
	queues map[string]*queue
	buses  map[string][]Entry
	rules  map[string]*rule // by ARN
	wake   chan struct{}    // closed and made anew when a message may have become visible
	calls  map[string]int
	// objects are S3's, by bucket and key.
	objects map[string]string
	serial  int
	down    atomic.Bool
}

// Break takes the whole cloud down: every call is answered with 503, and does nothing. Mend brings it back.
func (c *Cloud) Break() { c.down.Store(true) }

// Mend ends what Break began.
func (c *Cloud) Mend() { c.down.Store(false) }

// New makes a cloud with the default bus and no queue. Faults decides what goes wrong with the n-th call (from 0) of an
// operation ("SendMessageBatch"); nil: nothing does. It is called under no lock, from any goroutine.
func New(faults func(op string, n int) Fault) *Cloud {
	if faults == nil {
		faults = func(string, int) Fault { return Fault{} }
	}
	return &Cloud{
		faults: faults, queues: map[string]*queue{}, buses: map[string][]Entry{"default": nil}, rules: map[string]*rule{},
		wake: make(chan struct{}), calls: map[string]int{}, objects: map[string]string{},
	}
}

// Calls gives how often an operation was called; "" counts them all.
func (c *Cloud) Calls(op string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if op != "" {
		return c.calls[op]
	}
	n := 0
	for _, k := range c.calls {
		n += k
	}
	return n
}

// apiError is an error answer.
type apiError struct {
	status  int
	code    string // the shape's name
	query   string // the name in the older query protocol, where it is another
	message string
}

func (e *apiError) Error() string { return e.code + ": " + e.message }

func refuse(code, format string, args ...any) *apiError {
	return &apiError{status: http.StatusBadRequest, code: code, message: fmt.Sprintf(format, args...)}
}

// ServeHTTP answers one call.
func (c *Cloud) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	service, op, ok := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	if !ok {
		c.s3(w, r)
		return
	}
	c.mu.Lock()
	n := c.calls[op]
	c.calls[op]++
	c.mu.Unlock()

	fault := c.faults(op, n)
	if c.down.Load() {
		fault = Fault{Code: "ServiceUnavailable", Status: http.StatusServiceUnavailable}
	}
	if fault.Delay > 0 {
		select {
		case <-time.After(fault.Delay):
		case <-r.Context().Done():
			return
		}
	}
	var out any
	if fault.Code != "" {
		err = &apiError{status: fault.Status, code: fault.Code, message: "made by the plan"}
	} else {
		out, err = c.do(r, service, op, body, fault)
	}
	if r.Context().Err() != nil {
		return
	}
	if fault.Lost {
		panic(http.ErrAbortHandler) // done, and the answer never leaves
	}
	reply(w, out, err, fault.Cut)
}

func reply(w http.ResponseWriter, out any, err error, cut bool) {
	status, body := http.StatusOK, []byte("{}")
	var refused *apiError
	switch {
	case errors.As(err, &refused):
		status = max(refused.status, http.StatusBadRequest)
		body, _ = json.Marshal(map[string]string{"__type": "com.amazonaws#" + refused.code, "message": refused.message})
		query, fault := refused.query, "Sender"
		if query == "" {
			query = refused.code
		}
		if status >= http.StatusInternalServerError {
			fault = "Receiver"
		}
		w.Header().Set("X-Amzn-Query-Error", query+";"+fault)
	case err != nil:
		status, body = http.StatusBadRequest, []byte(`{"__type":"SerializationException","message":"no JSON"}`)
	case out != nil:
		body, _ = json.Marshal(out)
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.0")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	if cut {
		_, _ = w.Write(body[:len(body)/2])
		panic(http.ErrAbortHandler)
	}
	_, _ = w.Write(body)
}

func (c *Cloud) do(r *http.Request, service, op string, body []byte, fault Fault) (any, error) {
	switch service + "." + op {
	case "AmazonSQS.CreateQueue":
		return call(body, c.createQueue)
	case "AmazonSQS.DeleteQueue":
		return call(body, c.deleteQueue)
	case "AmazonSQS.GetQueueUrl":
		return call(body, c.queueURL)
	case "AmazonSQS.GetQueueAttributes":
		return call(body, c.queueAttributes)
	case "AmazonSQS.SendMessage":
		return call(body, c.sendMessage)
	case "AmazonSQS.SendMessageBatch":
		return call(body, func(in batchRequest) (any, error) { return c.sendBatch(in, fault) })
	case "AmazonSQS.ReceiveMessage":
		return call(body, func(in receiveRequest) (any, error) { return c.receive(r.Context(), in, fault) })
	case "AmazonSQS.DeleteMessage":
		return call(body, c.deleteMessage)
	case "AmazonSQS.DeleteMessageBatch":
		return call(body, func(in batchRequest) (any, error) { return c.deleteBatch(in, fault) })
	case "AmazonSQS.ChangeMessageVisibility":
		return call(body, c.changeVisibility)
	case "AmazonSQS.ChangeMessageVisibilityBatch":
		return call(body, func(in batchRequest) (any, error) { return c.changeBatch(in, fault) })
	case "AWSEvents.PutEvents":
		return call(body, func(in putEventsRequest) (any, error) { return c.putEvents(in, fault) })
	case "AWSEvents.DescribeEventBus":
		return call(body, c.describeBus)
	case "AWSEvents.CreateEventBus":
		return call(body, c.createBus)
	}
	if do := c.more(service+"."+op, body); do != nil {
		return do()
	}
	return nil, refuse("UnknownOperationException", "%s is not in this fake", op)
}

func call[In any](body []byte, do func(In) (any, error)) (any, error) {
	var in In
	if err := json.Unmarshal(body, &in); err != nil {
		return nil, err
	}
	return do(in)
}

// Transport carries requests to the cloud without a network: what SDK clients in a synctest bubble need.
func (c *Cloud) Transport() http.RoundTripper { return transport{c} }

type transport struct{ c *Cloud }

// RoundTrip implements http.RoundTripper. An answer that is cut ends in io.ErrUnexpectedEOF, one that is lost is an error.
func (t transport) RoundTrip(r *http.Request) (*http.Response, error) {
	w := &recorder{header: http.Header{}}
	if r.Body == nil {
		r.Body = http.NoBody
	}
	defer r.Body.Close()
	aborted := w.serve(t.c, r)
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	if aborted && w.status == 0 {
		return nil, io.ErrUnexpectedEOF
	}
	var body io.Reader = &w.body
	if aborted {
		body = io.MultiReader(&w.body, broken{})
	}
	return &http.Response{
		Status: http.StatusText(w.status), StatusCode: w.status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: w.header, Body: io.NopCloser(body), ContentLength: -1, Request: r,
	}, nil
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

type recorder struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (w *recorder) Header() http.Header         { return w.header }
func (w *recorder) Write(b []byte) (int, error) { return w.body.Write(b) }
func (w *recorder) WriteHeader(status int)      { w.status = status }

func (w *recorder) serve(h http.Handler, r *http.Request) (aborted bool) {
	defer func() {
		if p := recover(); p != nil {
			if p != http.ErrAbortHandler { //nolint:errorlint // a panic value, never wrapped
				panic(p)
			}
			aborted = true
		}
	}()
	h.ServeHTTP(w, r)
	return w.status == 0
}
