package admin

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/leatdev/leat/pipeline/eventstore/wire"
	"github.com/leatdev/leat/pipeline/telemetry"
)

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

func fail(w http.ResponseWriter, p *wire.Problem) {
	b, err := wire.Line(p)
	if err != nil {
		http.Error(w, p.Title, p.Status)
		return
	}
	w.Header().Set("Content-Type", wire.ProblemType)
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(p.Status)
	_, _ = w.Write(b) //nolint:gosec // JSON, and declared as such
}

func unavailable(w http.ResponseWriter, words string) {
	w.Header().Set("Retry-After", "1")
	fail(w, wire.NewProblem(http.StatusServiceUnavailable, "starting", words))
}

const linesType = "application/x-ndjson"

// lines writes NDJSON. Nothing is sent before the first line or done, so that an early error has its own status.
type lines struct {
	w       http.ResponseWriter
	control *http.ResponseController
	out     stalling
	buf     *bufio.Writer
	kind    string // content type; "" is NDJSON
	started bool
}

func newLines(w http.ResponseWriter) *lines {
	l := &lines{w: w, control: http.NewResponseController(w)}
	l.out = stalling{w, l.control}
	l.buf = bufio.NewWriterSize(l.out, 64<<10)
	return l
}

// stalling gives each piece its own deadline: a reader may take hours over a long log, but not stop reading.
type stalling struct {
	w       http.ResponseWriter
	control *http.ResponseController
}

func (s stalling) Write(p []byte) (int, error) {
	s.begin()
	n, err := s.w.Write(p)
	return n, end(err)
}

// flush sends what net/http holds back, which is a piece like any other: it has not what its predecessor left of the time.
func (s stalling) flush() error {
	s.begin()
	return end(s.control.Flush())
}

func (s stalling) begin() {
	_ = s.control.SetWriteDeadline(time.Now().Add(writeStall)) // a test's recorder has none
}

func end(err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		stalled()
	}
	return err
}

func (l *lines) write(line []byte) error {
	l.start()
	_, err := l.buf.Write(line)
	return err
}

func (l *lines) encode(v any) error {
	line, err := wire.Line(v)
	if err != nil {
		return err
	}
	return l.write(line)
}

// flush sends what is buffered, for answers whose lines are far apart.
func (l *lines) flush() error {
	if err := l.buf.Flush(); err != nil {
		return err
	}
	return l.out.flush()
}

func (l *lines) start() {
	if l.started {
		return
	}
	l.started = true
	_ = l.control.SetReadDeadline(time.Time{}) // the request is read, and its answer may take longer
	h := l.w.Header()
	h.Set("Content-Type", cmp.Or(l.kind, linesType))
	h.Set("Cache-Control", "no-store")
	h.Set("Trailer", wire.ErrorTrailer)
}

// done ends the answer; err is what ended it early.
func (l *lines) done(err error) {
	if err != nil {
		p := wire.ProblemOf(err, telemetry.Redact)
		if !l.started {
			fail(l.w, p)
			return
		}
		_ = l.buf.Flush()
		if b, e := json.Marshal(p); e == nil {
			l.w.Header().Set(wire.ErrorTrailer, string(b))
		}
		return
	}
	l.start()
	_ = l.buf.Flush()
}
