package dynamodb_test

import (
	"context"
	"flag"
	"fmt"
	"net/http"
	"os"
	"sync/atomic"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/leatdev/leat/pipeline/aws"
	"github.com/leatdev/leat/pipeline/aws/dynamofake"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/eventstore/dynamodb"
	"github.com/leatdev/leat/pipeline/eventstore/storetest"
	"github.com/leatdev/leat/pipeline/poison"
	"github.com/leatdev/leat/pipeline/table"
	"github.com/leatdev/leat/pipeline/table/tabletest"
)

// TestMain has the tests run beside each other, more than there are cores: most of them wait, for emulators and for calls
// that are repeated. Those about who gets his turn run alone.
func TestMain(m *testing.M) {
	flag.Parse()
	for name, value := range map[string]string{"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"} {
		if err := os.Setenv(name, value); err != nil {
			panic(err)
		}
	}
	if f := flag.Lookup("test.parallel"); f.Value.String() == f.DefValue {
		if err := f.Value.Set("4"); err != nil {
			panic(err)
		}
	}
	m.Run()
}

// client makes the client of an emulator.
func client(t testing.TB, url string) *aws.DynamoDB {
	t.Helper()
	cfg, err := aws.Load(t.Context(), aws.Settings{Region: "eu-west-1", Endpoint: url}, http.DefaultTransport, 8)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { aws.Close(cfg) })
	return aws.NewDynamoDB(cfg)
}

// fake starts a DynamoDB of our own.
func fake(t testing.TB, plan *dynamofake.Plan) *dynamofake.Server {
	s := dynamofake.New(plan)
	t.Cleanup(s.Close)
	return s
}

var tables atomic.Int64

func openStore(t testing.TB, c dynamodb.Config) *dynamodb.Store {
	t.Helper()
	if c.Table == "" {
		c.Table = fmt.Sprintf("leat-%d", tables.Add(1))
	}
	c.Create = !c.ReadOnly
	if c.Poll == 0 {
		c.Poll = 50 * time.Millisecond
	}
	s, err := dynamodb.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

var rows atomic.Int64

// putOutbox writes to the outbox as an application does.
func putOutbox(c *aws.DynamoDB, table func() string) func(t testing.TB, s eventstore.Store, body string) int64 {
	return func(t testing.TB, _ eventstore.Store, body string) int64 {
		t.Helper()
		id, name := rows.Add(1), table()
		_, err := c.PutItem(context.Background(), &sdk.PutItemInput{TableName: &name, Item: map[string]types.AttributeValue{
			"pk": &types.AttributeValueMemberS{Value: "O"}, "sk": &types.AttributeValueMemberS{Value: fmt.Sprintf("%019d", id)},
			"body":    &types.AttributeValueMemberB{Value: []byte(body)},
			"written": &types.AttributeValueMemberS{Value: time.Now().Format(time.RFC3339Nano)},
		}})
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
}

func run(t *testing.T, c *aws.DynamoDB) {
	name := ""
	f := storetest.Features{Durable: true, MaxEvent: 380 << 10, PutOutbox: putOutbox(c, func() string { return name })}
	storetest.Run(t, f, func(t *testing.T, now func() time.Time) (eventstore.Store, func() eventstore.Store) {
		name = fmt.Sprintf("leat-%d", tables.Add(1))
		cfg := dynamodb.Config{Client: c, Table: name, Now: now}
		s := openStore(t, cfg)
		return s, func() eventstore.Store {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			s = openStore(t, cfg)
			return s
		}
	})
}

func TestStore(t *testing.T) {
	t.Parallel()
	run(t, client(t, fake(t, nil).URL))
}

// TestLinearizable has two daemons on one log.
func TestLinearizable(t *testing.T) {
	t.Parallel()
	c := client(t, fake(t, nil).URL)
	name := fmt.Sprintf("leat-%d", tables.Add(1))
	stores := []eventstore.Store{openStore(t, dynamodb.Config{Client: c, Table: name}), openStore(t, dynamodb.Config{Client: c, Table: name})}
	storetest.Linearizable(t, storetest.Linear{Stores: stores, Histories: 60})
}

// TestLinearizableFaults is the same while the service throttles, cancels, and loses answers.
func TestLinearizableFaults(t *testing.T) {
	t.Parallel()
	plan := &dynamofake.Plan{Seed: 7, Throttle: 0.03, Fail: 0.02, Lose: 0.03, Break: 0.03, Conflict: 0.02, Skip: 0.05}
	c := client(t, fake(t, plan).URL)
	name := fmt.Sprintf("leat-%d", tables.Add(1))
	stores := []eventstore.Store{openStore(t, dynamodb.Config{Client: c, Table: name}), openStore(t, dynamodb.Config{Client: c, Table: name})}
	storetest.Linearizable(t, storetest.Linear{Stores: stores, Histories: 30})
}

// TestLinearizableParts is the same where a commit becomes visible item by item, before it is answered.
func TestLinearizableParts(t *testing.T) {
	t.Parallel()
	plan := &dynamofake.Plan{Seed: 9, Throttle: 0.02, Lose: 0.03, Break: 0.02, Conflict: 0.01, Part: 0.5, Skip: 0.05}
	c := client(t, fake(t, plan).URL)
	name := fmt.Sprintf("leat-%d", tables.Add(1))
	stores := []eventstore.Store{openStore(t, dynamodb.Config{Client: c, Table: name}), openStore(t, dynamodb.Config{Client: c, Table: name})}
	storetest.Linearizable(t, storetest.Linear{Stores: stores, Alone: true, Histories: 20})
}

func TestTables(t *testing.T) {
	t.Parallel()
	c := client(t, fake(t, nil).URL)
	tabletest.Run(t, tabletest.Features{Durable: true}, func(t *testing.T) tabletest.Backend {
		cfg := dynamodb.Config{Client: c, Table: fmt.Sprintf("leat-%d", tables.Add(1))}
		s := openStore(t, cfg)
		return tabletest.Backend{
			Store: s.Tables(),
			Reopen: func() table.Store {
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
				s = openStore(t, cfg)
				return s.Tables()
			},
			Parked: func() (out []poison.Entry) {
				for e, err := range s.ListParked(t.Context(), poison.Filter{}) {
					if err != nil {
						t.Fatal(err)
					}
					out = append(out, e)
				}
				return out
			},
		}
	})
}
