package dynamodb_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	sdk "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/google/go-cmp/cmp"

	"github.com/leatdev/leat/pipeline/aws"
	"github.com/leatdev/leat/pipeline/aws/dynamofake"
	"github.com/leatdev/leat/pipeline/aws/mototest"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/eventstore/dynamodb"
)

// denying lets calls through but for one action, as a policy does.
func denying(t *testing.T, f *dynamofake.Server, action string) string {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(body))
		_, op, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
		asks := op == action || (op == "TransactWriteItems" && bytes.Contains(body, []byte(`"`+strings.TrimSuffix(action, "Item")+`":`)))
		if asks && action != "" {
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprintf(w, `{"__type":"com.amazon.coral.service#AccessDeniedException","Message":"User: x is not authorized to perform: dynamodb:%s on resource: y"}`, action)
			return
		}
		f.ServeHTTP(w, r)
	}))
	t.Cleanup(srv.Close)
	return srv.URL
}

func look(t *testing.T, s dynamodb.Settings, url string) (out []string) {
	t.Helper()
	s.Settings = aws.Settings{Region: "eu-west-1", Endpoint: url}
	for _, f := range s.Check(t.Context(), eventstore.Env{}) {
		out = append(out, string(f.Severity)+": "+f.What)
		if (f.Severity != "ok") != (f.Mend != "") && f.Severity != "unreachable" && !strings.Contains(f.What, "deleting") {
			t.Errorf("%s: what to do is %q", f.What, f.Mend)
		}
	}
	return out
}

func TestCheck(t *testing.T) {
	t.Parallel()
	f := fake(t, nil)
	c := client(t, f.URL)
	there := "ok: the table %s is there, with the keys and the index of an event store"
	const noTTL, rights = "ok: no time to live deletes from it", "ok: the credentials may read, write and delete its items"
	const noPITR = "warning: point-in-time recovery is off: a table that is deleted or written over by mistake is gone"
	if err := openStore(t, dynamodb.Config{Client: c, Table: "demand"}).Close(); err != nil {
		t.Fatal(err)
	}
	openStore(t, dynamodb.Config{Client: c, Table: "little", ReadCapacity: 5, WriteCapacity: 10})
	openStore(t, dynamodb.Config{Client: c, Table: "much", ReadCapacity: 50, WriteCapacity: 100})
	name, k := "foreign", "id"
	if _, err := c.CreateTable(t.Context(), &sdk.CreateTableInput{TableName: &name, KeySchema: []types.KeySchemaElement{{AttributeName: &k, KeyType: types.KeyTypeHash}}, AttributeDefinitions: []types.AttributeDefinition{{AttributeName: &k, AttributeType: types.ScalarAttributeTypeS}}}); err != nil {
		t.Fatal(err)
	}
	items := f.Items("demand")
	for _, tt := range []struct {
		table  string
		create bool
		denied string
		want   []string
	}{
		{"demand", true, "", []string{fmt.Sprintf(there, "demand"), "ok: its capacity is on demand", noPITR, noTTL, rights}},
		{"little", true, "", []string{fmt.Sprintf(there, "little"), "warning: its capacity is provisioned: 5 read and 10 write units a second; one append takes 4 write units, so that 2 a second is what it bears for long", noPITR, noTTL, rights}},
		{"much", true, "", []string{fmt.Sprintf(there, "much"), "ok: its capacity is provisioned: 50 read and 100 write units a second", noPITR, noTTL, rights}},
		{"missing", true, "", []string{"ok: there is no table missing yet; the first run makes it"}},
		{"missing", false, "", []string{"problem: there is no table missing, and create is false"}},
		{"foreign", true, "", []string{"problem: the table foreign: dynamodb: this is no event store for this program: its keys are [id], not pk and sk"}},
		{"demand", true, "PutItem", []string{fmt.Sprintf(there, "demand"), "ok: its capacity is on demand", noPITR, noTTL, "unreachable: table demand: denied; the role or user needs dynamodb:PutItem there: AccessDeniedException: User: x is not authorized to perform: dynamodb:PutItem on resource: y"}},
		{"demand", true, "DeleteItem", []string{fmt.Sprintf(there, "demand"), "ok: its capacity is on demand", noPITR, noTTL, "unreachable: table demand: denied; the role or user needs dynamodb:DeleteItem there: AccessDeniedException: User: x is not authorized to perform: dynamodb:DeleteItem on resource: y"}},
		{"demand", true, "Query", []string{fmt.Sprintf(there, "demand"), "ok: its capacity is on demand", noPITR, noTTL, "unreachable: table demand: denied; the role or user needs dynamodb:Query there: AccessDeniedException: User: x is not authorized to perform: dynamodb:Query on resource: y"}},
		{"demand", true, "DescribeContinuousBackups", []string{fmt.Sprintf(there, "demand"), "ok: its capacity is on demand", "ok: whether it has point-in-time recovery was not looked at, which takes dynamodb:DescribeContinuousBackups", noTTL, rights}},
		{"demand", true, "DescribeTable", []string{"unreachable: table demand: denied; the role or user needs dynamodb:DescribeTable there: AccessDeniedException: User: x is not authorized to perform: dynamodb:DescribeTable on resource: y"}},
	} {
		t.Run(tt.table+" "+tt.denied, func(t *testing.T) {
			got := look(t, dynamodb.Settings{Table: tt.table, Create: tt.create}, denying(t, f, tt.denied))
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	if n := f.Items("demand"); n != items {
		t.Errorf("there were %d items, there are %d", items, n)
	}
	gone := httptest.NewServer(nil)
	gone.Close()
	if got := look(t, dynamodb.Settings{Table: "demand"}, gone.URL); len(got) != 1 || !strings.HasPrefix(got[0], "unreachable: ") {
		t.Errorf("no service: %q", got)
	}
}

// TestCheckMoto looks at a table of moto's, with recovery off, on, and a time to live.
func TestCheckMoto(t *testing.T) {
	t.Parallel()
	url := mototest.OneAtATime(t, mototest.Start(t))
	openStore(t, dynamodb.Config{Client: client(t, url), Table: "leat"})
	for i, f := range look(t, dynamodb.Settings{Table: "leat", Create: true}, url) {
		if strings.HasPrefix(f, "warning: point-in-time recovery is off") != (i == 2) || (i != 2 && !strings.HasPrefix(f, "ok: ")) {
			t.Errorf("%d: %s", i, f)
		}
	}
	cfg, err := aws.Load(t.Context(), aws.Settings{Region: "eu-west-1", Endpoint: url}, http.DefaultTransport, 1)
	if err != nil {
		t.Fatal(err)
	}
	c, name, attribute, yes := sdk.NewFromConfig(cfg), "leat", "until", true
	if _, err := c.UpdateTimeToLive(t.Context(), &sdk.UpdateTimeToLiveInput{TableName: &name, TimeToLiveSpecification: &types.TimeToLiveSpecification{AttributeName: &attribute, Enabled: &yes}}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.UpdateContinuousBackups(t.Context(), &sdk.UpdateContinuousBackupsInput{TableName: &name, PointInTimeRecoverySpecification: &types.PointInTimeRecoverySpecification{PointInTimeRecoveryEnabled: &yes}}); err != nil {
		t.Fatal(err)
	}
	got := look(t, dynamodb.Settings{Table: "leat", Create: true}, url)
	if got[2] != "ok: point-in-time recovery is on" || !strings.HasPrefix(got[3], "warning: it has a time to live on the attribute until") {
		t.Errorf("%q", got)
	}
}
