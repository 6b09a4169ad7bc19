package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge/types"

	"github.com/leatdev/leat/pipeline/aws"
	"github.com/leatdev/leat/pipeline/aws/mototest"
)

// TestTradeInventoryExample does what the README of examples/trade-inventory says, against moto.
func TestTradeInventoryExample(t *testing.T) {
	endpoint := mototest.Start(t)
	awsEnv(t, endpoint)
	t.Setenv("AWS_ENDPOINT_URL", endpoint)
	t.Setenv("AWS_REGION", "eu-west-1")
	const file = "examples/trade-inventory/pipeline.yaml"
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	dir, addr := t.TempDir(), freePort(t)
	t.Setenv("LEAT_DATA", filepath.Join(dir, "data"))

	if r := leat(t, root, nil, "test", "examples/trade-inventory"); r.code != 0 {
		t.Errorf("leat test: %d\n%s%s", r.code, r.out, r.err)
	}
	for _, name := range []string{"source", "sink"} {
		if r := leat(t, root, nil, "describe", name, "eventbridge", "--policy", file); r.code != 0 || !strings.Contains(r.out, `"Effect": "Allow"`) {
			t.Errorf("describe %s --policy: %d\n%s%s", name, r.code, r.out, r.err)
		}
	}
	run := func() *child {
		return startLeat(t, root, nil, "run", file, "--listen", addr, "--log-format", "json")
	}
	if code := run().exit(t, time.Minute); code != 3 {
		t.Errorf("without the bus: exit code %d", code)
	}

	cfg, err := aws.Load(t.Context(), aws.Settings{Endpoint: endpoint, Region: "eu-west-1"}, nil, 2)
	if err != nil {
		t.Fatal(err)
	}
	defer aws.Close(cfg)
	events := eventbridge.NewFromConfig(cfg)
	for _, name := range []string{"platform-events", "orders"} {
		if _, err := events.CreateEventBus(t.Context(), &eventbridge.CreateEventBusInput{Name: &name}); err != nil {
			t.Fatal(err)
		}
	}
	doctor := func() string {
		r := leat(t, root, nil, "doctor", file, "--text")
		return r.out + r.err
	}
	if said := doctor(); !strings.Contains(said, "the queue trade-inventory does not exist") {
		t.Errorf("doctor before the first start:\n%s", said)
	}
	c := run()
	if !c.ready(t, addr) {
		t.Fatalf("%s", c.stderr.String())
	}
	for _, want := range []string{"queue trade-inventory-undelivered", "queue trade-inventory-failed", "rule trade-inventory", "target of rule trade-inventory"} {
		if !strings.Contains(c.stderr.String(), want) {
			t.Errorf("the log does not say %q:\n%s", want, c.stderr.String())
		}
	}
	if said := doctor(); !strings.Contains(said, "the rule trade-inventory feeds the queue with the pattern of the config") {
		t.Errorf("doctor once it runs:\n%s", said)
	}

	text, err := os.ReadFile(filepath.Join(root, "examples/trade-inventory/events.json"))
	if err != nil {
		t.Fatal(err)
	}
	var entries []types.PutEventsRequestEntry
	if err := json.Unmarshal(text, &entries); err != nil {
		t.Fatal(err)
	}
	if _, err := events.PutEvents(t.Context(), &eventbridge.PutEventsInput{Entries: entries}); err != nil {
		t.Fatal(err)
	}
	until := func(what string, args []string, want string) {
		t.Helper()
		for deadline := time.Now().Add(time.Minute); ; {
			r := leat(t, root, nil, append(args, "--server", addr)...)
			if r.code == 0 && strings.Contains(r.out, want) {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s: no %s in\n%s%s\n%s", what, want, r.out, r.err, clip(c.stderr.String()))
			}
			time.Sleep(50 * time.Millisecond) // another process: there is nothing but asking
		}
	}
	until("the table", []string{"table", "inventory"}, "1299.5")
	until("the log", []string{"store", "read", "trade/t-1"}, "TradeInventoryReleased")
	until("the parked trade", []string{"poison", "ls", "--text"}, "validate")
	until("why", []string{"poison", "show", "1"}, "ab 3")
	until("mending", []string{"poison", "edit", "1", "--payload", "examples/trade-inventory/mended.json"}, "")
	until("sending again", []string{"poison", "retry", "1"}, "")
	until("the table", []string{"table", "inventory"}, "AB-3")

	_ = c.cmd.Process.Signal(syscall.SIGTERM)
	if code := c.exit(t, time.Minute); code != 0 {
		t.Errorf("exit code %d\n%s", code, clip(c.stderr.String()))
	}
	// A second start makes nothing.
	again := run()
	if !again.ready(t, addr) {
		t.Fatalf("%s", again.stderr.String())
	}
	if strings.Contains(again.stderr.String(), "provisioned") {
		t.Errorf("the second start made something:\n%s", again.stderr.String())
	}
	_ = again.cmd.Process.Signal(syscall.SIGTERM)
	again.exit(t, time.Minute)
}
