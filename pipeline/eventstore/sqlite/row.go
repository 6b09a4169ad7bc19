package sqlite

import (
	"database/sql/driver"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"time"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/eventstore/plan"
)

// columns are those of leat_events in the order of row and scan.
const columns = "position, stream_type, stream_id, revision, type, origin, committed, id, source, subject, time, crc, shape, metadata, body"

const insertEvent = "INSERT INTO leat_events (" + columns + ") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"

const selectEvent = "SELECT " + columns + " FROM leat_events WHERE position = ?"

// The column shape holds the envelope in its lowest bits, above it what is in body, then the payload's place in it. It
// is one column, as each costs a reader about 0.1 µs.
const (
	shapeEnvelope = 0xf
	shapeChanged  = 1 << 4
	shapeNoRaw    = 1 << 5 // body is the payload alone
	shapeBeside   = 1 << 6 // body is the event as it came, then the payload, which is no part of it
	shapeNoData   = 1 << 7

	shapeAt   = 8 // the shift of the payload's offset, 27 bits
	shapeLen  = 35
	shapeMask = 1<<27 - 1 // plan.MaxEvent is 1<<26
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// encoder writes rows; it keeps its buffers.
type encoder struct {
	head []byte
	args []any
}

// row gives the arguments of insertEvent, good until the next call.
func (enc *encoder) row(w *plan.Write, committed time.Time) []any {
	e := plan.Normal(*w.Event, committed)
	shape := int64(e.Envelope)
	if e.Changed {
		shape |= shapeChanged
	}
	body, at := e.Raw, 0
	in, isView := e.DataAt()
	switch {
	case e.Data == nil:
		shape |= shapeNoData
		if e.Raw == nil {
			shape |= shapeNoRaw
		}
	case e.Raw == nil:
		shape |= shapeNoRaw
		body = e.Data
	case isView:
		at = in
	default:
		shape |= shapeBeside
		at = len(e.Raw)
		body = append(append(make([]byte, 0, len(e.Raw)+len(e.Data)), e.Raw...), e.Data...)
	}
	var when any = e.Time.UnixNano()
	if y := e.Time.Year(); y < 1678 || y > 2261 { // beyond what nanoseconds in an int64 hold
		when = e.Time.Format(time.RFC3339Nano)
	}
	var metadata, bodyArg any
	if e.Metadata != nil {
		metadata = e.Metadata
	}
	if len(body) > 0 {
		bodyArg = body
	}
	s := w.Stream.Name
	us := committed.UnixMicro()
	shape |= int64(at)<<shapeAt | int64(len(e.Data))<<shapeLen
	crc := enc.sum(w.Position, s.Type, s.ID, w.Revision, e.Type, w.Origin, us, e.ID, e.Source, e.Subject, when, shape, e.Metadata, body)
	enc.args = append(enc.args[:0], w.Position, s.Type, s.ID, w.Revision, e.Type, w.Origin, us, e.ID, null(e.Source), null(e.Subject), when,
		crc, shape, metadata, bodyArg)
	return enc.args
}

// null gives NULL for an empty text: it is read faster.
func null(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// sum is the checksum over all other columns. CRC-32C has hardware support, and finds every error of fewer than 32
// bits in a row.
func (enc *encoder) sum(position int64, streamType, streamID string, revision int64, typ, origin string, committed int64, id, source, subject string, when any, shape int64, metadata, body []byte) int64 {
	b := enc.head[:0]
	for _, n := range [...]int64{position, revision, committed, shape, int64(len(metadata))} {
		b = binary.AppendVarint(b, n)
	}
	for _, s := range [...]string{streamType, streamID, typ, origin, id, source, subject} {
		b = binary.AppendUvarint(b, uint64(len(s)))
		b = append(b, s...)
	}
	switch t := when.(type) {
	case int64:
		b = binary.AppendVarint(b, t)
	case string:
		b = append(b, t...)
	}
	enc.head = b
	crc := crc32.Update(0, castagnoli, b)
	crc = crc32.Update(crc, castagnoli, metadata)
	return int64(crc32.Update(crc, castagnoli, body))
}

// scan reads a row of columns and checks it. The memory of the blobs is the driver's copy, and so the event's own.
func (enc *encoder) scan(row []driver.Value, r *event.Recorded) error {
	position, ok := row[0].(int64)
	if !ok || len(row) != 15 {
		return fmt.Errorf("%w: a row of the log has no position", eventstore.ErrCorrupt)
	}
	ok = true
	text := func(i int) string { s, is := row[i].(string); ok = ok && is; return s }
	maybe := func(i int) string { s, is := row[i].(string); ok = ok && (is || row[i] == nil); return s }
	num := func(i int) int64 { n, is := row[i].(int64); ok = ok && is; return n }
	blob := func(i int) []byte { b, is := row[i].([]byte); ok = ok && (is || row[i] == nil); return b }
	var (
		revision, committed               = num(3), num(6)
		crc, shape                        = num(11), num(12)
		metadata, body                    = blob(13), blob(14)
		streamType, streamID, typ, origin = text(1), text(2), text(4), text(5)
		id, source, subject               = text(7), maybe(8), maybe(9)
	)
	at, size := shape>>shapeAt&shapeMask, shape>>shapeLen&shapeMask
	if !ok || crc != enc.sum(position, streamType, streamID, revision, typ, origin, committed, id, source, subject, row[10], shape, metadata, body) {
		return &rowError{position: position, stream: event.Stream{Type: streamType, ID: streamID}, what: "the checksum does not fit"}
	}
	*r = event.Recorded{
		Event: event.Event{
			ID: id, Type: typ, Source: source, Subject: subject, Metadata: metadata,
			Envelope: event.Envelope(shape & shapeEnvelope), Changed: shape&shapeChanged != 0,
		},
		Stream: event.Stream{Type: streamType, ID: streamID}, Revision: revision,
		Position: position, Committed: time.UnixMicro(committed).UTC(), Origin: origin,
	}
	switch t := row[10].(type) {
	case int64:
		r.Time = time.Unix(0, t).UTC()
	case string:
		r.Time, _ = time.Parse(time.RFC3339Nano, t) // the checksum is right
	}
	if at+size > int64(len(body)) {
		return &rowError{position: position, stream: r.Stream, what: "the payload lies beyond the body"}
	}
	if shape&shapeNoData == 0 {
		r.Data = body[at : at+size : at+size]
	}
	switch {
	case shape&shapeNoRaw != 0:
	case shape&shapeBeside != 0:
		r.Raw = body[:at:at]
	default:
		r.Raw = body[:len(body):len(body)]
	}
	return nil
}

// rowError is a damaged row of the log.
type rowError struct {
	position int64
	stream   event.Stream
	what     string
}

// Error implements error.
func (e *rowError) Error() string {
	return fmt.Sprintf("%v: event %d of the log: %s", eventstore.ErrCorrupt, e.position, e.what)
}

// Unwrap makes it an ErrCorrupt.
func (e *rowError) Unwrap() error { return eventstore.ErrCorrupt }
