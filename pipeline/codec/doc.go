// Package codec takes the bodies of events apart and puts them together again.
//
// It knows four shapes: EventBridge's event, CloudEvents 1.0 in structured JSON, SNS notifications (with any of the
// others inside), and plain JSON, all of which is data. Decode validates a body and finds the parts of its envelope in
// one pass, without copying; Encode writes an event in the shape that a forward asks for; FillMetadata gathers what an
// envelope says beyond the names that every event has.
//
// Where a key stands twice in an object, the last one counts. All functions are safe for concurrent use on different
// events. The package imports event, pattern and rawjson.
package codec
