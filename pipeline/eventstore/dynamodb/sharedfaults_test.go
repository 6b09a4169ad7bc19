package dynamodb_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/google/uuid"

	"github.com/leatdev/leat/pipeline/aws"
	"github.com/leatdev/leat/pipeline/aws/dynamofake"
	"github.com/leatdev/leat/pipeline/aws/mototest"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/eventstore/dynamodb"
	"github.com/leatdev/leat/pipeline/eventstore/serverless/lambdatest"
)

// TestSharedSeeds has daemons and Lambdas write to the same streams through all that can go wrong, by a seed each, while
// one daemon dies at some call: what was answered is there once, in the table and in the log, in the same order, and nobody
// who follows the log has seen a revision before the one below.
func TestSharedSeeds(t *testing.T) {
	t.Parallel()
	seeds := 3
	if n, err := strconv.Atoi(os.Getenv("LEAT_TEST_SEEDS")); err == nil {
		seeds = n
	}
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			plan := &dynamofake.Plan{Seed: uint64(seed), Throttle: 0.03, Fail: 0.03, Lose: 0.03, Break: 0.03, Conflict: 0.02, Part: 0.3, Skip: 0.05}
			side(t, fake(t, plan).URL, plan, uint64(seed), 12)
		})
	}
}

// TestSharedMoto is the same against moto, where nothing goes wrong but the race itself.
func TestSharedMoto(t *testing.T) {
	t.Parallel()
	url := mototest.OneAtATime(t, mototest.Start(t))
	side(t, url, nil, 1, 4)
}

// dying is a network that goes away for good at some call.
type dying struct{ left atomic.Int64 }

var errDead = errors.New("the process is dead")

func (d *dying) RoundTrip(r *http.Request) (*http.Response, error) {
	if d.left.Add(-1) < 0 {
		return nil, errDead
	}
	return http.DefaultTransport.RoundTrip(r)
}

// tally is what was answered, and what may have happened.
type tally struct {
	mu              sync.Mutex
	certain, maybes map[string]bool
}

func (y *tally) note(of map[string]bool, what string) {
	y.mu.Lock()
	defer y.mu.Unlock()
	of[what] = true
}

