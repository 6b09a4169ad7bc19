package eventstore

import (
	"fmt"
	"strconv"

	"github.com/leatdev/leat/pipeline/event"
)

// Expect is what an append expects of its stream. The zero value is Any.
type Expect struct{ n int64 }

// The expectations besides Revision.
var (
	Any          = Expect{0}
	NoStream     = Expect{-1}
	StreamExists = Expect{-2}
)

// Revision expects the stream's last revision to be n; n < 1 means NoStream.
func Revision(n int64) Expect {
	if n < 1 {
		return NoStream
	}
	return Expect{n}
}

// Exact gives the revision that is expected, 0 for NoStream; false for Any and StreamExists.
func (e Expect) Exact() (int64, bool) {
	switch e {
	case Any, StreamExists:
		return 0, false
	case NoStream:
		return 0, true
	}
	return e.n, true
}

// Met reports whether a stream at that revision (0: it does not exist) meets the expectation.
func (e Expect) Met(revision int64) bool {
	switch e {
	case Any:
		return true
	case StreamExists:
		return revision > 0
	}
	n, _ := e.Exact()
	return n == revision
}

// String gives the name that the YAML uses.
func (e Expect) String() string {
	switch e {
	case Any:
		return "any"
	case NoStream:
		return "no_stream"
	case StreamExists:
		return "stream_exists"
	}
	return strconv.FormatInt(e.n, 10)
}

// ParseExpect reads any, no_stream, stream_exists or a revision.
func ParseExpect(s string) (Expect, error) {
	switch s {
	case "any":
		return Any, nil
	case "no_stream":
		return NoStream, nil
	case "stream_exists":
		return StreamExists, nil
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 0 {
		return Any, fmt.Errorf("eventstore: an expectation is any, no_stream, stream_exists or a revision, not %q", s)
	}
	return Revision(n), nil
}

// ConflictError says that a stream was not where an append expected it.
type ConflictError struct {
	Stream   event.Stream
	Expected Expect
	Actual   int64 // 0: the stream does not exist
}

// Error names stream, expected and actual.
func (e *ConflictError) Error() string {
	actual := "does not exist"
	if e.Actual > 0 {
		actual = "is at revision " + strconv.FormatInt(e.Actual, 10)
	}
	return fmt.Sprintf("eventstore: stream %s %s, expected %s", e.Stream, actual, e.Expected)
}
