package postgres

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"strings"
	"time"
	"unicode/utf8"
	"unsafe"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/eventstore/plan"
)

// columns are those of leat_events in the order of row and scan.
const columns = "position, stream, revision, id_hash, committed, time, crc, shape, data_at, data_len, stream_type, stream_id, type, origin, id, source, subject, metadata, body"

const columnCount = 19

// The column shape holds the envelope in its low byte, above it what is in body, and above that the nanoseconds that
// the column time has no room for.
const (
	shapeEnvelope = 0xff
	shapeFlags    = 8  // the shift of plan.Shape's flags
	shapeNanos    = 16 // the shift of 0 to 999
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// row is an event as a row of leat_events.
type row struct {
	position, stream, revision, idHash int64
	committed, time                    int64 // microseconds since 2000, as PostgreSQL counts
	crc, shape, dataAt, dataLen        int32
	streamType, streamID, typ, origin  string
	id, source, subject                string
	metadata, body                     []byte

	damaged *rowError // what is wrong with it as it was read
}

// epoch is PostgreSQL's zero of time, in microseconds of Unix time.
const epoch = 946_684_800_000_000

// The years that a timestamptz holds, safely.
var (
	earliest = time.Date(-4000, 1, 1, 0, 0, 0, 0, time.UTC)
	latest   = time.Date(200_000, 1, 1, 0, 0, 0, 0, time.UTC)
)

// set makes r the row of a write. Its slices are the event's, good as long as the unit is in hand.
func (r *row) set(w *plan.Write, committed time.Time, stream int64) {
	e := plan.Normal(*w.Event, committed)
	body, lies := plan.Fold(&e)
	shape := int32(e.Envelope) | int32(lies.Flags())<<shapeFlags
	switch {
	case e.Time.Before(earliest):
		e.Time = earliest
	case e.Time.After(latest):
		e.Time = latest
	}
	shape |= int32(e.Time.Nanosecond()%1000) << shapeNanos
	s := w.Stream.Name
	*r = row{
		position: w.Position, stream: stream, revision: w.Revision, idHash: idHash(e.ID),
		committed: committed.UnixMicro() - epoch, time: e.Time.UnixMicro() - epoch,
		shape: shape, dataAt: int32(lies.At), dataLen: int32(len(e.Data)),
		streamType: escape(s.Type), streamID: escape(s.ID), typ: escape(e.Type), origin: escape(w.Origin),
		id: escape(e.ID), source: escape(e.Source), subject: escape(e.Subject),
		metadata: e.Metadata, body: body,
	}
	r.crc = r.sum()
}

// sum is the checksum over all other columns. CRC-32C has hardware support, and finds every error of fewer than 32
// bits in a row.
func (r *row) sum() int32 {
	var fixed [512]byte
	b := fixed[:0]
	for _, n := range [...]int64{r.position, r.stream, r.revision, r.idHash, r.committed, r.time, int64(r.shape), int64(r.dataAt), int64(r.dataLen), int64(len(r.metadata))} {
		b = binary.LittleEndian.AppendUint64(b, uint64(n))
	}
	for _, s := range [...]string{r.streamType, r.streamID, r.typ, r.origin, r.id, r.source, r.subject} {
		b = binary.LittleEndian.AppendUint32(b, uint32(len(s)))
		b = append(b, s...)
	}
	crc := crc32.Update(0, castagnoli, b)
	crc = crc32.Update(crc, castagnoli, r.metadata)
	return int32(crc32.Update(crc, castagnoli, r.body))
}

// idHash is what ids are looked up by within their stream: FNV-1a with a last mix. Ids of one hash are told apart by
// their text.
func idHash(id string) int64 {
	h := uint64(14695981039346656037)
	for i := range len(id) {
		h = (h ^ uint64(id[i])) * 1099511628211
	}
	h = (h ^ h>>32) * 0x9e3779b97f4a7c15
	return int64(h ^ h>>29)
}

// escape gives s as PostgreSQL can keep it: its text has neither NUL nor broken UTF-8. Such bytes, and the byte 0x1a
// itself, become 0x1a and two hexadecimal digits.
func escape(s string) string {
	if strings.IndexByte(s, 0) < 0 && strings.IndexByte(s, 0x1a) < 0 && utf8.ValidString(s) {
		return s
	}
	const hex = "0123456789abcdef"
	out := make([]byte, 0, len(s)+8)
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		if r == 0 || r == 0x1a || r == utf8.RuneError && n == 1 {
			out = append(out, 0x1a, hex[s[i]>>4], hex[s[i]&15])
		} else {
			out = append(out, s[i:i+n]...)
		}
		i += n
	}
	return string(out)
}

