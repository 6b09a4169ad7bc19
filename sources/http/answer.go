package http

import (
	nethttp "net/http"
	"strings"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/rawjson"
)

// maxReason bounds what an answer says of one event.
const maxReason = 500

// status gives the answer to an event by its outcome.
func (o *outcome) status() int {
	code := event.Code(o.err)
	switch {
	case o.outcome == event.Released || o.outcome == event.Pending:
		return nethttp.StatusServiceUnavailable
	case code == event.CodeRejected:
		return nethttp.StatusUnprocessableEntity
	case o.outcome != event.Poisoned:
		return nethttp.StatusOK
	}
	switch code {
	case event.CodeMalformed:
		return nethttp.StatusBadRequest
	case event.CodeTooLarge:
		return nethttp.StatusRequestEntityTooLarge
	case event.CodeIDReused:
		return nethttp.StatusConflict
	}
	return nethttp.StatusAccepted
}

// rank orders statuses: the worst is the request's.
func rank(status int) int {
	switch {
	case status >= 500:
		return 1000
	case status >= 400:
		return status
	}
	return status - 200
}

// answer gives status and body, once the request is done.
func (r *request) answer() (int, []byte) {
	status := nethttp.StatusOK
	for i := range r.outcomes {
		if s := r.outcomes[i].status(); rank(s) > rank(status) {
			status = s
		}
	}
	if r.single {
		return status, append(r.outcomes[0].append(nil), '\n')
	}
	body := append(make([]byte, 0, 32+28*len(r.outcomes)), `{"outcomes":[`...)
	for i := range r.outcomes {
		if i > 0 {
			body = append(body, ',')
		}
		body = r.outcomes[i].append(body)
	}
	return status, append(body, "]}\n"...)
}

// append writes one outcome. What is the sender's fault is said in words; of other failures the code has to do, as their
// words are about the inside.
func (o *outcome) append(dst []byte) []byte {
	dst = append(append(append(dst, `{"outcome":"`...), o.outcome.String()...), '"')
	if code := event.Code(o.err); code != "" {
		dst = rawjson.AppendQuote(append(dst, `,"code":`...), code)
		if s := o.status(); s >= 400 && s < 500 {
			dst = rawjson.AppendQuote(append(dst, `,"reason":`...), reason(o.err))
		}
	}
	return append(dst, '}')
}

func reason(err error) string {
	text := err.Error()
	if len(text) > maxReason {
		text = text[:maxReason] + "…"
	}
	return strings.ToValidUTF8(text, "")
}

// refused is the body of an answer to a request of which nothing is taken, in the form that all of the daemon's have.
func refused(no *refusal) []byte {
	body := rawjson.AppendQuote([]byte(`{"error":{"code":`), no.code)
	body = rawjson.AppendQuote(append(body, `,"message":`...), no.message)
	return append(body, "}}\n"...)
}
