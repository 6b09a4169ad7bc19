package cmd

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/watch"
)

// looking is how a queue is watched.
type looking struct {
	most   int
	follow bool
	every  time.Duration
	force  bool
	since  string
	from   time.Time
}

func (a *app) tailQueue() *cobra.Command {
	var (
		t tailing
		s cloudFlags
		l looking
	)
	c := &cobra.Command{
		Use:   "queue NAME",
		Short: "Look into an SQS queue without taking anything out",
		Long: `Show the messages that wait in a queue, by its name, URL or ARN; --follow looks again and again and
shows what is new. Nothing is deleted: what is received is held for the length of the look, ten
seconds at most, and made visible again.

SQS counts each look as a receive. A queue with a redrive policy moves a message to its dead-letter
queue once it was received too often, so that a queue that allows one receive is not looked into, and
none with such a policy is followed, unless --force says so. Of a FIFO queue's group the first
messages are shown, and consumers wait for the group while the look lasts.`,
		Example: `  leat tail queue orders-dlq
  leat tail queue orders.fifo --max 10 --expr 'data.amount > 500'
  leat tail queue https://sqs.eu-west-1.amazonaws.com/123456789012/orders --follow -o json`,
		Args: usageArgs(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			if err := t.prepare(a, true); err != nil {
				return err
			}
			var err error
			if l.from, err = since(l.since, a.now()); err != nil {
				return err
			}
			if l.most < 1 || l.every < time.Second {
				return usagef("--max counts from 1, and --every is a second or more")
			}
			if cloud, err := watch.Registered(); err == nil { // dial says that there is none
				if err := cloud.CheckQueue(args[0]); err != nil {
					return usagef("%w", err)
				}
			}
			return a.watchQueue(c.Context(), &t, &s, &l, args[0])
		},
	}
	t.flags(c)
	s.flags(c)
	c.Flags().IntVar(&l.most, "max", 100, "look at so many messages at a time")
	c.Flags().BoolVarP(&l.follow, "follow", "f", false, "look again and again")
	c.Flags().DurationVar(&l.every, "every", 5*time.Second, "with --follow: how long to wait between two looks")
	c.Flags().StringVar(&l.since, "since", "", "only what was sent since then: a time (RFC 3339, or a date) or a span (2h, 3d)")
	c.Flags().BoolVar(&l.force, "force", false, "look although the redrive policy may move messages because of it")
	return c
}

func (a *app) watchQueue(ctx context.Context, t *tailing, s *cloudFlags, l *looking, name string) error {
	ctx, stop := a.untilHangup(ctx)
	defer stop()
	cloud, session, err := s.dial(ctx)
	if err != nil {
		return err
	}
	defer session.Close()
	queue, err := session.Queue(ctx, name)
	if err != nil {
		return cloudFailed(cloud, err)
	}
	q := queue.Facts()
	if q.MaxReceives > 0 && !l.force {
		switch {
		case l.follow:
			return usagef("queue %s moves a message to %s after %s, and every look is one: it is not followed (--force does it all the same)", q.Name, q.Dead, count(int64(q.MaxReceives), "receive"))
		case q.MaxReceives == 1:
			return usagef("queue %s moves a message to %s after one receive, and a look is one (--force looks all the same)", q.Name, q.Dead)
		}
	}
	a.say("queue %s: about %s waiting, %s in flight, %s delayed; a look counts as a receive", q.Name, number(int64(q.Waiting)), number(int64(q.InFlight)), number(int64(q.Delayed)))
	seen := map[string]bool{}
	return a.follow(ctx, t, func(ctx context.Context, show func(*tailed) error) error {
		for {
			looked, err := queue.Look(ctx, l.most, func(m watch.Message) error {
				if seen[m.ID] || m.Sent.Before(l.from) {
					return nil
				}
				seen[m.ID] = true
				return show(ofQueue(&m))
			})
			a.sayLooked(&q, l, &looked)
			if err != nil {
				return cloudFailed(cloud, err)
			}
			if !l.follow {
				return nil
			}
			if err := pause(ctx, l.every); err != nil {
				return err
			}
		}
	})
}

func (a *app) sayLooked(q *watch.About, l *looking, looked *watch.Looked) {
	if looked.Unreleased > 0 {
		a.say("%s could not be made visible again and will be within 30 seconds", count(int64(looked.Unreleased), "message"))
	}
	if looked.Last > 0 {
		a.say("%s received as often as the queue allows: the next receive moves them to %s", count(int64(looked.Last), "message"), q.Dead)
	}
	if looked.More && !l.follow {
		a.say("there may be more: --max was reached, or the look took ten seconds")
	}
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// message is a message of a queue as it is written.
type message struct {
	ID            string            `json:"message_id"`
	Sent          time.Time         `json:"sent,omitzero"`
	FirstReceived time.Time         `json:"first_received,omitzero"`
	Receives      int               `json:"receives"`
	Group         string            `json:"group,omitempty"`
	Dedup         string            `json:"deduplication_id,omitempty"`
	Sequence      string            `json:"sequence,omitempty"`
	Sender        string            `json:"sender,omitempty"`
	Trace         string            `json:"trace,omitempty"`
	Attributes    map[string]string `json:"attributes,omitempty"`
	// Body is the body, as JSON where it is; else BodyText has it.
	Body     json.RawMessage `json:"body,omitempty"`
	BodyText *string         `json:"body_text,omitempty"`
}

func ofQueue(m *watch.Message) *tailed {
	w := &message{
		ID: m.ID, Sent: m.Sent, FirstReceived: m.FirstReceived, Receives: m.Receives, Group: m.Group, Dedup: m.Dedup,
		Sequence: m.Sequence, Sender: m.Sender, Trace: m.Trace, Attributes: map[string]string{},
	}
	facts := []fact{{"message", m.ID}, {"receives", strconv.Itoa(m.Receives)}, {"group", m.Group}, {"deduplication", m.Dedup}, {"trace", m.Trace}}
	maps.Copy(w.Attributes, m.Attributes)
	if body := []byte(m.Body); json.Valid(body) {
		w.Body = body
	} else {
		w.BodyText = &m.Body
	}
	e := &tailed{ev: event.Recorded{Event: event.Event{Raw: []byte(m.Body)}}, at: m.Sent, body: []byte(m.Body), facts: facts}
	e.json = func() (any, error) { return w, nil }
	if len(w.Attributes) > 0 {
		e.meta, _ = json.Marshal(w.Attributes) // strings never fail
	}
	e.ev.Metadata = e.meta
	if e.decode(); e.decoded && e.ev.Envelope != event.Plain {
		e.title = []string{e.ev.Type, e.ev.Source}
		e.facts = append([]fact{{"id", e.ev.ID}}, facts...)
	}
	if len(e.title) == 0 {
		e.title = []string{fmt.Sprintf("%s bytes", number(int64(len(m.Body))))}
	}
	return e
}
