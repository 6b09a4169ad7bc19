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

const (
	// settleCalls is how many deletes and returns are under way at a time.
	settleCalls = 8
	// linger is how long a delete waits for others to share its call.
	linger = 20 * time.Millisecond
	// deleteAttempts is how often one message's delete is tried: more than a minute with its waits.
	deleteAttempts = 20
	// backlog is how many deletes may wait before nothing more is received.
	backlog = 2000
)

// back is a message that is to become visible after a wait.
type back struct {
	handle string
	after  time.Duration
}

// settler deletes and gives back, ten in a call. Delete and giveBack do not block.
type settler struct {
	s   *Source
	ctx context.Context

	mu      sync.Mutex
	deletes []*held
	backs   []back
	running int           // goroutines that call
	open    int           // messages waiting or in a call
	due     bool          // a part of ten goes too
	timer   bool          // one is set to say so
	changed chan struct{} // closed and made anew when open falls
	warned  time.Time
}

func newSettler(ctx context.Context, s *Source) *settler {
	return &settler{s: s, ctx: ctx, changed: make(chan struct{})}
}

func (d *settler) delete(m *held) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.open++
	d.deletes = append(d.deletes, m)
	d.schedule()
}

// giveBack makes a message visible after a wait, once beat is closed: a call under way that extends it would undo that.
func (d *settler) giveBack(handle string, after time.Duration, beat <-chan struct{}) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.open++
	add := func() {
		d.backs = append(d.backs, back{handle, after})
		d.schedule()
	}
	if beat == nil {
		add()
		return
	}
	go func() {
		<-beat
		d.mu.Lock()
		defer d.mu.Unlock()
		add()
	}()
}

// schedule starts calls for what is full or due, and sees that the rest becomes due.
func (d *settler) schedule() {
	for d.running < settleCalls {
		deletes, backs := d.takeSome()
		if deletes == nil && backs == nil {
			break
		}
		d.running++
		go d.run(deletes, backs)
	}
	if !d.due && !d.timer && len(d.deletes)+len(d.backs) > 0 && d.running < settleCalls {
		d.timer = true
		time.AfterFunc(linger, func() {
			d.mu.Lock()
			defer d.mu.Unlock()
			d.timer, d.due = false, len(d.deletes)+len(d.backs) > 0
			d.schedule()
		})
	}
}

func (d *settler) takeSome() (deletes []*held, backs []back) {
	switch {
	case len(d.deletes) >= most || d.due && len(d.deletes) > 0:
		n := min(most, len(d.deletes))
		deletes = append(deletes, d.deletes[:n]...)
		d.deletes = append(d.deletes[:0], d.deletes[n:]...)
	case len(d.backs) >= most || d.due && len(d.backs) > 0:
		n := min(most, len(d.backs))
		backs = append(backs, d.backs[:n]...)
		d.backs = append(d.backs[:0], d.backs[n:]...)
	}
	if len(d.deletes)+len(d.backs) == 0 {
		d.due = false
	}
	return deletes, backs
}

// run makes calls until nothing is full or due.
func (d *settler) run(deletes []*held, backs []back) {
	for deletes != nil || backs != nil {
		if deletes != nil {
			d.deleteAll(deletes)
		} else {
			d.giveAllBack(backs)
		}
		d.mu.Lock()
		d.open -= len(deletes) + len(backs)
		close(d.changed)
		d.changed = make(chan struct{})
		deletes, backs = d.takeSome()
		if deletes == nil && backs == nil {
			d.running--
			d.schedule()
		}
		d.mu.Unlock()
	}
}

// keepsUp waits while too many deletes wait; false where ctx is done.
func (d *settler) keepsUp(ctx context.Context) bool {
	for {
		d.mu.Lock()
		open, changed := d.open, d.changed
		d.mu.Unlock()
		if open < backlog {
			return true
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return false
		}
	}
}

// finish waits until nothing is open, at most for d, and gives what is left.
func (d *settler) finish(within time.Duration) int {
	limit := time.NewTimer(within)
	defer limit.Stop()
	for {
		d.mu.Lock()
		d.due = len(d.deletes)+len(d.backs) > 0
		d.schedule()
		open, changed := d.open, d.changed
		d.mu.Unlock()
		if open == 0 {
			return 0
		}
		select {
		case <-changed:
		case <-limit.C:
			return open
		}
	}
}

