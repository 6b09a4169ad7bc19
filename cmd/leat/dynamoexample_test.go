package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/leatdev/leat/pipeline/aws/dynamofake"
	"github.com/leatdev/leat/pipeline/aws/mototest"
	"github.com/leatdev/leat/pipeline/seedtest"
)

// storeOnDynamo is what examples/domain-events/README.md says to add.
func storeOnDynamo(t *testing.T) string {
	t.Helper()
	readme, err := os.ReadFile("../../examples/domain-events/README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(readme), "```yaml\n")
	block, _, closed := strings.Cut(rest, "```")
	if !ok || !closed || !strings.Contains(block, "dynamodb") {
		t.Fatal("the README has no block that puts the store on DynamoDB")
	}
	return block
}

// domainEvents copies the example, with its store on DynamoDB.
func domainEvents(t *testing.T, dir string) {
	t.Helper()
	yaml, err := os.ReadFile("../../examples/domain-events/pipeline.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "data"), 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, dir, "pipeline.yaml", string(yaml)+"\n"+storeOnDynamo(t))
}

type domainAccount struct {
	Account  string
	Owner    *string
	Balance  json.Number
	Status   *string
	Revision int
}

func accountsOf(t *testing.T, dir string, env []string) map[string]domainAccount {
	t.Helper()
	out, err := leatOutput(t, dir, env, "table", "accounts", "pipeline.yaml")
	if err != nil {
		t.Fatalf("the table: %v\n%s", err, out)
	}
	all := map[string]domainAccount{}
	for lines := bufio.NewScanner(strings.NewReader(out)); lines.Scan(); {
		var a domainAccount
		if err := json.Unmarshal(lines.Bytes(), &a); err != nil {
			t.Fatal(err)
		}
		all[a.Account] = a
	}
	return all
}

// TestDomainEventsOnDynamo runs the example with its own events on moto: put in, state, alarm, mended.
func TestDomainEventsOnDynamo(t *testing.T) {
	url := mototest.OneAtATime(t, mototest.Start(t))
	awsEnv(t, url)
	example, err := filepath.Abs("../../examples/domain-events")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	domainEvents(t, dir)
	env := []string{"AWS_ENDPOINT_URL=" + url, "DOMAIN_EVENTS=" + example, "LEAT_DATA=" + filepath.Join(dir, "data")}
	run := func() {
		t.Helper()
		c := startLeat(t, dir, env, "run", "pipeline.yaml", "--log-level", "error")
		if code := c.exit(t, time.Minute); code != 0 {
			t.Fatalf("exit %d:\n%s", code, c.stderr.String())
		}
	}
	run()
	first := accountsOf(t, dir, env)
	if a := first["a-1"]; len(first) != 1 || a.Balance != "87.66" || *a.Status != "open" || *a.Owner != "ann" || a.Revision != 2 {
		t.Errorf("the state: %+v", first)
	}
	alarm, err := os.ReadFile(filepath.Join(dir, "data", "alarms.ndjson"))
	if err != nil || bytes.Count(alarm, []byte("\n")) != 1 || !bytes.Contains(alarm, []byte("MoneyDeposited")) {
		t.Errorf("the alarm: %v\n%s", err, alarm)
	}
	log, err := leatOutput(t, dir, env, "store", "read", "--all", "pipeline.yaml")
	if err != nil || strings.Count(log, "\n") != 3 {
		t.Errorf("the log: %v\n%s", err, log)
	}
	if _, err := os.Stat(filepath.Join(dir, "data", "leat.db")); err == nil {
		t.Error("something is in an embedded store")
	}
	run() // nothing comes twice
	if diff := cmp.Diff(first, accountsOf(t, dir, env)); diff != "" {
		t.Errorf("a second run changes the state (-first +second):\n%s", diff)
	}
	yaml, err := os.ReadFile(filepath.Join(dir, "pipeline.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	mended := strings.Replace(string(yaml), "MoneyDeposited: { add: { balance: data.payload.amount } }", `MoneyDeposited: { add: { balance: "data.payload.amount ?? data.payload.sum" } }`, 1)
	mended = strings.Replace(mended, "by: text }", "by: text }\n    version: 2", 1)
	write(t, dir, "pipeline.yaml", mended)
	run()
	second := accountsOf(t, dir, env)
	if a := second["a-2"]; len(second) != 2 || a.Balance != "5" || second["a-1"].Balance != "87.66" {
		t.Errorf("the state under version 2: %+v", second)
	}
}

// TestDomainEventsKilled kills it in the middle of many events while the database throttles, cancels and loses answers: in
// the end every effect is there once.
func TestDomainEventsKilled(t *testing.T) {
	seed := seedtest.New(t)
	random := rand.New(rand.NewPCG(seed, 0))
	f := dynamofake.New(&dynamofake.Plan{Seed: seed, Throttle: 0.02, Fail: 0.02, Lose: 0.03, Break: 0.02, Conflict: 0.005, Part: 0.2, Skip: 0.05})
	t.Cleanup(f.Close)
	awsEnv(t, f.URL)
	dir := t.TempDir()
	domainEvents(t, dir)
	env := []string{"AWS_ENDPOINT_URL=" + f.URL, "DOMAIN_EVENTS=" + dir, "LEAT_DATA=" + filepath.Join(dir, "data")}
	const accounts, events, kills = 12, 300, 2
	balances, revisions := map[string]int{}, map[string]int{}
	var bus strings.Builder
	for n := range events {
		account := fmt.Sprintf("a-%d", random.IntN(accounts))
		name, amount := "MoneyDeposited", 1+random.IntN(50)
		switch {
		case revisions[account] == 0:
			name = "AccountOpened"
			balances[account] += amount
		case n%3 == 0:
			name = "MoneyWithdrawn"
			balances[account] -= amount
		default:
			balances[account] += amount
		}
		revisions[account]++
		line := fmt.Sprintf(`{"version":"0","id":"b-%d","detail-type":"DomainEvent","source":"bank","account":"1","time":"2026-03-02T09:00:00Z","region":"eu-west-1","resources":[],"detail":{"DomainId":%q,"EventTime":"2026-03-02T09:00:00Z","EventId":"e-%d","CorrelationId":"c","UserId":"ann","EventType":"DOMAIN","EventName":%q,"DomainName":"Account","IpAddress":"192.0.2.1","Payload":{"owner":"ann","amount":%d},"Version":"1"}}`+"\n", n, account, n, name, amount)
		bus.WriteString(line)
		if n%10 == 0 { // sent again
			bus.WriteString(strings.Replace(line, `"id":"b-`, `"id":"again-`, 1))
		}
	}
	write(t, dir, "bus.ndjson", bus.String())
	for range kills {
		c := startLeat(t, dir, env, "run", "pipeline.yaml", "--log-level", "error")
		select {
		case <-c.done:
		case <-time.After(time.Duration(300+random.IntN(700)) * time.Millisecond): // the moment of the kill is the point
		}
		c.kill()
	}
	c := startLeat(t, dir, env, "run", "pipeline.yaml", "--log-level", "error")
	if code := c.exit(t, 2*time.Minute); code != 0 {
		t.Fatalf("exit %d:\n%s", code, c.stderr.String())
	}
	got := accountsOf(t, dir, env)
	if len(got) != len(balances) {
		t.Errorf("%d accounts, %d wanted", len(got), len(balances))
	}
	for account, balance := range balances {
		if a := got[account]; string(a.Balance) != fmt.Sprint(balance) || a.Revision != revisions[account] {
			t.Errorf("%s: balance %s at revision %d; %d at %d wanted", account, a.Balance, a.Revision, balance, revisions[account])
		}
	}
	out, err := leatOutput(t, dir, env, "store", "verify", "pipeline.yaml")
	if err != nil {
		t.Errorf("verify: %v\n%s", err, out)
	}
	if out, err := leatOutput(t, dir, env, "poison", "ls", "pipeline.yaml"); err != nil || strings.TrimSpace(out) != "" {
		t.Errorf("parked: %v\n%s", err, out)
	}
}
