package dynamodb

import (
	"errors"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// Fate is what a transaction that gave an error has come to, as far as its rows tell.
type Fate int

// The fates.
const (
	// Unknown: the rows tell nothing. The error is about the caller's own items, or there was no answer.
	Unknown Fate = iota
	// Committed: it was committed before, by the same call whose answer was lost.
	Committed
	// Taken: nothing was written, as another event had the id of one of the rows. Make the rows anew and try again; a
	// publisher of a thousand events a second beside another of a thousand meets this once in an hour.
	Taken
)

// FateOf says what became of a transaction with rows. The SDK repeats a call whose answer is lost under the same
// ClientRequestToken, for ten minutes; where the caller repeats it by itself, with a token of its own or after that
// time, the rows still tell whether it had been committed, until leat has taken them away.
func FateOf(in *dynamodb.TransactWriteItemsInput, err error) Fate {
	var c *types.TransactionCanceledException
	if !errors.As(err, &c) {
		return Unknown
	}
	for i, r := range c.CancellationReasons {
		if i >= len(in.TransactItems) || r.Code == nil || *r.Code != "ConditionalCheckFailed" {
			continue
		}
		if row, ours := rowOf(in, i); ours {
			if text(r.Item["event"]) == text(row["event"]) {
				return Committed
			}
			return Taken
		}
	}
	return Unknown
}

// busy reports a transaction that was cancelled because others were under way, or for want of capacity.
func busy(err error) bool {
	var c *types.TransactionCanceledException
	if !errors.As(err, &c) {
		return false
	}
	for _, r := range c.CancellationReasons {
		if r.Code == nil {
			continue
		}
		switch *r.Code {
		case "TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded":
			return true
		}
	}
	return false
}
