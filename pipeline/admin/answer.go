package admin

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/leatdev/leat/pipeline/control"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/poison"
	"github.com/leatdev/leat/pipeline/table"
	"github.com/leatdev/leat/pipeline/telemetry"
)

// AnswerError is the body of an answer that is no success, under the key "error".
type AnswerError struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

// Error implements error.
func (p *AnswerError) Error() string { return p.Message }

// Unwrap gives the error of the store's contract that the code stands for, so that errors.Is works across the API.
func (p *AnswerError) Unwrap() error { return sentinels[p.Code] }

var sentinels = map[string]error{
	"not_found":   poison.ErrNotFound,
	"id_reused":   eventstore.ErrIDReused,
	"idempotency": eventstore.ErrIdempotency,
	"too_large":   eventstore.ErrTooLarge,
	"unavailable": eventstore.ErrUnavailable,
	"corrupt":     eventstore.ErrCorrupt,
	"read_only":   eventstore.ErrReadOnly,
	"gone":        eventstore.ErrGone,
}

var statuses = map[string]int{
	"not_found": http.StatusNotFound, "id_reused": http.StatusConflict, "idempotency": http.StatusConflict,
	"too_large": http.StatusRequestEntityTooLarge, "unavailable": http.StatusServiceUnavailable,
	"read_only": http.StatusConflict, "gone": http.StatusConflict,
}

func answerErrorOf(err error) (int, *AnswerError) {
	p := &AnswerError{Code: "internal", Message: telemetry.Redact(err.Error())}
	var (
		conflict *eventstore.ConflictError
		unknown  *table.UnknownError
		missing  *control.UnknownError
		busy     *control.BusyError
		refused  *control.RefusedError
		bad      *requestError
	)
	switch {
	case errors.As(err, &missing):
		p.Code = "unknown"
		return http.StatusNotFound, p
	case errors.As(err, &busy):
		p.Code = "busy"
		return http.StatusConflict, p
	case errors.As(err, &refused):
		p.Code = "refused"
		return http.StatusUnprocessableEntity, p
	case errors.As(err, &bad):
		p.Code = "bad_request"
		return http.StatusBadRequest, p
	case errors.As(err, &conflict):
		p.Code = "conflict"
		return http.StatusConflict, p
	case errors.As(err, &unknown):
		p.Code = "unknown"
		return http.StatusNotFound, p
	}
	for code, sentinel := range sentinels {
		if errors.Is(err, sentinel) {
			p.Code = code
			break
		}
	}
	if status, ok := statuses[p.Code]; ok {
		return status, p
	}
	return http.StatusInternalServerError, p
}

type requestError struct{ err error }

func (b *requestError) Error() string { return b.err.Error() }
func (b *requestError) Unwrap() error { return b.err }

// accepts reports whether a request names a media type among those that it takes.
func accepts(r *http.Request, kind string) bool {
	for _, v := range r.Header.Values("Accept") {
		for part := range strings.SplitSeq(v, ",") {
			if name, _, _ := strings.Cut(part, ";"); strings.TrimSpace(name) == kind {
				return true
			}
		}
	}
	return false
}

func fail(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]AnswerError{"error": {Code: code, Message: message}})
}

func unavailable(w http.ResponseWriter, words string) {
	w.Header().Set("Retry-After", "1")
	fail(w, http.StatusServiceUnavailable, "starting", words)
}

func answer(w http.ResponseWriter, v any) {
	line, err := Line(v)
	if err != nil {
		fail(w, http.StatusInternalServerError, "internal", telemetry.Redact(err.Error()))
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write(line)
}

// errorTrailer carries what went wrong after the first lines were sent: as JSON, and absent where all went well.
const errorTrailer = "Leat-Error"

// lines writes NDJSON. Nothing is sent before the first line or done, so that an early error has its own status.
type lines struct {
	w       http.ResponseWriter
	control *http.ResponseController
	buf     *bufio.Writer
	kind    string // content type; "" is NDJSON
	started bool
}

func newLines(w http.ResponseWriter) *lines {
	l := &lines{w: w, control: http.NewResponseController(w)}
	l.buf = bufio.NewWriterSize(stalling{l}, 64<<10)
	return l
}

// stalling gives each piece its own deadline: a reader may take hours over a long log, but not stop reading.
type stalling struct{ l *lines }

func (s stalling) Write(p []byte) (int, error) {
	_ = s.l.control.SetWriteDeadline(time.Now().Add(writeStall)) // a test's recorder has none
	return s.l.w.Write(p)
}

func (l *lines) write(line []byte) error {
	l.start()
	_, err := l.buf.Write(line)
	return err
}

func (l *lines) encode(v any) error {
	line, err := Line(v)
	if err != nil {
		return err
	}
	return l.write(line)
}

// flush sends what is buffered, for answers whose lines are far apart.
func (l *lines) flush() {
	_ = l.buf.Flush()
	_ = l.control.Flush()
}

func (l *lines) start() {
	if l.started {
		return
	}
	l.started = true
	h := l.w.Header()
	h.Set("Content-Type", cmp.Or(l.kind, "application/x-ndjson"))
	h.Set("Cache-Control", "no-store")
	h.Set("Trailer", errorTrailer)
}

// done ends the answer; err is what ended it early.
func (l *lines) done(err error) {
	if err != nil {
		status, p := answerErrorOf(err)
		if !l.started {
			fail(l.w, status, p.Code, p.Message)
			return
		}
		_ = l.buf.Flush()
		if b, e := json.Marshal(p); e == nil {
			l.w.Header().Set(errorTrailer, string(b))
		}
		return
	}
	l.start()
	_ = l.buf.Flush()
}