func side(t *testing.T, url string, plan *dynamofake.Plan, seed uint64, calls int) {
	c := client(t, url)
	random := rand.New(rand.NewPCG(seed, 2))
	shared := sharing(lambdatest.Table(t, c))
	shared.Poll = 20 * time.Millisecond
	own := fmt.Sprintf("leat-%d", tables.Add(1))
	open := func(c *aws.DynamoDB, patience time.Duration) *dynamodb.Store {
		return openStore(t, dynamodb.Config{Client: c, Table: own, Shared: shared, Patience: patience})
	}
	stores := []*dynamodb.Store{open(c, 30*time.Second), open(c, 30*time.Second)}
	l := &lambdatest.Lambda{Client: c, Table: shared.Table} // its calls fail too

	// The streams are there from the start; each side makes some of them.
	y := &tally{certain: map[string]bool{}, maybes: map[string]bool{}}
	var names []event.Stream
	for i := range 3 {
		name := event.Stream{Type: fmt.Sprint("t", i%2), ID: uuid.NewString()}
		if i == 0 {
			for name.ID = ""; name.ID == ""; {
				id, err := l.Create(t.Context(), name.Type, "made", "first0")
				if err == nil {
					name.ID = id // another try may have made a stream that nobody knows
				}
			}
		} else if r := insist(t, stores[0], unitOf(name, eventstore.NoStream, fmt.Sprint("first", i))); r.Status == eventstore.Refused {
			t.Fatal(r.Err)
		}
		y.certain["first"+fmt.Sprint(i)] = true
		names = append(names, name)
	}

	follow, unfollow := context.WithCancel(t.Context())
	var followers sync.WaitGroup
	followers.Go(func() { inOrder(follow, t, stores[1]) })

	var all sync.WaitGroup
	for w := range 2 {
		pick := rand.New(rand.NewPCG(seed, uint64(10+w)))
		all.Go(func() { // a daemon's callers
			for k := range calls {
				id, name := fmt.Sprintf("leat%d-%d", w, k), names[pick.IntN(len(names))]
				if r := insist(t, stores[w], unitOf(name, eventstore.Any, id)); r.Status == eventstore.Refused {
					t.Errorf("%s: %v", id, r.Err)
				}
				y.note(y.certain, id)
			}
		})
		lane := rand.New(rand.NewPCG(seed, uint64(20+w)))
		all.Go(func() { // a Lambda, whose callers fetch again after a conflict
			for k := range calls {
				name := names[lane.IntN(len(names))]
				for try := 0; ; try++ {
					what := fmt.Sprintf("lambda%d-%d-%d", w, k, try)
					revision, err := revisionOf(l, name.ID)
					if err != nil {
						continue
					}
					status, err := l.Append(t.Context(), name.Type, name.ID, revision+1, "T", `"`+what+`"`)
					if status == 201 {
						y.note(y.certain, what)
						break
					}
					if status == 500 {
						y.note(y.maybes, what)
					} else if status != 409 {
						t.Errorf("%s: %d %v", what, status, err)
						return
					}
				}
			}
		})
	}
	// A third daemon dies at some call, with whatever it has begun.
	death := &dying{}
	death.left.Store(int64(5 + random.IntN(60)))
	all.Go(func() {
		cfg, err := aws.Load(context.Background(), aws.Settings{Region: "eu-west-1", Endpoint: url}, death, 8)
		if err != nil {
			t.Error(err)
			return
		}
		defer aws.Close(cfg)
		st, err := dynamodb.Open(context.Background(), dynamodb.Config{Client: aws.NewDynamoDB(cfg), Table: own, Shared: shared, Patience: 50 * time.Millisecond, Poll: time.Hour})
		if err != nil {
			return
		}
		for k := 0; death.left.Load() > 0; k++ {
			id := fmt.Sprintf("dying-%d", k)
			y.note(y.maybes, id)
			_ = st.Commit(context.Background(), []*eventstore.Unit{unitOf(names[k%len(names)], eventstore.Any, id)}, eventstore.CommitOptions{})
		}
		_ = st.Close()
	})
	all.Wait()
	if plan != nil {
		plan.Stop()
	}
	if _, err := stores[0].CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	unfollow()
	followers.Wait()

	// The log and the table say the same, and each answered event is there once.
	v := verify(t, stores[1])
	count := map[string]int{}
	total := 0
	for i, err := range stores[1].Streams(t.Context(), eventstore.StreamsOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		mine := read(t, stores[1], i.Stream)
		theirs, _ := l.Events(t, i.Stream.ID)
		for n := range theirs {
			theirs[n] = fmt.Sprint(n+1, " ", theirs[n])
			count[strings.Trim(strings.Fields(theirs[n])[2], `"`)]++
		}
		same(t, mine, theirs)
		if _, revision, _ := l.Head(t, i.Stream.ID); revision != fmt.Sprint(len(theirs)) {
			t.Errorf("the head of %s says %s, there are %d events", i.Stream, revision, len(theirs))
		}
		total += len(theirs)
	}
	if v.Events != int64(total) {
		t.Errorf("the log has %d events, the table %d", v.Events, total)
	}
	for what := range y.certain {
		if count[what] != 1 && what != "first0" {
			t.Errorf("%s is there %d times", what, count[what])
		}
	}
	for what, n := range count {
		if what != "first0" && (n > 1 || !y.certain[what] && !y.maybes[what]) {
			t.Errorf("%s is there %d times; it may be: %v", what, n, y.maybes[what])
		}
	}
}

func unitOf(name event.Stream, expect eventstore.Expect, id string) *eventstore.Unit {
	return &eventstore.Unit{Pipeline: "p", Inbox: &eventstore.Mark{Key: id, Hash: 1}, Appends: []eventstore.Append{{
		Stream: name, Expect: expect, Origin: "p", Events: []event.Event{{ID: id, Type: "T", Data: []byte(`"` + id + `"`)}},
	}}}
}

