// Package ndjson writes JSON values one on each line, for the sinks that do so.
package ndjson

import (
	"bytes"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/rawjson"
)

// AppendLine appends a JSON value and a newline. A value that has line breaks of its own loses the white space between
// its parts; any other stays as it is, byte for byte.
func AppendLine(dst, value []byte) []byte {
	if bytes.IndexByte(value, '\n') < 0 && bytes.IndexByte(value, '\r') < 0 {
		return append(append(dst, value...), '\n')
	}
	for i := 0; i < len(value); {
		switch c := value[i]; c {
		case ' ', '\t', '\n', '\r':
			i++
		case '"':
			end, _ := rawjson.SkipString(value, i)
			if end < 0 {
				end = len(value) // no JSON: what is there goes out
			}
			dst = append(dst, value[i:end]...)
			i = end
		default:
			dst = append(dst, c)
			i++
		}
	}
	return append(dst, '\n')
}

// AppendBatch appends each event's Raw as a line.
func AppendBatch(dst []byte, batch []event.Recorded) []byte {
	for i := range batch {
		dst = AppendLine(dst, batch[i].Raw)
	}
	return dst
}
