package http

import (
	"context"
	"errors"
	"fmt"
	"io"
	nethttp "net/http"
	"os"
	"strings"
	"time"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/rawjson"
)

// writeTimeout bounds how long a reader may take for the answer.
const writeTimeout = 10 * time.Second

// smallest is what a request counts for at least among the bytes held.
const smallest = 4 << 10

// ServeHTTP takes the events of one request and answers when the pipeline is done with them.
func (s *Source) ServeHTTP(w nethttp.ResponseWriter, r *nethttp.Request) {
	if no := s.admit(r); no != nil {
		s.refuse(w, no)
		return
	}
	weight := int64(s.cfg.MaxBody)
	if r.ContentLength >= 0 {
		weight = r.ContentLength
	}
	weight = min(max(weight, smallest), int64(s.cfg.MaxHeld))
	if !s.room.take(r.Context(), weight, s.cfg.Wait) {
		s.refuse(w, full())
		return
	}
	defer s.room.give(weight)
	s.take(w, r)
}

func full() *refusal {
	return &refusal{status: nethttp.StatusServiceUnavailable, code: "full", message: "there is no room for more events at present", retryAfter: 1}
}

func stopping() *refusal {
	return &refusal{status: nethttp.StatusServiceUnavailable, code: "stopping", message: "the pipeline stops", retryAfter: 2}
}

// admit refuses what can be refused before the body is read.
func (s *Source) admit(r *nethttp.Request) *refusal {
	select {
	case <-s.stopped:
		return stopping()
	default:
	}
	if no := s.auth.checkKey(r.Header); no != nil {
		return no
	}
	if s.auth.signature != nil {
		if no := s.auth.signature.present(r.Header); no != nil {
			return no
		}
	} else if no := s.within(); no != nil {
		return no
	}
	if _, _, no := formOf(r.Header); no != nil {
		return no
	}
	if r.ContentLength > int64(s.cfg.MaxBody) {
		return s.tooLarge()
	}
	if key := r.Header.Get(s.cfg.IDHeader); len(key) > maxKeyLength {
		return malformed("%s has more than %d bytes", s.cfg.IDHeader, maxKeyLength)
	}
	return nil
}

// within keeps the rate. It counts requests that have shown who they are: nobody else can use up what they may send.
func (s *Source) within() *refusal {
	if s.limit == nil {
		return nil
	}
	now := s.env.Now()
	next := s.limit.ReserveN(now, 1)
	wait := next.DelayFrom(now)
	if wait == 0 {
		return nil
	}
	next.CancelAt(now)
	return &refusal{status: nethttp.StatusTooManyRequests, code: "rate", message: "more requests than the rate allows", retryAfter: seconds(wait)}
}

func seconds(d time.Duration) int { return int((d + time.Second - 1) / time.Second) }

func (s *Source) tooLarge() *refusal {
	return &refusal{status: nethttp.StatusRequestEntityTooLarge, code: event.CodeTooLarge, message: fmt.Sprintf("a body has at most %s", s.cfg.MaxBody)}
}

// take reads the body, hands its events on, and answers.
func (s *Source) take(w nethttp.ResponseWriter, r *nethttp.Request) {
	body, no := s.read(w, r)
	if no != nil {
		s.refuse(w, no)
		return
	}
	forget := func() {}
	if s.auth.signature != nil {
		noted, no := s.auth.signature.check(r.Header, body)
		if no == nil {
			if noted != nil {
				forget = noted
			}
			no = s.within()
		}
		if no != nil {
			forget()
			s.refuse(w, no)
			return
		}
	}
	f, kind, _ := formOf(r.Header)
	events, single, no := parse(f, kind, r.Header, body, s.cfg.MaxEvents)
	if no != nil {
		forget()
		s.refuse(w, no)
		return
	}
	if meta := s.metadata(r.Header); meta != nil {
		for i := range events {
			events[i].Metadata = meta
		}
	}
	req := newRequest(r.Header.Get(s.cfg.IDHeader), len(events), single)
	if no := s.deliver(r.Context(), req, events); no != nil {
		forget()
		s.refuse(w, no)
		return
	}
	status, answer := req.answer()
	if status >= 500 {
		forget()
		w.Header().Set("Retry-After", "1")
	}
	s.write(w, status, answer)
}

