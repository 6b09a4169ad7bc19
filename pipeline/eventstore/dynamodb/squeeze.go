package dynamodb

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"

	"github.com/leatdev/leat/pipeline/eventstore"
)

// A shared table has events of nearly 400 KB, and a payload that is no JSON grows by its quotes. So that none of them is
// left out for a few bytes, what the log's item cannot hold is compressed there. What leat itself appends is refused
// before (tooLarge), as the shared table could not hold it either.

// mostBody is how much of an event's bytes an item holds beside all else.
const mostBody = maxItem - 1024

func squeeze(body []byte) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write(body) // into memory
	_ = z.Close()
	return b.Bytes()
}

// unsqueeze gives a body back; size 0: it was not compressed.
func unsqueeze(b []byte, size int64) ([]byte, error) {
	if size == 0 {
		return b, nil
	}
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	out, err := io.ReadAll(io.LimitReader(z, size+1))
	if err == nil && int64(len(out)) != size {
		err = fmt.Errorf("a body of %d bytes where %d belong", len(out), size)
	}
	return out, err
}

// unfit refuses to take an event in that does not go into an item even compressed.
func unfit(u *eventstore.Unit) error {
	for i := range u.Appends {
		for j := range u.Appends[i].Events {
			e := &u.Appends[i].Events[j]
			if len(e.Data) > mostBody && len(squeeze(e.Data)) > mostBody {
				return fmt.Errorf("%w: an event of stream %s has %d bytes, which the log's item cannot hold even compressed", eventstore.ErrTooLarge, u.Appends[i].Stream, len(e.Data))
			}
		}
	}
	return nil
}
