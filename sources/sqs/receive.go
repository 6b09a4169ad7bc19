package sqs

import (
	"context"
	"sync"
	"time"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/leatdev/leat/pipeline/aws"
	"github.com/leatdev/leat/pipeline/event"
)

// most is what a call takes: messages of a receive, entries of a batch.
const most = 10

// pool is the receivers of a source. One more starts when a receive comes back full while the pipeline keeps up; one
// above the minimum ends when a receive comes back empty, or almost so three times in a row.
type pool struct {
	s   *Source
	ctx context.Context

	mu       sync.Mutex
	n        int
	failures int // in a row, over all receivers
	warned   time.Time
}

func (p *pool) start(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for range n {
		p.n++
		p.s.counts.Receivers.Store(int64(p.n))
		p.s.received.Go(p.run)
	}
}

// leave reports whether a receiver ends, and notes it.
func (p *pool) leave() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.n <= p.s.cfg.Receivers.Min {
		return false
	}
	p.n--
	p.s.counts.Receivers.Store(int64(p.n))
	return true
}

func (p *pool) grow() {
	p.mu.Lock()
	more := p.n < p.s.cfg.Receivers.Max
	p.mu.Unlock()
	if more && p.ctx.Err() == nil {
		p.start(1)
	}
}

func (p *pool) run() {
	s := p.s
	in := &sqs.ReceiveMessageInput{
		QueueUrl: &s.url, MaxNumberOfMessages: most, WaitTimeSeconds: int32(s.cfg.Wait / time.Second),
		MessageAttributeNames: []string{"All"}, MessageSystemAttributeNames: []types.MessageSystemAttributeName{types.MessageSystemAttributeNameAll},
	}
	if s.cfg.Visibility > 0 {
		in.VisibilityTimeout = int32(s.cfg.Visibility / time.Second)
	}
	for thin := 0; s.hand.room(p.ctx); {
		s.counts.Receives.Add(1)
		s.counts.Calls.Add(1)
		if s.fifo && in.ReceiveRequestAttemptId == nil {
			in.ReceiveRequestAttemptId = awssdk.String(event.NewID())
		}
		out, err := p.receive(in)
		if p.ctx.Err() != nil && err != nil {
			return
		}
		if err != nil {
			if !p.failed(err) {
				return
			}
			continue
		}
		// The next receive is another. One that failed is asked for again: its answer may be what was lost, and with it its
		// groups would stay locked until its visibility ends.
		in.ReceiveRequestAttemptId = nil
		p.worked()
		n := len(out.Messages)
		s.counts.Received.Add(int64(n))
		now := time.Now()
		keepsUp := s.hand.take(s.bodies(p.ctx, out.Messages), now)
		switch {
		case n == most:
			thin = 0
			if keepsUp {
				p.grow()
			}
		case n == 0, thin == 2:
			if p.leave() {
				return
			}
			thin = 0
			if n == 0 && s.cfg.Wait == 0 && !sleep(p.ctx, time.Second) { // short polling is no hot loop
				return
			}
		case n < most/2:
			thin++
		}
	}
}

// settling is how long a receive that has just begun may go on after the stop. Broken off, it would leave what the queue
// has handed out by then hidden until its visibility ends; one that has waited for longer found the queue empty.
const settling = 250 * time.Millisecond

func (p *pool) receive(in *sqs.ReceiveMessageInput) (*sqs.ReceiveMessageOutput, error) {
	began := time.Now()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(p.ctx), p.s.cfg.Wait+30*time.Second)
	defer cancel()
	unhook := context.AfterFunc(p.ctx, func() {
		defer cancel()
		sleep(ctx, p.s.settling-time.Since(began))
	})
	defer unhook()
	return p.s.client.ReceiveMessage(ctx, in)
}

// failed waits after a failed receive; all receivers but one end meanwhile. False: it was the last, or one too many.
func (p *pool) failed(err error) bool {
	s := p.s
	s.counts.Failed.Add(1)
	p.mu.Lock()
	p.failures++
	n := p.failures
	say := n == 1 || time.Since(p.warned) >= 30*time.Second
	if say {
		p.warned = time.Now()
	}
	spare := p.n > 1
	if spare {
		p.n--
		s.counts.Receivers.Store(int64(p.n))
	}
	p.mu.Unlock()
	explained := aws.Explain(err, "queue "+s.cfg.Queue, "sqs:ReceiveMessage")
	if say {
		s.log.Error("sqs: cannot receive; trying again", "error", explained, "attempt", n)
	}
	first := 100 * time.Millisecond
	switch aws.KindOf(err) {
	case aws.Missing, aws.Denied, aws.Invalid: // it takes somebody to mend it
		first = time.Second
		s.trouble(explained)
	default:
		if n >= degradedAfter {
			s.trouble(explained)
		}
	}
	if spare {
		return false
	}
	return sleep(p.ctx, backoff(n, first, 30*time.Second))
}

// degradedAfter is how many receives in a row fail before the pipeline counts as degraded: single ones are weather.
const degradedAfter = 3

// trouble tells the daemon what keeps the source from reading; nil: nothing does.
func (s *Source) trouble(err error) {
	if s.env.Trouble != nil {
		s.env.Trouble(err)
	}
}

// worked notes a receive that went well, and brings back the receivers that a failure ended.
func (p *pool) worked() {
	p.mu.Lock()
	was := p.failures
	p.failures = 0
	missing := p.s.cfg.Receivers.Min - p.n
	p.mu.Unlock()
	if was > 0 {
		p.s.trouble(nil)
		p.s.log.Info("sqs: receives again", "failures", was)
	}
	if missing > 0 && p.ctx.Err() == nil {
		p.start(missing)
	}
}
