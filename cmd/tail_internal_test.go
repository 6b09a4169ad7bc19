package cmd

import (
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/leatdev/leat/pipeline/aws/awsfake"
	_ "github.com/leatdev/leat/pipeline/aws/awswatch"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/watch"
)

// A panic while an event is shown passes on, and leaves nothing behind.
func TestTailCleansUpBehindAPanic(t *testing.T) {
	cloud := awsfake.New(nil)
	srv := httptest.NewServer(cloud)
	defer srv.Close()
	for k, v := range map[string]string{
		"AWS_ENDPOINT_URL": srv.URL, "AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_EC2_METADATA_DISABLED": "true",
		"AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull, "AWS_CA_BUNDLE": "",
	} {
		t.Setenv(k, v)
	}
	tt := newTerminal(t)
	broken := tailing{output: asTemplate} // and no template
	defer func() {
		if recover() == nil {
			t.Error("no panic: the test tests nothing")
		}
		if left := append(cloud.Rules("default"), cloud.Queues()...); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	}()
	go func() { // an event, as soon as there is a queue to send it to
		for t.Context().Err() == nil {
			for _, name := range cloud.Queues() {
				cloud.Send(name, awsfake.Message{Body: `{"id":"e","detail-type":"T","source":"s","detail":{}}`})
				return
			}
			time.Sleep(time.Millisecond)
		}
	}()
	_ = tt.watchBus(t.Context(), &broken, &cloudFlags{}, watch.BusOptions{Now: time.Now}, false)
}

// What comes from outside cannot steer the terminal, in any form; JSON stays the same JSON.
func TestTailIsHarmlessToATerminal(t *testing.T) {
	evil := "a\u009b31mb\x7f\u202e\U000e0001é"
	body := `{"n":1.50,"s":"` + evil + `"}`
	for form, want := range map[string]string{
		asPretty: "  {\n    \"n\": 1.50,\n    \"s\": \"a\\u009b31mb\\u007f\\u202e\\udb40\\udc01é\"\n  }\n",
		asJSON:   `"data":{"n":1.50,"s":"a\u009b31mb\u007f\u202e\udb40\udc01é"}`,
	} {
		tt := newTerminal(t)
		tt.vars["NO_COLOR"] = "1"
		tl := tailing{output: form}
		if err := tl.prepare(&tt.app, true); err != nil {
			t.Fatal(err)
		}
		line, err := tl.print(&tt.app, ofStore(&event.Recorded{Event: event.Event{ID: "x\x1b[2J", Type: evil, Data: []byte(body)}}))
		if err != nil || !strings.Contains(string(line), want) || strings.ContainsAny(string(line), "\x1b\u009b\x7f\u202e") {
			t.Errorf("%s: %q, %v", form, line, err)
		}
	}
	if got := string(harmless([]byte("ok\n\tno\x1b\xff"), false)); got != "ok\n\tno\\u001b\\xff" {
		t.Errorf("%q", got)
	}
}

func TestTailColour(t *testing.T) {
	tt := newTerminal(t)
	e := ofStore(&event.Recorded{Event: event.Event{ID: "e", Type: "Made", Data: []byte(`{}`)}})
	if got := string(e.pretty(&tt.app)); !strings.Contains(got, "\x1b[1mMade\x1b[0m") {
		t.Errorf("no colour on a terminal: %q", got)
	}
	tt.outTTY = false
	if got := string(e.pretty(&tt.app)); strings.Contains(got, "\x1b") {
		t.Errorf("colour in a pipe: %q", got)
	}
}
