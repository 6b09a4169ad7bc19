package wire

import (
	"encoding/json"
	"fmt"
	"strconv"
)

// Expect is an append's expectation as it is written: any, no_stream, stream_exists, or a revision, which may be a number
// too: clients of other stores write it so.
type Expect string

// UnmarshalJSON implements json.Unmarshaler.
func (e *Expect) UnmarshalJSON(b []byte) error {
	var n int64
	if err := json.Unmarshal(b, &n); err == nil && string(b) != "null" {
		*e = Expect(strconv.FormatInt(n, 10))
		return nil
	}
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return fmt.Errorf("expect is any, no_stream, stream_exists or a revision, not %s", b)
	}
	*e = Expect(s)
	return nil
}
