package plan

import "github.com/leatdev/leat/pipeline/event"

// Shape says how an event's body and payload lie in the one piece of bytes that is stored of both.
type Shape struct {
	Envelope event.Envelope
	Changed  bool
	// NoRaw: the piece is the payload alone. Beside: the payload is no part of the body, and lies behind it.
	NoRaw, Beside, NoData bool
	// At and Len are where the payload is.
	At, Len int
}

// Fold gives an event's bytes, the payload not twice where it is a part of the body, and their shape. E is normal.
func Fold(e *event.Event) ([]byte, Shape) {
	s := Shape{Envelope: e.Envelope, Changed: e.Changed, Len: len(e.Data)}
	in, isView := e.DataAt()
	switch {
	case e.Data == nil:
		s.NoData, s.NoRaw = true, e.Raw == nil
	case e.Raw == nil:
		s.NoRaw = true
		return e.Data, s
	case isView:
		s.At = in
	default:
		s.Beside, s.At = true, len(e.Raw)
		return append(append(make([]byte, 0, len(e.Raw)+len(e.Data)), e.Raw...), e.Data...), s
	}
	return e.Raw, s
}

// Unfold puts the bytes back into an event. It reports false where shape and bytes do not fit.
func (s Shape) Unfold(body []byte, e *event.Event) bool {
	if s.At < 0 || s.Len < 0 || s.At+s.Len > len(body) {
		return false
	}
	e.Envelope, e.Changed = s.Envelope, s.Changed
	if !s.NoData {
		e.Data = body[s.At : s.At+s.Len : s.At+s.Len]
	}
	switch {
	case s.NoRaw:
	case s.Beside:
		e.Raw = body[:s.At:s.At]
	default:
		e.Raw = body[:len(body):len(body)]
	}
	return true
}

// The flags of a shape.
const (
	flagChanged = 1 << iota
	flagNoRaw
	flagBeside
	flagNoData
)

// Flags gives Changed, NoRaw, Beside and NoData as four bits.
func (s Shape) Flags() (f int64) {
	if s.Changed {
		f |= flagChanged
	}
	if s.NoRaw {
		f |= flagNoRaw
	}
	if s.Beside {
		f |= flagBeside
	}
	if s.NoData {
		f |= flagNoData
	}
	return f
}

// WithFlags sets them.
func (s Shape) WithFlags(f int64) Shape {
	s.Changed, s.NoRaw, s.Beside, s.NoData = f&flagChanged != 0, f&flagNoRaw != 0, f&flagBeside != 0, f&flagNoData != 0
	return s
}

// Where a word has what lies above its low byte, which is the envelope.
const (
	flagShift = 8
	atShift   = 16
	lenShift  = 40
)

// Word gives the shape as one number. At and Len are below 16 MiB.
func (s Shape) Word() int64 {
	return int64(s.Envelope) | s.Flags()<<flagShift | int64(s.At)<<atShift | int64(s.Len)<<lenShift
}

// ShapeOf reads Word's number.
func ShapeOf(w int64) Shape {
	return Shape{Envelope: event.Envelope(w & 0xff), At: int(w >> atShift & (1<<24 - 1)), Len: int(w >> lenShift)}.WithFlags(w >> flagShift)
}
