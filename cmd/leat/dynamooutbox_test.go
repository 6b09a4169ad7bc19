package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/leatdev/leat/pipeline/aws"
	"github.com/leatdev/leat/pipeline/aws/dynamofake"
	"github.com/leatdev/leat/pipeline/aws/mototest"
	"github.com/leatdev/leat/pipeline/eventstore/dynamodb"
	"github.com/leatdev/leat/pipeline/outbox"
	boxes "github.com/leatdev/leat/pipeline/outbox/dynamodb"
	"github.com/leatdev/leat/pipeline/seedtest"
)

const dynamoOutbox = `
server: { listen: "${ADDR}" }
aws: { region: eu-west-1, endpoint: "${ENDPOINT}" }
stores: { main: { dynamodb: { table: leat } } }
pipelines:
  app:
    source: { outbox: {} }
    steps:
      - filter: data.n % 5 != 0
      - append: { stream: "counter/{{ data.writer }}" }
`

// TestDynamoOutboxUnderLoad is TestOutboxUnderLoad on DynamoDB, once on the fake with its faults, once on moto.
func TestDynamoOutboxUnderLoad(t *testing.T) {
	kills := 4
	if n, err := strconv.Atoi(os.Getenv("LEAT_TEST_KILLS")); err == nil {
		kills = n
	}
	t.Run("fake", func(t *testing.T) {
		plan := &dynamofake.Plan{Seed: seedtest.New(t), Throttle: 0.02, Fail: 0.02, Lose: 0.03, Break: 0.02, Conflict: 0.005, Part: 0.2, Skip: 0.05}
		f := dynamofake.New(plan)
		t.Cleanup(f.Close)
		dynamoOutboxUnderLoad(t, f.URL, kills)
	})
	t.Run("moto", func(t *testing.T) { dynamoOutboxUnderLoad(t, mototest.OneAtATime(t, mototest.Start(t)), 1) })
}

func dynamoOutboxUnderLoad(t *testing.T, url string, kills int) {
	awsEnv(t, url)
	cfg, err := aws.Load(t.Context(), aws.Settings{Region: "eu-west-1", Endpoint: url}, http.DefaultTransport, 8)
	if err != nil {
		t.Fatal(err)
	}
	a := &dynamoApplication{client: sdk.NewFromConfig(cfg), committed: map[int]int{}}
	a.create(t)
	dir, addr := t.TempDir(), freePort(t)
	write(t, dir, "pipeline.yaml", dynamoOutbox)
	leat := func() *child {
		return startLeat(t, dir, []string{"ADDR=" + addr, "ENDPOINT=" + url}, "run", "pipeline.yaml")
	}
	c := leat() // it makes its table
	if !c.ready(t, addr) {
		t.Fatalf("leat ended by itself:\n%s", c.stderr.String())
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var app sync.WaitGroup
	app.Go(func() { a.run(ctx, t, 3) })
	for range kills {
		time.Sleep(time.Duration(rand.IntN(300)) * time.Millisecond) // the moment of the kill is the point
		c.kill()
		if c = leat(); !c.ready(t, addr) {
			stop()
			t.Fatalf("leat ended by itself:\n%s", c.stderr.String())
		}
	}
	stop()
	app.Wait()
	open := func() *dynamodb.Store {
		s, err := dynamodb.Open(context.Background(), dynamodb.Config{Client: aws.NewDynamoDB(cfg), Table: "leat", ReadOnly: true})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := open()
	deadline := time.Now().Add(60 * time.Second)
	for {
		rows, err := s.ReadOutbox(t.Context(), nil, 10, 1<<20)
		if err == nil && len(rows) == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("rows are left in the outbox, %v:\n%s", err, c.stderr.String())
		}
		time.Sleep(10 * time.Millisecond) // another process: there is nothing but asking
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	_ = c.cmd.Process.Signal(syscall.SIGTERM)
	if code := c.exit(t, time.Minute); code != 0 {
		t.Fatalf("exit %d:\n%s", code, c.stderr.String())
	}
	checkOutbox(t, open(), a.committed)
}

// dynamoApplication has a table of its own, and a writer for each of its counters.
type dynamoApplication struct {
	client *sdk.Client

	mu        sync.Mutex
	committed map[int]int
}

const dynamoCounters = "counters"

func (a *dynamoApplication) create(t *testing.T) {
	name, k := dynamoCounters, "k"
	_, err := a.client.CreateTable(t.Context(), &sdk.CreateTableInput{
		TableName: &name, BillingMode: types.BillingModePayPerRequest,
		AttributeDefinitions: []types.AttributeDefinition{{AttributeName: &k, AttributeType: types.ScalarAttributeTypeN}},
		KeySchema:            []types.KeySchemaElement{{AttributeName: &k, KeyType: types.KeyTypeHash}},
	})
	if err != nil {
		t.Fatal(err)
	}
}

func (a *dynamoApplication) run(ctx context.Context, t testing.TB, writers int) {
	p := boxes.New(a.client, outbox.Options{Table: "leat", Source: "app"})
	name, condition := dynamoCounters, "attribute_not_exists(k) OR n = :n"
	number := func(n int) types.AttributeValue { return &types.AttributeValueMemberN{Value: strconv.Itoa(n)} }
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			n := 0
			for i := 0; ctx.Err() == nil; i++ {
				token := fmt.Sprint("t", w, "-", i, "-", rand.Uint64())
				in := &sdk.TransactWriteItemsInput{ClientRequestToken: &token, TransactItems: []types.TransactWriteItem{{Put: &types.Put{
					TableName: &name, Item: map[string]types.AttributeValue{"k": number(w), "n": number(n + 1)},
					ConditionExpression: &condition, ExpressionAttributeValues: map[string]types.AttributeValue{":n": number(n)},
				}}}}
				if i%3 == 2 { // rolled back
					in.TransactItems[0].Put.ExpressionAttributeValues[":n"] = number(-1)
					if n == 0 {
						continue
					}
				}
				if err := p.PublishAfterCommit(ctx, in, Counted{outbox.Of(counted{w, n + 1})}); err != nil {
					t.Error(err)
					return
				}
				if a.settle(in) {
					n++
				}
			}
			a.mu.Lock()
			a.committed[w] = n
			a.mu.Unlock()
		})
	}
	all.Wait()
}

// settle sends a transaction until it is known what became of it.
func (a *dynamoApplication) settle(in *sdk.TransactWriteItemsInput) (committed bool) {
	for {
		_, err := a.client.TransactWriteItems(context.Background(), in)
		var cancelled *types.TransactionCanceledException
		if err == nil {
			return true
		} else if errors.As(err, &cancelled) {
			return boxes.FateOf(in, err) == boxes.Committed
		}
	}
}