// read gives the body. Memory grows with what arrives, not with what is announced, unless that is little.
func (s *Source) read(w nethttp.ResponseWriter, r *nethttp.Request) ([]byte, *refusal) {
	c := nethttp.NewResponseController(w)
	_ = c.SetReadDeadline(time.Now().Add(s.cfg.ReadTimeout)) // where it cannot be set, the listener's own holds
	body, err := readAll(nethttp.MaxBytesReader(w, r.Body, int64(s.cfg.MaxBody)), r.ContentLength)
	var large *nethttp.MaxBytesError
	switch {
	case errors.As(err, &large):
		return nil, s.tooLarge()
	case errors.Is(err, os.ErrDeadlineExceeded):
		w.Header().Set("Connection", "close")
		return nil, &refusal{status: nethttp.StatusRequestTimeout, code: "timeout", message: "the body did not arrive within " + s.cfg.ReadTimeout.String()}
	case err != nil:
		w.Header().Set("Connection", "close")
		return nil, malformed("the body is shorter than announced")
	}
	_ = c.SetReadDeadline(time.Time{})
	return body, nil
}

func readAll(r io.Reader, announced int64) ([]byte, error) {
	const step = 64 << 10
	size := int64(512)
	if announced >= 0 {
		size = min(announced, step)
	}
	body := make([]byte, 0, size+1) // one more, so that the end is seen without growing
	for {
		n, err := r.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		if err == io.EOF {
			return body, nil
		}
		if err != nil {
			return body, err
		}
		if len(body) == cap(body) {
			body = append(body, 0)[:len(body)]
		}
	}
}

// metadata gives what is kept of the headers, nil where there is nothing.
func (s *Source) metadata(h nethttp.Header) []byte {
	var out []byte
	for _, name := range s.keep {
		value := h.Get(name)
		if value == "" || len(value) > 4<<10 {
			continue
		}
		sep := byte(',')
		if out == nil {
			sep = '{'
		}
		out = rawjson.AppendQuote(append(rawjson.AppendQuote(append(out, sep), name), ':'), strings.ToValidUTF8(value, "\uFFFD"))
	}
	if out == nil {
		return nil
	}
	return append(out, '}')
}

// deliver hands the events to the pipeline and waits until it is done with all of them. A refusal says that it has
// taken none; events that were not taken although others were are released.
func (s *Source) deliver(ctx context.Context, req *request, events []event.Event) *refusal {
	timer := time.NewTimer(s.cfg.Wait)
	defer timer.Stop()
	all := s.split(req, events)
	for i, d := range all {
		var no *refusal
		select {
		case s.in <- d:
			continue
		case <-s.stopped:
			no = stopping()
		case <-timer.C:
			no = full()
		case <-ctx.Done():
			no = full() // nobody reads this answer
		}
		if i == 0 {
			return no
		}
		for _, d := range all[i:] {
			d.fail(errFull)
		}
		break
	}
	timer.Reset(s.cfg.Timeout)
	select {
	case <-req.done:
		return nil
	case <-timer.C:
		return &refusal{status: nethttp.StatusServiceUnavailable, code: "pending", message: "the pipeline is not done with the events yet; the same request may be sent again", retryAfter: 5}
	case <-ctx.Done():
		return full()
	}
}

func (s *Source) refuse(w nethttp.ResponseWriter, no *refusal) {
	h := w.Header()
	if no.retryAfter > 0 {
		h.Set("Retry-After", fmt.Sprint(no.retryAfter))
	}
	switch no.status {
	case nethttp.StatusUnauthorized:
		h.Set("WWW-Authenticate", "Bearer")
	case nethttp.StatusRequestEntityTooLarge:
		h.Set("Connection", "close") // what is still to come is not read
	}
	s.env.Log.Debug("request refused", "path", s.cfg.Path, "status", no.status, "code", no.code)
	s.write(w, no.status, refused(no))
}

func (s *Source) write(w nethttp.ResponseWriter, status int, body []byte) {
	_ = nethttp.NewResponseController(w).SetWriteDeadline(time.Now().Add(writeTimeout)) // where it cannot be set, the listener's own holds
	h := w.Header()
	h["Content-Type"] = jsonType
	h["Cache-Control"] = noStore
	h["X-Content-Type-Options"] = noSniff
	w.WriteHeader(status)
	_, _ = w.Write(body) //nolint:gosec // JSON, and declared as such; a sender that is gone sends again
}

var jsonType, noStore, noSniff = []string{"application/json"}, []string{"no-store"}, []string{"nosniff"}
