package steps

import (
	"strconv"

	"github.com/google/uuid"

	"github.com/leatdev/leat/pipeline/event"
)

// KeyOf is the identity of a source event: the same again when it is delivered again; "" where it has none.
func KeyOf(b *event.Batch, i int) string {
	if b.Cursor != nil {
		c := b.Cursor(i)
		return c.Key + ":" + c.Value
	}
	if e := &b.Events[i]; e.ID != "" {
		return e.Source + "|" + e.ID
	}
	if b.Key != nil {
		return b.Key(i)
	}
	return ""
}

// identity names the event in hand for what is derived of it. For an event of the log every relay gives the same; without a
// log, a relay goes by the event's id.
func (x *Exec) identity() string {
	if x.ident != "" {
		return x.ident
	}
	key := ""
	switch {
	case x.b != nil:
		key = KeyOf(x.b, x.i)
	case x.ev.Stream.IsZero():
		key = x.ev.ID
	default:
		key = x.ev.Stream.String() + "\x00" + strconv.FormatInt(x.ev.Revision, 10)
	}
	if key == "" {
		key = event.NewID()
	}
	x.ident = x.prog.pipeline + "\x00" + key
	return x.ident
}

// maxID is the largest event id, in bytes.
const maxID = 255

// idSpace is the namespace of the ids that leat derives (UUID version 5, RFC 9562).
var idSpace = uuid.NewSHA1(uuid.NameSpaceURL, []byte("https://github.com/leatdev/leat/event"))

// derivedID gives the id of an event that a unit emits: the same again when the unit is run again.
func derivedID(key, step string, index int) string {
	return uuid.NewSHA1(idSpace, []byte(key+"\x00"+step+"\x00"+strconv.Itoa(index))).String()
}
