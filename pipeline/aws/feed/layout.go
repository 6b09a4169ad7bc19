package feed

import (
	"context"
	"time"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/pipeline/aws"
)

// Layout is a source's queue with the two beside it for what goes wrong, as they are made.
type Layout struct {
	Queue      string        // a name; to look only, an URL or ARN as well
	Visibility time.Duration // of a new queue; 0: 60 s
	DeadLetters
	// Service is the principal that sends to the queue, and what it cannot deliver to the queue beside it.
	Service string
	// FIFOUndelivered: what cannot be delivered to a FIFO queue goes to one.
	FIFOUndelivered bool
	// Deduplicate: a FIFO queue tells repeats by their bodies.
	Deduplicate bool
}

func (l Layout) undelivered() string {
	at, err := aws.ParseQueue(l.Queue)
	return l.UndeliveredOf(l.Queue, l.FIFOUndelivered && err == nil && at.FIFO())
}

// Make makes what is missing, and notes what it did. It gives the queue and the one of what cannot be delivered to it.
func (l Layout) Make(ctx context.Context, queues *Queues, done *[]string) (queue, undelivered *Queue, err error) {
	failed, err := queues.make(ctx, done, Spec{Name: l.FailedOf(l.Queue)})
	if err != nil {
		return nil, nil, err
	}
	if undelivered, err = queues.make(ctx, done, Spec{Name: l.undelivered()}); err != nil {
		return nil, nil, err
	}
	queue, err = queues.make(ctx, done, Spec{Name: l.Queue, Visibility: l.Visibility, Dead: failed.ARN, Receives: l.ReceivesOr(), Deduplicate: l.Deduplicate})
	return queue, undelivered, err
}

// Templates gives the three to be deployed: the queue, that of what was received too often, that of what cannot be
// delivered.
func (l Layout) Templates() (queue, failed, undelivered Template) {
	at, _ := aws.ParseQueue(l.Queue) // its form is known
	failed = Template{Name: l.FailedOf(l.Queue)}
	undelivered = Template{Name: l.undelivered(), Service: l.Service}
	queue = Template{Name: at.Name, Visibility: l.Visibility, Dead: failed.Name, Receives: l.ReceivesOr(), Service: l.Service, Deduplicate: l.Deduplicate}
	return queue, failed, undelivered
}

// Rights are those that it takes to make them.
func (l Layout) Rights(s aws.Settings) config.Statement {
	return config.Allow("MakeTheQueues", []string{"sqs:CreateQueue", "sqs:GetQueueUrl", "sqs:GetQueueAttributes", "sqs:SetQueueAttributes", "sqs:TagQueue", "sqs:ListQueueTags"},
		s.QueueARN(l.Queue), s.QueueARN(l.undelivered()), s.QueueARN(l.FailedOf(l.Queue)))
}