func unescape(s string) string {
	at := strings.IndexByte(s, 0x1a)
	if at < 0 {
		return s
	}
	digit := func(c byte) byte {
		if c >= 'a' {
			return c - 'a' + 10
		}
		return c - '0'
	}
	out := append([]byte{}, s[:at]...)
	for i := at; i < len(s); i++ {
		if s[i] == 0x1a && i+2 < len(s) {
			out = append(out, digit(s[i+1])<<4|digit(s[i+2]))
			i += 2
		} else {
			out = append(out, s[i])
		}
	}
	return string(out)
}

// appendCopy appends the row as COPY … (FORMAT binary) takes it.
func (r *row) appendCopy(b []byte) []byte {
	b = binary.BigEndian.AppendUint16(b, columnCount)
	for _, n := range [...]int64{r.position, r.stream, r.revision, r.idHash, r.committed, r.time} {
		b = binary.BigEndian.AppendUint32(b, 8)
		b = binary.BigEndian.AppendUint64(b, uint64(n))
	}
	for _, n := range [...]int32{r.crc, r.shape, r.dataAt, r.dataLen} {
		b = binary.BigEndian.AppendUint32(b, 4)
		b = binary.BigEndian.AppendUint32(b, uint32(n))
	}
	for _, s := range [...]string{r.streamType, r.streamID, r.typ, r.origin, r.id, r.source, r.subject} {
		b = binary.BigEndian.AppendUint32(b, uint32(len(s)))
		b = append(b, s...)
	}
	for _, v := range [...][]byte{r.metadata, r.body} {
		if v == nil {
			b = binary.BigEndian.AppendUint32(b, 0xffffffff)
			continue
		}
		b = binary.BigEndian.AppendUint32(b, uint32(len(v)))
		b = append(b, v...)
	}
	return b
}

var copyHeader = []byte("PGCOPY\n\xff\r\n\x00\x00\x00\x00\x00\x00\x00\x00\x00")

// scan reads a row of columns in the binary format and checks it. Its texts and bytes are views into raw.
func (r *row) scan(raw [][]byte) error {
	if len(raw) != columnCount {
		return fmt.Errorf("postgres: a row of the log has %d columns", len(raw))
	}
	ok := true
	num := func(i int) int64 {
		if ok = ok && len(raw[i]) == 8; !ok {
			return 0
		}
		return int64(binary.BigEndian.Uint64(raw[i]))
	}
	small := func(i int) int32 {
		if ok = ok && len(raw[i]) == 4; !ok {
			return 0
		}
		return int32(binary.BigEndian.Uint32(raw[i]))
	}
	text := func(i int) string { return unsafe.String(unsafe.SliceData(raw[i]), len(raw[i])) }
	*r = row{
		position: num(0), stream: num(1), revision: num(2), idHash: num(3), committed: num(4), time: num(5),
		crc: small(6), shape: small(7), dataAt: small(8), dataLen: small(9),
		streamType: text(10), streamID: text(11), typ: text(12), origin: text(13), id: text(14), source: text(15), subject: text(16),
		metadata: raw[17], body: raw[18],
	}
	switch {
	case !ok || r.crc != r.sum():
		return &rowError{position: r.position, stream: event.Stream{Type: r.streamType, ID: r.streamID}, what: "the checksum does not fit"}
	case r.dataAt < 0 || r.dataLen < 0 || int(r.dataAt)+int(r.dataLen) > len(r.body):
		return &rowError{position: r.position, stream: event.Stream{Type: r.streamType, ID: r.streamID}, what: "the payload lies beyond the body"}
	}
	return nil
}

// size is the memory that the row's event takes.
func (r *row) size() int {
	return len(r.streamType) + len(r.streamID) + len(r.typ) + len(r.origin) + len(r.id) + len(r.source) + len(r.subject) + len(r.metadata) + len(r.body)
}

// when gives the time of microseconds since 2000.
func when(us int64) time.Time { return time.UnixMicro(us + epoch).UTC() }

// event gives the row's event in the row's own memory.
func (r *row) event() event.Recorded {
	e := event.Recorded{
		Event: event.Event{
			ID: unescape(r.id), Type: unescape(r.typ), Source: unescape(r.source), Subject: unescape(r.subject), Metadata: r.metadata,
			Time: when(r.time).Add(time.Duration(r.shape >> shapeNanos & 1023)),
		},
		Stream: event.Stream{Type: unescape(r.streamType), ID: unescape(r.streamID)}, Revision: r.revision,
		Position: r.position, Committed: when(r.committed), Origin: unescape(r.origin),
	}
	lies := plan.Shape{Envelope: event.Envelope(r.shape & shapeEnvelope), At: int(r.dataAt), Len: int(r.dataLen)}.WithFlags(int64(r.shape >> shapeFlags))
	lies.Unfold(r.body, &e.Event) // the checksum is right, so it fits
	return e
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