// deleteAll deletes, and tries again what failed: meanwhile the message stays in hand and hidden.
func (d *settler) deleteAll(left []*held) {
	for n := 1; ; n++ {
		left = d.deleteSome(left)
		if len(left) == 0 {
			return
		}
		d.s.counts.DeleteFailed.Add(int64(len(left)))
		if n == deleteAttempts || !sleep(d.ctx, backoff(n, 100*time.Millisecond, 5*time.Second)) {
			break
		}
	}
	d.s.counts.Undeleted.Add(int64(len(left)))
	if d.ctx.Err() == nil {
		d.s.log.Warn("sqs: could not delete messages; they come again and are duplicates then", "messages", len(left))
	}
	for _, m := range left {
		d.s.hand.forget(m)
	}
}

func (d *settler) deleteSome(some []*held) (left []*held) {
	ctx, cancel := context.WithTimeout(d.ctx, 30*time.Second)
	defer cancel()
	in := &sqs.DeleteMessageBatchInput{QueueUrl: &d.s.url, Entries: make([]types.DeleteMessageBatchRequestEntry, len(some))}
	for i, m := range some {
		id, handle := strconv.Itoa(i), d.s.hand.handle(m)
		in.Entries[i] = types.DeleteMessageBatchRequestEntry{Id: &id, ReceiptHandle: &handle}
	}
	d.s.counts.Calls.Add(1)
	out, err := d.s.client.DeleteMessageBatch(ctx, in)
	if err != nil {
		if k := aws.KindOf(err); k == aws.Denied || k == aws.Invalid {
			d.say(err)
		} else if k == aws.Missing { // the queue is gone, and its messages with it
			d.forget(some)
			return nil
		}
		return some
	}
	for _, ok := range out.Successful {
		if m := entryOf(some, ok.Id); m != nil {
			d.s.counts.Deleted.Add(1)
			d.s.hand.forget(*m)
			d.s.objects.remove((*m).object)
		}
	}
	for _, failed := range out.Failed {
		m := entryOf(some, failed.Id)
		switch {
		case m == nil:
		case aws.KindOfCode(text(failed.Code)) == aws.Invalid: // the handle is not taken any more: it comes again
			d.s.counts.Lost.Add(1)
			d.s.hand.forget(*m)
		default:
			left = append(left, *m)
		}
	}
	return left
}

// say logs why nothing is deleted, now and then.
func (d *settler) say(err error) {
	d.mu.Lock()
	now := time.Now()
	silent := now.Sub(d.warned) < 30*time.Second
	if !silent {
		d.warned = now
	}
	d.mu.Unlock()
	if !silent {
		d.s.log.Error("sqs: cannot delete; trying again", "error", aws.Explain(err, "queue "+d.s.cfg.Queue, "sqs:DeleteMessage"))
	}
}

func (d *settler) forget(some []*held) {
	for _, m := range some {
		d.s.hand.forget(m)
	}
}

// giveAllBack makes messages visible, at once or later. Where it fails after a few tries they become so by themselves
// when their time is over.
func (d *settler) giveAllBack(left []back) {
	for n := 1; len(left) > 0 && n <= 4; n++ {
		if n > 1 && !sleep(d.ctx, backoff(n, 100*time.Millisecond, time.Second)) {
			return
		}
		left = d.giveSomeBack(left)
	}
}

func (d *settler) giveSomeBack(some []back) (left []back) {
	ctx, cancel := context.WithTimeout(d.ctx, 10*time.Second)
	defer cancel()
	in := &sqs.ChangeMessageVisibilityBatchInput{QueueUrl: &d.s.url, Entries: make([]types.ChangeMessageVisibilityBatchRequestEntry, len(some))}
	for i := range some {
		id := strconv.Itoa(i)
		in.Entries[i] = types.ChangeMessageVisibilityBatchRequestEntry{Id: &id, ReceiptHandle: &some[i].handle, VisibilityTimeout: int32(some[i].after / time.Second)}
	}
	d.s.counts.Calls.Add(1)
	out, err := d.s.client.ChangeMessageVisibilityBatch(ctx, in)
	if err != nil {
		return some
	}
	d.s.counts.Returned.Add(int64(len(out.Successful)))
	for _, failed := range out.Failed {
		if b := entryOf(some, failed.Id); b != nil && aws.KindOfCode(text(failed.Code)) != aws.Invalid {
			left = append(left, *b)
		}
	}
	return left
}
