package dynamodb_test

import (
	"bytes"
	"io"
	"math"
	"net/http"
	"slices"
	"sync"
	"testing"

	sdk "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/leatdev/leat/pipeline/aws"
	"github.com/leatdev/leat/pipeline/eventstore/dynamodb"
)

// behind runs something once behind the first query of the outbox.
type behind struct {
	once sync.Once
	run  func()
}

func (b *behind) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	res, err := http.DefaultTransport.RoundTrip(r)
	if r.Header.Get("X-Amz-Target") == "DynamoDB_20120810.Query" && bytes.Contains(body, []byte(`{"S":"O"}`)) {
		b.once.Do(b.run)
	}
	return res, err
}

// TestOutboxBetweenPages holds that of two rows which one transaction after another wrote, the first is given first,
// though both came while the outbox was being read, the first where the reading had passed already.
func TestOutboxBetweenPages(t *testing.T) {
	t.Parallel()
	server := fake(t, nil)
	c := client(t, server.URL)
	const name = "outbox"
	put := func(id int64, bytes int) { putRow(t, c, name, id, bytes) }
	b := &behind{run: func() { put(15, 1); put(60, 1) }}
	s := openOutbox(t, server.URL, name, b)
	for _, id := range []int64{10, 20, 30, 40, 50} { // the fifth is on the second page
		put(id, 300<<10)
	}
	var got []int64
	for range 10 {
		rows, err := s.ReadOutbox(t.Context(), got, 100, math.MaxInt)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range rows {
			got = append(got, r.ID)
		}
	}
	if len(got) != 7 || slices.Index(got, 15) > slices.Index(got, 60) {
		t.Errorf("given %v", got)
	}
}

// TestOutboxTakenMeanwhile holds that no rows are given only where there are none: another daemon takes in and drops what
// the first reading had, while a row that it had not seen waits behind.
func TestOutboxTakenMeanwhile(t *testing.T) {
	t.Parallel()
	server := fake(t, nil)
	c := client(t, server.URL)
	const name = "outbox"
	other := openOutbox(t, server.URL, name, http.DefaultTransport)
	b := &behind{run: func() {
		if err := other.DropOutbox(t.Context(), []int64{10, 20}); err != nil {
			t.Error(err)
		}
	}}
	s := openOutbox(t, server.URL, name, b)
	for _, id := range []int64{10, 20, 30} {
		putRow(t, c, name, id, 1)
	}
	rows, err := s.ReadOutbox(t.Context(), nil, 2, math.MaxInt)
	if err != nil || len(rows) != 1 || rows[0].ID != 30 {
		t.Errorf("given %v, %v", rows, err)
	}
}

func openOutbox(t *testing.T, url, table string, transport http.RoundTripper) *dynamodb.Store {
	t.Helper()
	cfg, err := aws.Load(t.Context(), aws.Settings{Region: "eu-west-1", Endpoint: url}, transport, 8)
	if err != nil {
		t.Fatal(err)
	}
	return openStore(t, dynamodb.Config{Client: aws.NewDynamoDB(cfg), Table: table})
}

// putRow puts a row as an application's transaction does.
func putRow(t *testing.T, c *aws.DynamoDB, table string, id int64, bytes int) {
	t.Helper()
	_, err := c.PutItem(t.Context(), &sdk.PutItemInput{TableName: &table, Item: map[string]types.AttributeValue{
		"pk": &types.AttributeValueMemberS{Value: "O"}, "sk": &types.AttributeValueMemberS{Value: dynamodb.Pad(id)},
		"body": &types.AttributeValueMemberB{Value: make([]byte, bytes)},
	}})
	if err != nil {
		t.Fatal(err)
	}
}