// insist commits a unit until the outcome is known.
func insist(t *testing.T, st *dynamodb.Store, u *eventstore.Unit) eventstore.Result {
	for {
		err := st.Commit(context.Background(), []*eventstore.Unit{u}, eventstore.CommitOptions{})
		if err == nil {
			return u.Result
		}
		if errors.Is(err, eventstore.ErrClosed) || t.Context().Err() != nil {
			t.Error(err)
			return u.Result
		}
	}
}

func revisionOf(l *lambdatest.Lambda, id string) (int64, error) {
	out, err := l.Client.GetItem(context.Background(), &sdk.GetItemInput{TableName: &l.Table, Key: lambdatest.Attributes{"PK": lambdatest.S(id), "SK": lambdatest.N(0)}})
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(out.Item["StreamRevision"].(*types.AttributeValueMemberN).Value, 10, 64)
}

// inOrder follows the log until its context ends: positions are dense, and revisions of a stream come one after the other.
func inOrder(ctx context.Context, t *testing.T, st *dynamodb.Store) {
	last, revisions := int64(0), map[event.Stream]int64{}
	for p, err := range st.Subscribe(ctx, eventstore.SubscribeOptions{}) {
		if err != nil {
			t.Error(err)
			return
		}
		for _, e := range p.Events {
			if e.Position != last+1 || e.Revision != revisions[e.Stream]+1 {
				t.Errorf("position %d behind %d, revision %d of %s behind %d", e.Position, last, e.Revision, e.Stream, revisions[e.Stream])
			}
			last, revisions[e.Stream] = e.Position, e.Revision
		}
	}
}

// TestSharedRace has thirty callers, half of them of leat and half of the Lambda, write one revision: one of them wins. The
// others of leat are told the revision that is there; the Lambda's own losers are told 409 or 500, as they always were.
func TestSharedRace(t *testing.T) {
	t.Parallel()
	c := client(t, fake(t, nil).URL)
	l := &lambdatest.Lambda{Client: c, Table: lambdatest.Table(t, c)}
	cfg := dynamodb.Config{Client: c, Table: fmt.Sprintf("leat-%d", tables.Add(1)), Shared: sharing(l.Table)}
	stores := []*dynamodb.Store{openStore(t, cfg), openStore(t, cfg)}
	name := event.Stream{Type: "race", ID: uuid.NewString()}
	commit(t, stores[0], name, eventstore.NoStream, ev("0", "T", "0"))
	leats := 0
	for round := int64(1); round <= 12; round++ {
		results := make([]string, 30)
		var all sync.WaitGroup
		for w := range results {
			all.Go(func() {
				what := fmt.Sprintf("%d-%d", round, w)
				if w%2 == 0 {
					status, _ := l.Append(t.Context(), name.Type, name.ID, round+1, "T", what)
					results[w] = fmt.Sprint("lambda ", status)
					return
				}
				u := &eventstore.Unit{Appends: []eventstore.Append{{Stream: name, Expect: eventstore.Revision(round), Events: []event.Event{ev(what, "T", what)}}}}
				if err := stores[w/2%2].Commit(t.Context(), []*eventstore.Unit{u}, eventstore.CommitOptions{}); err != nil {
					t.Error(err)
				}
				var conflict *eventstore.ConflictError
				switch {
				case u.Result.Status == eventstore.Done:
					results[w] = "leat 201"
				case errors.As(u.Result.Err, &conflict) && conflict.Actual == round+1:
					results[w] = "leat 409"
				default:
					results[w] = fmt.Sprintf("leat %+v", u.Result)
				}
			})
		}
		all.Wait()
		won := 0
		for _, r := range results {
			switch r {
			case "leat 201":
				leats++
				won++
			case "lambda 201":
				won++
			case "leat 409", "lambda 409", "lambda 500":
			default:
				t.Errorf("round %d: %s", round, r)
			}
		}
		if won != 1 {
			slices.Sort(results)
			t.Fatalf("round %d: %d winners: %v", round, won, results)
		}
	}
	t.Logf("leat won %d of 12", leats)
	if _, err := stores[0].CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	if v := verify(t, stores[1]); v.Events != 13 {
		t.Errorf("%+v", v)
	}
	all, _ := l.Events(t, name.ID)
	if mine := read(t, stores[1], name); len(mine) != len(all) {
		t.Errorf("%v, there %v", mine, all)
	}
}
