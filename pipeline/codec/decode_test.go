package codec_test

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/leatdev/leat/pipeline/codec"
	"github.com/leatdev/leat/pipeline/event"
)

// fields is what Decode finds, in a form that diffs well.
type fields struct {
	Envelope, ID, Source, Type, Subject, Data, Metadata string
	Time                                                time.Time
}

func decoded(t *testing.T, raw string, want event.Envelope) (event.Event, fields) {
	t.Helper()
	e := event.Event{Raw: []byte(raw)}
	if err := codec.Decode(&e, want, 0); err != nil {
		t.Fatalf("Decode(%.200s): %v", raw, err)
	}
	f := e
	codec.FillMetadata(&f)
	return e, fields{e.Envelope.String(), e.ID, e.Source, e.Type, e.Subject, string(e.Data), string(f.Metadata), e.Time}
}

func sns(message string) string {
	text, _ := json.Marshal(message)
	return `{"Type":"Notification","MessageId":"m-1","TopicArn":"arn:topic","Subject":"subj","Message":` + string(text) +
		`,"Timestamp":"2026-01-02T03:04:05.678Z","SignatureVersion":"1","MessageAttributes":{"tenant":{"Type":"String","Value":"t1"}}}`
}

func TestDecode(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, tt := range []struct {
		name string
		raw  string
		as   event.Envelope
		want fields
	}{
		{
			name: "eventbridge, the four fields",
			raw:  `{"id":"e-1","source":"shop","detail-type":"OrderCreated","detail":{"order_id":"o-1"}}`,
			want: fields{Envelope: "eventbridge", ID: "e-1", Source: "shop", Type: "OrderCreated", Data: `{"order_id":"o-1"}`},
		},
		{
			name: "eventbridge, as the service delivers it",
			raw: `{"version":"0","id":"e-1","detail-type":"T","source":"s","account":"123","time":"2026-01-02T03:04:05Z",` +
				`"region":"eu-west-1","resources":["arn:1"],"detail":{}, "replay-name":"again"}`,
			want: fields{
				Envelope: "eventbridge", ID: "e-1", Source: "s", Type: "T", Time: at, Data: "{}",
				Metadata: `{"account":"123","region":"eu-west-1","replay-name":"again","resources":["arn:1"],"version":"0"}`,
			},
		},
		{
			name: "eventbridge without id, with nulls and white space",
			raw:  " { \"detail\" : { \"a\" : 1 } , \"id\":null, \"time\":null, \"account\":null, \"source\":\"s\",\"detail-type\":\"T\" }\r\n",
			want: fields{Envelope: "eventbridge", Source: "s", Type: "T", Data: `{ "a" : 1 }`},
		},
		{
			name: "escapes in keys and values, a time with an offset",
			raw:  `{"i\u0064":"\u00e9\n","source":"s\"","detail-type":"T","time":"2026-01-02T05:04:05+02:00","detail":{}}`,
			want: fields{Envelope: "eventbridge", ID: "é\n", Source: `s"`, Type: "T", Time: at, Data: "{}"},
		},
		{
			name: "duplicate keys: the last counts",
			raw:  `{"id":"1","id":"2","source":"a","source":"s","detail-type":"T","detail":{"n":1},"x":1,"detail":{"n":2},"x":2}`,
			want: fields{Envelope: "eventbridge", ID: "2", Source: "s", Type: "T", Data: `{"n":2}`, Metadata: `{"x":2}`},
		},
		{
			name: "cloudevents",
			raw: `{"specversion":"1.0","id":"c-1","source":"/s","type":"t","subject":"sub","time":"2026-01-02T03:04:05Z",` +
				`"datacontenttype":"application/json","tenant":"t1","data":[1,2]}`,
			want: fields{
				Envelope: "cloudevents", ID: "c-1", Source: "/s", Type: "t", Subject: "sub", Time: at, Data: "[1,2]",
				Metadata: `{"datacontenttype":"application/json","tenant":"t1"}`,
			},
		},
		{
			name: "cloudevents without data",
			raw:  `{"specversion":"1.0","id":"c-1","source":"/s","type":"t"}`,
			want: fields{Envelope: "cloudevents", ID: "c-1", Source: "/s", Type: "t"},
		},
		{
			name: "cloudevents, JSON in base64",
			raw:  `{"specversion":"1.0","id":"c-1","source":"/s","type":"t","data_base64":"` + base64.StdEncoding.EncodeToString([]byte(` {"a":1} `)) + `"}`,
			want: fields{Envelope: "cloudevents", ID: "c-1", Source: "/s", Type: "t", Data: `{"a":1}`},
		},
		{
			name: "sns with text",
			raw:  sns("hello\nworld"),
			want: fields{
				Envelope: "sns", ID: "m-1", Source: "arn:topic", Subject: "subj", Time: at.Add(678 * time.Millisecond), Data: `"hello\nworld"`,
				Metadata: `{"MessageId":"m-1","TopicArn":"arn:topic","tenant":"t1"}`,
			},
		},
		{
			name: "sns with plain JSON",
			raw:  sns(` {"a":"b"} `),
			want: fields{
				Envelope: "sns", ID: "m-1", Source: "arn:topic", Subject: "subj", Time: at.Add(678 * time.Millisecond), Data: `{"a":"b"}`,
				Metadata: `{"MessageId":"m-1","TopicArn":"arn:topic","tenant":"t1"}`,
			},
		},
		{
			name: "sns with an eventbridge event",
			raw:  sns(`{"id":"e-1","source":"shop","detail-type":"T","detail":{"a":1},"account":"123"}`),
			want: fields{
				Envelope: "sns", ID: "e-1", Source: "shop", Type: "T", Subject: "subj", Time: at.Add(678 * time.Millisecond), Data: `{"a":1}`,
				Metadata: `{"MessageId":"m-1","TopicArn":"arn:topic","account":"123","tenant":"t1"}`,
			},
		},
		{
			name: "sns with a cloudevent",
			raw:  sns(`{"specversion":"1.0","id":"c-1","source":"/s","type":"t","subject":"own","time":"2026-01-02T03:04:05Z","data":1,"ext":true}`),
			want: fields{
				Envelope: "sns", ID: "c-1", Source: "/s", Type: "t", Subject: "own", Time: at, Data: "1",
				Metadata: `{"MessageId":"m-1","TopicArn":"arn:topic","ext":true,"tenant":"t1"}`,
			},
		},
		{name: "plain object", raw: ` {"detail":{},"source":"s"} `, want: fields{Envelope: "json", Data: `{"detail":{},"source":"s"}`}},
		{name: "plain array", raw: "[1,2]\n", want: fields{Envelope: "json", Data: `[1,2]`}},
		{name: "plain number", raw: `12`, want: fields{Envelope: "json", Data: `12`}},
		{name: "an SNS confirmation is plain", raw: `{"Type":"SubscriptionConfirmation","Message":"x"}`, want: fields{Envelope: "json", Data: `{"Type":"SubscriptionConfirmation","Message":"x"}`}},
		{
			name: "told to be plain",
			raw:  `{"id":"e-1","source":"shop","detail-type":"T","detail":{}}`, as: event.Plain,
			want: fields{Envelope: "json", Data: `{"id":"e-1","source":"shop","detail-type":"T","detail":{}}`},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, got := decoded(t, tt.raw, tt.as)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestDecodeRefuses(t *testing.T) {
	deep := strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000)
	for _, tt := range []struct {
		raw  string
		as   event.Envelope
		want string
	}{
		{raw: "", want: "codec: the body is empty"},
		{raw: " \n", want: "codec: the body is empty"},
		{raw: `{"id":"1"`, want: "codec: no valid JSON: unexpected end of JSON at byte 9"},
		{raw: `hello`, want: "codec: no valid JSON: expected a JSON value at byte 0"},
		{raw: `{"detail-type":"T","detail":{"a":NaN}}`, want: "codec: no valid JSON: expected a JSON value at byte 33"},
		{raw: "{\"a\":\"\xff\"}", want: "codec: no valid JSON: invalid UTF-8 at byte 6"},
		{raw: `{"a":` + deep + `}`, want: "codec: no valid JSON: nested too deeply at byte 1004"},
		{raw: deep, want: "codec: no valid JSON: nested too deeply at byte 1000"},
		{raw: `{"id":1,"source":"s","detail-type":"T","detail":{}}`, want: "codec: id: expected a string, found a number"},
		{raw: `{"source":{},"detail-type":"T","detail":{}}`, want: "codec: source: expected a string, found an object"},
		{raw: `{"source":"s","detail-type":["T"],"detail":{}}`, want: "codec: detail-type: expected a string, found an array"},
		{raw: `{"source":"s","detail-type":"T","detail":"{}"}`, want: "codec: detail: expected an object, found a string"},
		{raw: `{"source":"s","detail-type":"T","detail":null}`, want: "codec: detail: expected an object, found null"},
		{raw: `{"source":"s","detail-type":"T"}`, want: `codec: an EventBridge event needs "detail"`},
		{raw: `{"detail-type":"T","detail":{}}`, want: `codec: an EventBridge event needs "source"`},
		{raw: `{"source":"s","detail-type":"","detail":{}}`, want: `codec: an EventBridge event needs "detail-type"`},
		{raw: `{"source":"s","detail-type":"T","detail":{},"time":"yesterday"}`, want: "codec: time: expected a time like 2026-01-31T12:00:00Z (RFC 3339)"},
		{raw: `{"source":"s","detail-type":"T","detail":{},"time":1700000000}`, want: "codec: time: expected a string, found a number"},
		{raw: `{"specversion":"1.0","source":"s","type":"t"}`, want: `codec: a CloudEvent needs "id"`},
		{raw: `{"specversion":"1.0","id":"1","source":"s"}`, want: `codec: a CloudEvent needs "type"`},
		{raw: `{"specversion":"2.0","id":"1","source":"s","type":"t"}`, want: `codec: specversion: leat reads CloudEvents 1.0, not "2.0"`},
		{raw: `{"specversion":"1.0","id":"1","source":"s","type":"t","data_base64":"!"}`, want: "codec: data_base64: illegal base64 data at input byte 0"},
		{raw: `{"specversion":"1.0","id":"1","source":"s","type":"t","data_base64":"AAAA"}`, want: "codec: in data_base64: no valid JSON: expected a JSON value at byte 0"},
		{raw: sns(`{"source":"s","detail-type":"T"}`), want: `codec: in Message: an EventBridge event needs "detail"`},
		{raw: `{"Type":"Notification","Message":1}`, want: "codec: Message: expected a string, found a number"},
		{raw: `{"Type":"Notification","Message":"x","MessageId":1}`, want: "codec: MessageId: expected a string, found a number"},
		{raw: `[]`, as: event.EventBridge, want: "codec: no valid JSON: expected an object at byte 0"},
		{raw: `{}`, as: event.EventBridge, want: `codec: an EventBridge event needs "detail"`},
		{raw: `{}`, as: event.CloudEvents, want: `codec: a CloudEvent needs "specversion"`},
		{raw: `{}`, as: event.SNS, want: "codec: Type: an SNS body must be a Notification"},
		{raw: `{`, as: event.Plain, want: "codec: no valid JSON: unexpected end of JSON at byte 1"},
	} {
		e := event.Event{Raw: []byte(tt.raw)}
		err := codec.Decode(&e, tt.as, 0)
		if err == nil || err.Error() != tt.want {
			t.Errorf("Decode(%.80q) as %s: %v, want %s", tt.raw, tt.as, err, tt.want)
			continue
		}
		if !event.IsPoison(err) || event.Code(err) != event.CodeMalformed {
			t.Errorf("Decode(%.80q): poison %t, code %q", tt.raw, event.IsPoison(err), event.Code(err))
		}
	}
}

func TestDecodeBoundsTheSize(t *testing.T) {
	raw := `{"source":"s","detail-type":"T","detail":{}}`
	for _, tt := range []struct {
		limit int
		code  string
	}{{0, ""}, {len(raw), ""}, {len(raw) - 1, event.CodeTooLarge}} {
		e := event.Event{Raw: []byte(raw)}
		err := codec.Decode(&e, event.Auto, tt.limit)
		if event.Code(err) != tt.code || event.IsPoison(err) != (tt.code != "") {
			t.Errorf("limit %d: %v", tt.limit, err)
		}
	}
}

func TestDecodeForgetsTheEventBefore(t *testing.T) {
	e, _ := decoded(t, `{"specversion":"1.0","id":"c-1","source":"/s","type":"t","subject":"x","time":"2026-01-02T03:04:05Z","data":1}`, event.Auto)
	e.Raw = []byte(`{"source":"s","detail-type":"T","detail":{}}`)
	if err := codec.Decode(&e, event.Auto, 0); err != nil {
		t.Fatal(err)
	}
	if e.ID != "" || e.Subject != "" || !e.Time.IsZero() {
		t.Errorf("left over: id %q, subject %q, time %s", e.ID, e.Subject, e.Time)
	}
}

func TestDataIsAViewIntoRaw(t *testing.T) {
	for _, raw := range []string{
		`{"source":"s","detail-type":"T","detail":{"a":1}}`,
		`{"specversion":"1.0","id":"1","source":"s","type":"t","data":{"a":1}}`,
		` [1] `,
		`{"Type":"Notification","Message":"hello"}`,
	} {
		e, f := decoded(t, raw, event.Auto)
		at, ok := e.DataAt()
		if !ok || raw[at:at+len(f.Data)] != f.Data {
			t.Errorf("%s: data is no view into the body", raw)
		}
	}
}

func TestFillMetadataKeepsWhatIsThere(t *testing.T) {
	e, _ := decoded(t, `{"source":"s","detail-type":"T","detail":{},"account":"1","region":"r"}`, event.Auto)
	e.Metadata = []byte(`{"account":"mine","zone":"z"}`)
	codec.FillMetadata(&e)
	const want = `{"account":"mine","region":"r","zone":"z"}`
	if string(e.Metadata) != want {
		t.Errorf("metadata %s, want %s", e.Metadata, want)
	}
	codec.FillMetadata(&e)
	if string(e.Metadata) != want {
		t.Errorf("a second time: %s, want %s", e.Metadata, want)
	}
}

func TestFillMetadataOfManyMembersIsNotQuadratic(t *testing.T) {
	var raw strings.Builder
	raw.WriteString(`{"source":"s","detail-type":"T","detail":{}`)
	for range 50_000 {
		raw.WriteString(`,"k":1,"j":2`)
	}
	raw.WriteString("}")
	_, f := decoded(t, raw.String(), event.Auto) // a quadratic one takes minutes
	if f.Metadata != `{"j":2,"k":1}` {
		t.Errorf("metadata %.100s", f.Metadata)
	}
}
