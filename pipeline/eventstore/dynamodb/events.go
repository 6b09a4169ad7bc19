package dynamodb

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/eventstore/plan"
)

// maxItem bounds an item, 400 KiB less room for what it has beside the event.
const maxItem = 390 << 10

// rest is an event in an item that another one begins: where a unit has more events than a transaction has items.
type rest struct {
	Type     string `json:"t"`
	ID       string `json:"i"`
	Source   string `json:"s,omitempty"`
	Subject  string `json:"u,omitempty"`
	Time     string `json:"ts"`
	Shape    int64  `json:"h"`
	Metadata []byte `json:"m,omitempty"`
	Body     []byte `json:"b,omitempty"`
}

// weight is about what an event takes in an item.
func weight(w *plan.Write) int {
	e := w.Event
	n := max(len(e.Raw), len(e.Data))
	if _, view := e.DataAt(); len(e.Raw) > 0 && !view {
		n = len(e.Raw) + len(e.Data)
	}
	return n + len(e.Metadata) + len(e.ID) + len(e.Type) + len(e.Source) + len(e.Subject) + len(w.Stream.Name.Type) + len(w.Stream.Name.ID) + len(w.Origin) + 160
}

// packed is weight in an item's rest, which is base64 in JSON.
func packed(w *plan.Write) int { return weight(w)*4/3 + 100 }

// logItem makes the item of one event, or of several that follow each other in one stream.
func logItem(ws []*plan.Write, committed time.Time, nonce string) (item, error) {
	w := ws[0]
	e := plan.Normal(*w.Event, committed)
	body, shape := plan.Fold(&e)
	i := key(logPK(bucket(w.Position)), pad(w.Position))
	i["st"], i["si"] = str(escape(w.Stream.Name.Type)), str(escape(w.Stream.Name.ID))
	i["r"], i["h"], i["c"] = num(w.Revision), num(shape.Word()), num(committed.UnixMicro())
	i["ts"], i["w"] = &types.AttributeValueMemberN{Value: stamp(e.Time)}, str(nonce)
	for name, v := range map[string]string{"i": e.ID, "t": e.Type, "s": e.Source, "u": e.Subject, "o": w.Origin} {
		if v != "" {
			i[name] = str(escape(v))
		}
	}
	if len(e.Metadata) > 0 {
		i["m"] = bin(e.Metadata)
	}
	if len(body) > 0 {
		i["b"] = bin(body)
	}
	if len(body) > mostBody {
		i["b"], i["z"] = bin(squeeze(body)), num(int64(len(body)))
	}
	if len(ws) == 1 {
		return i, nil
	}
	more := make([]rest, len(ws)-1)
	for n, w := range ws[1:] {
		e := plan.Normal(*w.Event, committed)
		body, shape := plan.Fold(&e)
		more[n] = rest{
			Type: escape(e.Type), ID: escape(e.ID), Source: escape(e.Source), Subject: escape(e.Subject), Time: stamp(e.Time),
			Shape: shape.Word(), Metadata: e.Metadata, Body: body,
		}
	}
	b, err := json.Marshal(more)
	i["n"], i["x"] = num(int64(len(ws))), bin(b)
	return i, err
}

// stamp is a time in seconds with nine decimals, which sorts and which DynamoDB's numbers hold exactly.
func stamp(t time.Time) string {
	s, n := t.Unix(), t.Nanosecond()
	if s < 0 && n > 0 {
		s, n = s+1, 1_000_000_000-n
		if s == 0 {
			return fmt.Sprintf("-0.%09d", n)
		}
	}
	return fmt.Sprintf("%d.%09d", s, n)
}

func unstamp(s string) time.Time {
	negative := strings.HasPrefix(s, "-")
	whole, part, _ := strings.Cut(strings.TrimPrefix(s, "-"), ".")
	sec, _ := strconv.ParseInt(whole, 10, 64)
	part = (part + "000000000")[:9]
	ns, _ := strconv.ParseInt(part, 10, 64)
	if negative {
		sec, ns = -sec, -ns
	}
	return time.Unix(sec, ns).UTC()
}

// eventsOf reads an item of the log.
func eventsOf(i item) ([]event.Recorded, error) {
	position, err := strconv.ParseInt(text(i, sk), 10, 64)
	if err != nil {
		return nil, fmt.Errorf("%w: an item of the log has the sort key %q", eventstore.ErrCorrupt, text(i, sk))
	}
	ts, _ := i["ts"].(*types.AttributeValueMemberN)
	if ts == nil {
		return nil, fmt.Errorf("%w: event %d has no time", eventstore.ErrCorrupt, position)
	}
	first := event.Recorded{
		Stream: event.Stream{Type: unescape(text(i, "st")), ID: unescape(text(i, "si"))}, Revision: number(i, "r"), Position: position,
		Committed: time.UnixMicro(number(i, "c")).UTC(), Origin: unescape(text(i, "o")),
	}
	first.ID, first.Type, first.Source, first.Subject = unescape(text(i, "i")), unescape(text(i, "t")), unescape(text(i, "s")), unescape(text(i, "u"))
	first.Time, first.Metadata = unstamp(ts.Value), blob(i, "m")
	body, err := unsqueeze(blob(i, "b"), number(i, "z"))
	if err != nil {
		return nil, fmt.Errorf("%w: event %d: %w", eventstore.ErrCorrupt, position, err)
	}
	if !plan.ShapeOf(number(i, "h")).Unfold(body, &first.Event) {
		return nil, fmt.Errorf("%w: event %d does not fit its shape", eventstore.ErrCorrupt, position)
	}
	out := []event.Recorded{first}
	if number(i, "n") < 2 {
		return out, nil
	}
	var more []rest
	if err := json.Unmarshal(blob(i, "x"), &more); err != nil {
		return nil, fmt.Errorf("%w: the events behind %d: %w", eventstore.ErrCorrupt, position, err)
	}
	for n, r := range more {
		e := event.Recorded{
			Stream: first.Stream, Revision: first.Revision + int64(n) + 1, Position: position + int64(n) + 1, Committed: first.Committed, Origin: first.Origin,
		}
		e.ID, e.Type, e.Source, e.Subject = unescape(r.ID), unescape(r.Type), unescape(r.Source), unescape(r.Subject)
		e.Time, e.Metadata = unstamp(r.Time), r.Metadata
		if !plan.ShapeOf(r.Shape).Unfold(r.Body, &e.Event) {
			return nil, fmt.Errorf("%w: event %d does not fit its shape", eventstore.ErrCorrupt, e.Position)
		}
		out = append(out, e)
	}
	return out, nil
}
