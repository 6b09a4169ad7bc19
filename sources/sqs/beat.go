package sqs

import (
	"context"
	"strconv"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/leatdev/leat/pipeline/aws"
)

// beatCalls is how many calls extend visibility at a time.
const beatCalls = 4

// beat extends the visibility of all that is in hand until ctx is done. A message has its turn when less than half of
// its time is left, looked at each eighth, so a call that fails has others behind it.
func (h *hand) beat(ctx context.Context) {
	every := time.NewTicker(max(h.s.visibility/8, 100*time.Millisecond))
	defer every.Stop()
	for {
		select {
		case <-every.C:
			h.extend(ctx, time.Now())
		case <-ctx.Done():
			return
		}
	}
}

type beatEntry struct {
	m      *held
	handle string
}

func (h *hand) extend(ctx context.Context, now time.Time) {
	var due []beatEntry
	h.mu.Lock()
	for _, m := range h.held {
		if !m.lost && m.until.Sub(now) < h.s.visibility/2 {
			m.beat = make(chan struct{})
			due = append(due, beatEntry{m, m.handle})
		}
	}
	h.mu.Unlock()
	var calls sync.WaitGroup
	slots := make(chan struct{}, beatCalls)
	for len(due) > 0 {
		n := min(most, len(due))
		some := due[:n]
		due = due[n:]
		slots <- struct{}{}
		calls.Go(func() {
			h.extendBatch(ctx, some)
			<-slots
		})
	}
	calls.Wait()
}

func (h *hand) extendBatch(ctx context.Context, some []beatEntry) {
	ctx, cancel := context.WithTimeout(ctx, max(h.s.visibility/4, time.Second))
	defer cancel()
	in := &sqs.ChangeMessageVisibilityBatchInput{QueueUrl: &h.s.url, Entries: make([]types.ChangeMessageVisibilityBatchRequestEntry, len(some))}
	for i := range some {
		id := strconv.Itoa(i)
		in.Entries[i] = types.ChangeMessageVisibilityBatchRequestEntry{Id: &id, ReceiptHandle: &some[i].handle, VisibilityTimeout: int32(h.s.visibility / time.Second)}
	}
	now := time.Now()
	h.s.counts.Calls.Add(1)
	out, err := h.s.client.ChangeMessageVisibilityBatch(ctx, in)
	lost := 0
	h.mu.Lock()
	for _, e := range some {
		close(e.m.beat)
		e.m.beat = nil
	}
	if err != nil {
		h.mu.Unlock()
		return // the next beat tries again
	}
	for _, ok := range out.Successful {
		if e := entryOf(some, ok.Id); e != nil && e.m.handle == e.handle {
			e.m.until = now.Add(h.s.visibility)
			h.s.counts.Extended.Add(1)
		}
	}
	for _, failed := range out.Failed {
		e := entryOf(some, failed.Id)
		if e == nil || aws.KindOfCode(text(failed.Code)) != aws.Invalid || e.m.handle != e.handle || h.held[e.m.id] != e.m {
			continue
		}
		e.m.lost = true
		lost++
	}
	h.mu.Unlock()
	if lost > 0 {
		h.s.counts.Lost.Add(int64(lost))
		h.s.log.Warn("sqs: messages became visible while they were in hand; they come again and are duplicates then", "messages", lost)
	}
}

func entryOf[T any](entries []T, id *string) *T {
	i, err := strconv.Atoi(text(id))
	if err != nil || i < 0 || i >= len(entries) {
		return nil
	}
	return &entries[i]
}
