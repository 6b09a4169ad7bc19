package dynamodb

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// An id is the count of microseconds since 2020, good until 2091, and twelve random bits, so that two publishers hardly
// ever make the same one.
const randomBits = 12

var epoch = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)

func idAt(t time.Time) int64 { return t.Sub(epoch).Microseconds() << randomBits }

// maxAhead bounds how far what After names may be ahead of the clock: ids go on behind it.
const maxAhead = 24 * time.Hour

// sequence gives ids that rise. The zero value is ready; it is safe for concurrent use.
type sequence struct {
	mu   sync.Mutex
	last int64
}

// take gives the first of n ids in a row, above all that were given and above after.
func (s *sequence) take(now time.Time, after int64, n int) (int64, error) {
	if after > idAt(now.Add(maxAhead)) {
		return 0, fmt.Errorf("outbox: the row %d to come after is more than a day ahead of the clock", after)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	id := idAt(now) | rand.Int64N(1<<randomBits)
	if low := max(s.last, after); id <= low {
		// Some room, as whoever comes behind the same row counts from there too.
		id = low + 1 + rand.Int64N(1<<randomBits)
	}
	s.last = id + int64(n) - 1
	return id, nil
}

type afterKey struct{}

// After notes in a context that rows made with it come behind the row with that id; see Last.
func After(ctx context.Context, id int64) context.Context {
	return context.WithValue(ctx, afterKey{}, id)
}

// Last gives the highest id among a transaction's rows, 0 where there are none: what an application keeps, in the same
// transaction, beside that which several processes change in turn.
func Last(in *dynamodb.TransactWriteItemsInput) (last int64) {
	for i := range in.TransactItems {
		if row, ok := rowOf(in, i); ok {
			id, _ := strconv.ParseInt(text(row["sk"]), 10, 64)
			last = max(last, id)
		}
	}
	return last
}

// rowOf gives an item of a transaction if it is one that a publisher has made.
func rowOf(in *dynamodb.TransactWriteItemsInput, i int) (map[string]types.AttributeValue, bool) {
	p := in.TransactItems[i].Put
	if p == nil || text(p.Item["pk"]) != partition || p.Item["event"] == nil || p.ConditionExpression != &absent {
		return nil, false
	}
	return p.Item, true
}

func text(v types.AttributeValue) string {
	s, _ := v.(*types.AttributeValueMemberS)
	if s == nil {
		return ""
	}
	return s.Value
}
