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
		e.Raw = body
	}
	return true
}

const (
	bitChanged = 1 << 8 << iota
	bitNoRaw
	bitBeside
	bitNoData
	atShift  = 16
	lenShift = 40
)

// Word gives the shape as one number. At and Len are below 16 MiB.
func (s Shape) Word() int64 {
	w := int64(s.Envelope) | int64(s.At)<<atShift | int64(s.Len)<<lenShift
	for bit, set := range map[int64]bool{bitChanged: s.Changed, bitNoRaw: s.NoRaw, bitBeside: s.Beside, bitNoData: s.NoData} {
		if set {
			w |= bit
		}
	}
	return w
}

// ShapeOf reads Word's number.
func ShapeOf(w int64) Shape {
	return Shape{
		Envelope: event.Envelope(w & 0xff), Changed: w&bitChanged != 0, NoRaw: w&bitNoRaw != 0, Beside: w&bitBeside != 0, NoData: w&bitNoData != 0,
		At: int(w >> atShift & (1<<24 - 1)), Len: int(w >> lenShift),
	}
}
