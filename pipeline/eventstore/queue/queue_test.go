package queue

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/leatdev/leat/pipeline/eventstore"
)

type call struct {
	Ticket
	n int
}

// committer serves batches of up to two, each when it is let, and keeps what it served.
type committer struct {
	q        *Queue[*call]
	let      chan func([]*call) (left *call)
	served   [][]int
	finished bool
}

func start() *committer {
	c := &committer{q: New[*call](), let: make(chan func([]*call) *call)}
	room := func() func(*call) bool {
		n := 0
		return func(*call) bool { n++; return n < 2 }
	}
	go c.q.Run(room, func(batch []*call) *call {
		var numbers []int
		for _, b := range batch {
			numbers = append(numbers, b.n)
		}
		c.served = append(c.served, numbers)
		return (<-c.let)(batch)
	}, func() { c.finished = true })
	return c
}

func answerAll(batch []*call) *call {
	for _, b := range batch {
		b.Answer()
	}
	return nil
}

// submit puts a call into the queue and gives where its answer comes.
func (c *committer) submit(ctx context.Context, n int) <-chan error {
	answer := make(chan error, 1)
	go func() { answer <- c.q.Submit(ctx, &call{n: n}) }()
	synctest.Wait()
	return answer
}

func TestQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start()
		ctx, cancel := context.WithCancel(t.Context())
		refused := errors.New("refused")
		one := c.submit(ctx, 1) // alone: it waits for nobody, and is under way from now on
		two, three, four := c.submit(t.Context(), 2), c.submit(ctx, 3), c.submit(t.Context(), 4)
		five := c.submit(t.Context(), 5)
		if n := c.q.Len(); n != 4 {
			t.Errorf("%d wait", n)
		}
		cancel()
		synctest.Wait()
		if err := <-three; !errors.Is(err, context.Canceled) {
			t.Errorf("withdrawn: %v", err)
		}
		select {
		case err := <-one:
			t.Errorf("left while its memory was the committer's: %v", err)
		default:
		}
		c.let <- answerAll
		synctest.Wait()
		if err := <-one; err != nil {
			t.Error(err)
		}
		c.let <- func(batch []*call) *call { // 4 was too much
			batch[0].Err = refused
			batch[0].Answer()
			return batch[1]
		}
		synctest.Wait()
		if err := <-two; !errors.Is(err, refused) {
			t.Error(err)
		}
		c.let <- answerAll
		synctest.Wait()
		for _, answer := range []<-chan error{four, five} {
			if err := <-answer; err != nil {
				t.Error(err)
			}
		}
		c.q.Close()
		if diff := cmp.Diff([][]int{{1}, {2, 4}, {4, 5}}, c.served); diff != "" || !c.finished {
			t.Errorf("finished %t, served (-want +got):\n%s", c.finished, diff)
		}
	})
}

// What is under way at Close is answered by the committer, what waits is not served.
func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start()
		answers := []<-chan error{c.submit(t.Context(), 1), c.submit(t.Context(), 2), c.submit(t.Context(), 3)}
		closed := make(chan struct{})
		go func() { c.q.Close(); close(closed) }()
		synctest.Wait()
		if !c.q.Closed() || c.finished {
			t.Errorf("closed %t, finished %t", c.q.Closed(), c.finished)
		}
		answers = append(answers, c.submit(t.Context(), 4))
		c.let <- answerAll
		for range 2 { // the committer may see a call or the end first
			synctest.Wait()
			select {
			case c.let <- answerAll:
			default:
			}
		}
		<-closed
		for i, answer := range answers {
			err := <-answer
			if i == 0 && err != nil || i == 3 && !errors.Is(err, eventstore.ErrClosed) || err != nil && !errors.Is(err, eventstore.ErrClosed) {
				t.Errorf("#%d: %v", i+1, err)
			}
		}
		if !c.finished {
			t.Error("Close did not wait for finish")
		}
	})
}

func TestIdle(t *testing.T) {
	q := New[*call]()
	q.Idle()
	q.Close()
	if err := q.Submit(t.Context(), &call{}); !errors.Is(err, eventstore.ErrClosed) {
		t.Error(err)
	}
}

// An error is for the units that are open; those before them keep what they were answered.
func TestFail(t *testing.T) {
	done, open := &eventstore.Unit{Result: eventstore.Result{Status: eventstore.Refused}}, &eventstore.Unit{Result: eventstore.Result{Status: eventstore.Refused}}
	c := &Commit{Units: []*eventstore.Unit{done, open}, Next: 1}
	c.done = make(chan struct{})
	c.Fail(eventstore.ErrUnavailable)
	<-c.done
	if !errors.Is(c.Err, eventstore.ErrUnavailable) || done.Result.Status != eventstore.Refused || open.Result.Status != (eventstore.Result{}).Status {
		t.Errorf("%v: %+v", c.Err, slices.Concat(c.Units))
	}
}
