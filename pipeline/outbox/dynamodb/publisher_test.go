package dynamodb_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/google/go-cmp/cmp"

	"github.com/leatdev/leat/pipeline/aws"
	"github.com/leatdev/leat/pipeline/aws/dynamofake"
	"github.com/leatdev/leat/pipeline/aws/mototest"
	"github.com/leatdev/leat/pipeline/codec"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
	store "github.com/leatdev/leat/pipeline/eventstore/dynamodb"
	"github.com/leatdev/leat/pipeline/outbox"
	"github.com/leatdev/leat/pipeline/outbox/dynamodb"
)

type counted struct {
	Counter int `json:"counter"`
	N       int `json:"n"`
}

// Counted is an event of the application's.
type Counted struct{ outbox.Event[counted] }

func count(counter, n int) Counted { return Counted{outbox.Of(counted{counter, n})} }

// shop is an application with tables of its own beside leat's.
type shop struct {
	client *sdk.Client // as an application has it, but that it repeats nothing
	leat   *aws.DynamoDB
}

const (
	table = "leat"
	own   = "counters"
)

func newShop(t testing.TB, url string) *shop {
	t.Helper()
	t.Setenv("AWS_ACCESS_KEY_ID", "test")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "test")
	cfg, err := aws.Load(t.Context(), aws.Settings{Region: "eu-west-1", Endpoint: url}, http.DefaultTransport, 8)
	if err != nil {
		t.Fatal(err)
	}
	s := &shop{client: sdk.NewFromConfig(cfg), leat: aws.NewDynamoDB(cfg)}
	name, k := own, "k"
	_, err = s.client.CreateTable(t.Context(), &sdk.CreateTableInput{
		TableName: &name, BillingMode: types.BillingModePayPerRequest,
		AttributeDefinitions: []types.AttributeDefinition{{AttributeName: &k, AttributeType: types.ScalarAttributeTypeN}},
		KeySchema:            []types.KeySchemaElement{{AttributeName: &k, KeyType: types.KeyTypeHash}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *shop) store(t testing.TB) *store.Store {
	t.Helper()
	st, err := store.Open(context.Background(), store.Config{Client: s.leat, Table: table, Create: true, Poll: 5 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	return st
}

func ptr(s string) *string { return &s }

func number(n int64) types.AttributeValue {
	return &types.AttributeValueMemberN{Value: strconv.FormatInt(n, 10)}
}

// counter is what the application changes in turn.
type counter struct {
	n, last int64
}

func (s *shop) load(ctx context.Context, k int) (c counter, err error) {
	name, yes := own, true
	out, err := s.client.GetItem(ctx, &sdk.GetItemInput{TableName: &name, Key: map[string]types.AttributeValue{"k": number(int64(k))}, ConsistentRead: &yes})
	if err != nil {
		return c, err
	}
	read := func(name string) int64 {
		v, _ := out.Item[name].(*types.AttributeValueMemberN)
		if v == nil {
			return 0
		}
		n, _ := strconv.ParseInt(v.Value, 10, 64)
		return n
	}
	return counter{read("n"), read("last")}, nil
}

// step is the write that moves a counter on from what was read, under that condition.
func step(k int, was counter, last int64) types.TransactWriteItem {
	p := &types.Put{
		TableName: ptr(own), Item: map[string]types.AttributeValue{"k": number(int64(k)), "n": number(was.n + 1), "last": number(last)},
		ConditionExpression: ptr("attribute_not_exists(k)"),
	}
	if was.n > 0 {
		p.ConditionExpression, p.ExpressionAttributeValues = ptr("n = :n"), map[string]types.AttributeValue{":n": number(was.n)}
	}
	return types.TransactWriteItem{Put: p}
}

// impossible makes a transaction that is rolled back.
func impossible() types.TransactWriteItem {
	return types.TransactWriteItem{ConditionCheck: &types.ConditionCheck{
		TableName: ptr(own), Key: map[string]types.AttributeValue{"k": number(-1)}, ConditionExpression: ptr("attribute_exists(k)"),
	}}
}

// published reads the outbox as a pipeline does.
func published(t testing.TB, st *store.Store) (out []event.Event) {
	t.Helper()
	rows, err := st.ReadOutbox(context.Background(), nil, 1000, math.MaxInt)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rows {
		e := event.Event{Raw: r.Body}
		if err := codec.Decode(&e, event.Auto, 1<<20); err != nil {
			t.Fatal(err)
		}
		codec.FillMetadata(&e)
		out = append(out, e)
	}
	return out
}

func numbers(t testing.TB, st *store.Store) (out []int) {
	t.Helper()
	for _, e := range published(t, st) {
		var c counted
		if err := json.Unmarshal(e.Data, &c); err != nil {
			t.Fatal(err)
		}
		out = append(out, c.N)
	}
	return out
}

func emulators(t *testing.T, run func(t *testing.T, s *shop)) {
	t.Run("fake", func(t *testing.T) {
		f := dynamofake.New(nil)
		t.Cleanup(f.Close)
		run(t, newShop(t, f.URL))
	})
	t.Run("moto", func(t *testing.T) { run(t, newShop(t, mototest.OneAtATime(t, mototest.Start(t)))) })
}

func TestFourVerbs(t *testing.T) {
	emulators(t, func(t *testing.T, s *shop) {
		st := s.store(t)
		defer st.Close()
		ctx, p := t.Context(), dynamodb.New(s.client, outbox.Options{Table: table, Source: "shop"})
		ok := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		same := func(want ...int) {
			t.Helper()
			if diff := cmp.Diff(want, numbers(t, st)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		}
		ok(p.Publish(ctx, count(0, 1)))
		ok(p.PublishBatch(ctx, []outbox.Message{count(0, 2), count(0, 3)}))
		ok(p.PublishBatch(ctx, nil))
		in := &sdk.TransactWriteItemsInput{TransactItems: []types.TransactWriteItem{step(7, counter{}, 0)}}
		ok(p.PublishAfterCommit(ctx, in, count(0, 4)))
		ok(p.PublishBatchAfterCommit(ctx, in, []outbox.Message{count(0, 5), count(0, 6)}))
		same(1, 2, 3) // nothing before the commit
		_, err := s.client.TransactWriteItems(ctx, in)
		ok(err)
		same(1, 2, 3, 4, 5, 6)

		in = &sdk.TransactWriteItemsInput{TransactItems: []types.TransactWriteItem{impossible()}}
		ok(p.PublishAfterCommit(ctx, in, count(0, -1)))
		_, err = s.client.TransactWriteItems(ctx, in)
		if err == nil || dynamodb.FateOf(in, err) != dynamodb.Unknown {
			t.Errorf("a transaction whose condition fails: %v, fate %d", err, dynamodb.FateOf(in, err))
		}
		same(1, 2, 3, 4, 5, 6)

		// What cannot be published leaves the transaction as it was.
		in = &sdk.TransactWriteItemsInput{}
		for _, ms := range [][]outbox.Message{
			{count(0, -1), struct{ outbox.Event[func()] }{}},
			{nil},
			make([]outbox.Message, 101),
			{outbox.Event[string]{Base: outbox.Base{Type: "T"}, Data: strings.Repeat("x", dynamodb.MaxBytes)}},
		} {
			if err := p.PublishBatchAfterCommit(ctx, in, ms); !errors.Is(err, outbox.ErrMessage) || len(in.TransactItems) > 0 {
				t.Errorf("%d events: %v, %d items", len(ms), err, len(in.TransactItems))
			}
		}
		var large []outbox.Message
		for range 12 {
			large = append(large, outbox.Event[string]{Base: outbox.Base{Type: "T"}, Data: strings.Repeat("x", dynamodb.MaxBytes-1000)})
		}
		if err := p.PublishBatch(ctx, large); !errors.Is(err, outbox.ErrMessage) || !strings.Contains(err.Error(), "4 MB") {
			t.Errorf("a batch of 4.5 MB: %v", err)
		}
		in.TransactItems = make([]types.TransactWriteItem, 100)
		if err := p.PublishAfterCommit(ctx, in, count(0, -1)); !errors.Is(err, outbox.ErrMessage) || len(in.TransactItems) != 100 {
			t.Errorf("the hundred and first item: %v", err)
		}
		if _, err := dynamodb.New(s.client, outbox.Options{Source: "shop"}).Items(ctx, []outbox.Message{count(0, 1)}); err == nil || !strings.Contains(err.Error(), "table") {
			t.Errorf("no table: %v", err)
		}
		// The largest event that is taken fits into the log as well.
		ok(p.Publish(ctx, outbox.Event[string]{Base: outbox.Base{ID: "large", Type: "T"}, Data: strings.Repeat("x", dynamodb.MaxBytes-300)}))
		ok(st.DropOutbox(ctx, ids(t, st)[:6]))
		if move(ctx, t, st) != 1 || len(published(t, st)) > 0 {
			t.Errorf("the largest event does not leave the outbox")
		}
	})
}

func ids(t testing.TB, st *store.Store) (out []int64) {
	rows, err := st.ReadOutbox(t.Context(), nil, 1000, math.MaxInt)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rows {
		out = append(out, r.ID)
	}
	return out
}

func TestEvent(t *testing.T) {
	f := dynamofake.New(nil)
	t.Cleanup(f.Close)
	s := newShop(t, f.URL)
	st := s.store(t)
	defer st.Close()
	p := dynamodb.New(s.client, outbox.Options{Table: table, Source: "shop"})
	base := outbox.Base{ID: "e-1", Subject: "order/1", Version: "2", User: "ann"}
	ctx := outbox.Because(t.Context(), outbox.Base{ID: "c-1"})
	if err := p.Publish(ctx, Counted{outbox.Event[counted]{Base: base, Data: counted{1, 2}}}); err != nil {
		t.Fatal(err)
	}
	e := published(t, st)[0]
	got := []string{e.ID, e.Source, e.Type, e.Subject, e.Meta("dataversion"), e.Meta("causationid"), e.Meta("userid"), string(e.Data)}
	if diff := cmp.Diff([]string{"e-1", "shop", "Counted", "order/1", "2", "c-1", "ann", `{"counter":1,"n":2}`}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestFate holds what an application learns of a transaction that failed.
func TestFate(t *testing.T) {
	emulators(t, func(t *testing.T, s *shop) {
		st := s.store(t)
		defer st.Close()
		ctx, p := t.Context(), dynamodb.New(s.client, outbox.Options{Table: table, Source: "shop"})
		in := &sdk.TransactWriteItemsInput{TransactItems: []types.TransactWriteItem{step(1, counter{}, 0)}}
		if err := p.PublishAfterCommit(ctx, in, count(1, 1)); err != nil {
			t.Fatal(err)
		}
		if _, err := s.client.TransactWriteItems(ctx, in); err != nil {
			t.Fatal(err)
		}
		in.ClientRequestToken = ptr("another") // as a program that has lost the answer and the token
		if _, err := s.client.TransactWriteItems(ctx, in); dynamodb.FateOf(in, err) != dynamodb.Committed {
			t.Errorf("the same once more: %v", err)
		}
		// Another event under the same id of a row.
		in = &sdk.TransactWriteItemsInput{}
		if err := p.PublishAfterCommit(ctx, in, count(1, 2)); err != nil {
			t.Fatal(err)
		}
		squat(t, s, in)
		if _, err := s.client.TransactWriteItems(ctx, in); dynamodb.FateOf(in, err) != dynamodb.Taken {
			t.Errorf("an id that is taken: %v", err)
		}
		// Publish makes its row anew.
		first := true
		p = dynamodb.New(before(func(in *sdk.TransactWriteItemsInput) {
			if first {
				squat(t, s, in)
			}
			first = false
		}, s.client), outbox.Options{Table: table, Source: "shop"})
		if err := p.Publish(ctx, count(1, 3)); err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff([]int{1, 0, 0, 3}, numbers(t, st)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

// squat puts another event where a transaction's row is going to be.
func squat(t testing.TB, s *shop, in *sdk.TransactWriteItemsInput) {
	t.Helper()
	name, row := table, map[string]types.AttributeValue{}
	for k, v := range in.TransactItems[0].Put.Item {
		row[k] = v
	}
	row["event"] = &types.AttributeValueMemberS{Value: "another"}
	row["body"] = &types.AttributeValueMemberB{Value: []byte(`{"specversion":"1.0","id":"another","source":"s","type":"T","data":{}}`)}
	if _, err := s.client.PutItem(context.Background(), &sdk.PutItemInput{TableName: &name, Item: row}); err != nil {
		t.Fatal(err)
	}
}

type hooked struct {
	dynamodb.Client
	before func(*sdk.TransactWriteItemsInput)
}

func before(fn func(*sdk.TransactWriteItemsInput), c dynamodb.Client) dynamodb.Client {
	return hooked{c, fn}
}

func (h hooked) TransactWriteItems(ctx context.Context, in *sdk.TransactWriteItemsInput, o ...func(*sdk.Options)) (*sdk.TransactWriteItemsOutput, error) {
	h.before(in)
	return h.Client.TransactWriteItems(ctx, in, o...)
}

// TestIDs holds that ids rise though the clock goes back, and come behind what After names.
func TestIDs(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	p := dynamodb.New(nil, outbox.Options{Table: table, Source: "s", Now: func() time.Time { return now }})
	last := int64(0)
	next := func(ctx context.Context) {
		t.Helper()
		rows, err := p.Items(ctx, []outbox.Message{count(1, 1), count(1, 2)})
		if err != nil {
			t.Fatal(err)
		}
		previous := last
		for i := range rows {
			in := &sdk.TransactWriteItemsInput{TransactItems: rows[i : i+1]}
			if id := dynamodb.Last(in); id <= previous {
				t.Errorf("%d comes after %d", id, previous)
			} else {
				previous = id
			}
		}
		last = previous
	}
	for range 100 {
		next(t.Context())
	}
	now = now.Add(-time.Minute)
	next(t.Context())
	last += 1 << 40 // another process, whose clock is ahead
	next(dynamodb.After(t.Context(), last))
	next(t.Context())
	if _, err := p.Items(dynamodb.After(t.Context(), math.MaxInt64), []outbox.Message{count(1, 1)}); err == nil || !strings.Contains(err.Error(), "ahead of the clock") {
		t.Errorf("behind the end of time: %v", err)
	}
	if n := dynamodb.Last(&sdk.TransactWriteItemsInput{TransactItems: []types.TransactWriteItem{impossible(), step(1, counter{}, 5)}}); n != 0 {
		t.Errorf("the last row of none is %d", n)
	}
}

// move takes what is in the outbox into the log, as the outbox source does, and says how many there were. An error is an
// outcome that is not known.
func move(ctx context.Context, t testing.TB, st *store.Store) int {
	rows, err := st.ReadOutbox(ctx, nil, 7, math.MaxInt)
	if err != nil {
		return 0
	}
	units := make([]*eventstore.Unit, len(rows))
	for i, r := range rows {
		e := event.Event{Raw: r.Body}
		if err := codec.Decode(&e, event.Auto, 1<<20); err != nil {
			t.Error(err)
			return 0
		}
		var c counted
		_ = json.Unmarshal(e.Data, &c)
		units[i] = &eventstore.Unit{
			Pipeline: "p", Inbox: &eventstore.Mark{Key: e.ID, Hash: 1}, Outbox: []int64{r.ID},
			Appends: []eventstore.Append{{Stream: event.Stream{Type: "counter", ID: fmt.Sprint(c.Counter)}, Events: []event.Event{e}}},
		}
	}
	if err := st.Commit(ctx, units, eventstore.CommitOptions{Ordered: true}); err != nil {
		return 0
	}
	for _, u := range units {
		if u.Result.Status == eventstore.Refused && !errors.Is(u.Result.Err, eventstore.ErrGone) {
			t.Errorf("refused: %v", u.Result.Err)
		}
	}
	return len(units)
}

// TestInTurn has two programs, whose clocks are seconds apart, change counters in turn and publish each change, while two
// daemons move them: what was committed is in the log once and in order, and nothing else is.
func TestInTurn(t *testing.T) {
	seeds := 4
	if n, err := strconv.Atoi(os.Getenv("LEAT_TEST_SEEDS")); err == nil {
		seeds = n
	}
	for seed := range seeds {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			plan := &dynamofake.Plan{Seed: uint64(seed), Throttle: 0.03, Fail: 0.03, Lose: 0.04, Break: 0.04, Conflict: 0.01, Part: 0.3, Skip: 0.05}
			f := dynamofake.New(plan)
			t.Cleanup(f.Close)
			plan.Pause(true)
			s := newShop(t, f.URL)
			plan.Pause(false)
			inTurn(t, s, 12, uint64(seed))
		})
	}
	t.Run("moto", func(t *testing.T) { inTurn(t, newShop(t, mototest.OneAtATime(t, mototest.Start(t))), 4, 1) })
}

func inTurn(t *testing.T, s *shop, each int, seed uint64) {
	const counters = 2
	ctx := context.Background()
	s.store(t).Close()
	skews := []time.Duration{0, -5 * time.Second}
	publishers := make([]*dynamodb.Publisher, len(skews))
	for i, skew := range skews {
		publishers[i] = dynamodb.New(s.client, outbox.Options{Table: table, Source: "app", Now: func() time.Time { return time.Now().Add(skew) }})
	}
	var mu sync.Mutex
	committed := map[int]int{}
	var writers, movers sync.WaitGroup
	for w := range 4 {
		random := rand.New(rand.NewPCG(seed, uint64(w)))
		writers.Go(func() {
			p := publishers[w%len(publishers)]
			for i := 0; i < each; {
				k := random.IntN(counters)
				c, err := s.load(ctx, k)
				if err != nil {
					continue
				}
				in := &sdk.TransactWriteItemsInput{ClientRequestToken: ptr(fmt.Sprint("t", seed, "-", w, "-", i, "-", random.Uint64()))}
				if err := p.PublishAfterCommit(dynamodb.After(ctx, c.last), in, count(k, int(c.n)+1)); err != nil {
					t.Error(err)
					return
				}
				in.TransactItems = append(in.TransactItems, step(k, c, dynamodb.Last(in)))
				rolledBack := random.IntN(4) == 0
				if rolledBack {
					in.TransactItems = append(in.TransactItems, impossible())
				}
				if s.settle(ctx, in) {
					if rolledBack {
						t.Error("what is impossible was committed")
					}
					mu.Lock()
					committed[k]++
					mu.Unlock()
				}
				i++
			}
		})
	}
	done := make(chan struct{})
	for m := range 2 {
		random := rand.New(rand.NewPCG(seed, 100+uint64(m)))
		movers.Go(func() {
			st := s.store(t)
			for finished := false; ; {
				n := move(ctx, t, st)
				if random.IntN(6) == 0 {
					// Stopped in the middle of something, perhaps, and started again.
					part, cancel := context.WithTimeout(ctx, time.Duration(random.IntN(3000))*time.Microsecond)
					move(part, t, st)
					cancel()
					st.Close()
					st = s.store(t)
				}
				if n > 0 {
					continue
				}
				if rows, err := st.ReadOutbox(ctx, nil, 1, 1); finished && err == nil && len(rows) == 0 {
					st.Close()
					return
				}
				select {
				case <-done:
					finished = true
				default:
					_ = st.WaitOutbox(ctx)
				}
			}
		})
	}
	writers.Wait()
	close(done)
	movers.Wait()
	st := s.store(t)
	defer st.Close()
	got, want := map[int][]int{}, map[int][]int{}
	for e, err := range st.ReadAll(ctx, eventstore.ReadOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		var c counted
		if err := json.Unmarshal(e.Data, &c); err != nil {
			t.Fatal(err)
		}
		got[c.Counter] = append(got[c.Counter], c.N)
	}
	for k, n := range committed {
		for i := 1; i <= n; i++ {
			want[k] = append(want[k], i)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the log (-want +got):\n%s", diff)
	}
}

// settle sends a transaction until it is known what became of it.
func (s *shop) settle(ctx context.Context, in *sdk.TransactWriteItemsInput) (committed bool) {
	for {
		_, err := s.client.TransactWriteItems(ctx, in)
		var cancelled *types.TransactionCanceledException
		switch {
		case err == nil:
			return true
		case errors.As(err, &cancelled):
			return dynamodb.FateOf(in, err) == dynamodb.Committed
		}
	}
}
