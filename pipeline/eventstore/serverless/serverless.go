// Package serverless says what an event of serverless-event-store (github.com/ilia-tolliu/serverless-event-store) is in
// leat, and the other way round: there a payload is any text, here it is one JSON value. The HTTP API's routes and the
// store that shares that system's table go by the same rules, so that it does not matter by which of them an event came.
package serverless

import (
	"bytes"
	"encoding/json"
	"strings"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/leatdev/leat/pipeline/event"
)

// Origin is the origin of events that serverless-event-store's own Lambda wrote. Their Time is its CreatedAt, which is
// the time of their commit there; Committed is when leat found them. No pipeline is called so.
const Origin = "$serverless-event-store"

// mark is the field of the metadata of an event whose payload was text and not JSON.
const mark = "payload"

// SetPayload gives an event a payload. One that is JSON is kept as it is, so that pipelines can read it; any other text
// is kept as a JSON string, with a mark in the metadata.
func SetPayload(e *event.Event, payload string) error {
	e.Data, e.Metadata = []byte(payload), nil
	if strings.TrimSpace(payload) == payload && json.Valid(e.Data) {
		return nil
	}
	e.Metadata = []byte(`{"` + mark + `":"text"}`)
	var err error
	e.Data, err = json.Marshal(payload)
	return err
}

// Payload gives an event's payload as serverless-event-store has it.
func Payload(e *event.Event) string {
	var fields map[string]json.RawMessage
	if bytes.Contains(e.Metadata, []byte(mark)) && json.Unmarshal(e.Metadata, &fields) == nil && string(fields[mark]) == `"text"` {
		var text string
		if json.Unmarshal(e.Data, &text) == nil {
			return text
		}
	}
	return string(e.Data)
}

// Names reports whether serverless-event-store could have a stream of that name: the id is a UUID as it writes them. It
// answers no request for another one, and one among the streams of a type would make its list of that type fail.
func Names(s event.Stream) bool {
	if s.Type == "" || strings.HasPrefix(s.Type, "$") || !utf8.ValidString(s.Type) {
		return false
	}
	id, err := uuid.Parse(s.ID)
	return err == nil && id.String() == s.ID
}
