package admin

import (
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/go-cmp/cmp"

	"github.com/leatdev/leat/pipeline/poison"
)

type everything struct {
	OfStore
	Text   string         `query:"text" maxLength:"3"`
	Number int            `query:"number" minimum:"2" default:"7"`
	Flag   bool           `query:"flag"`
	Since  time.Time      `query:"since"`
	Texts  []string       `query:"texts,explode"`
	IDs    []int64        `query:"ids,explode"`
	States []poison.State `query:"states,explode"`
	One    string         `query:"one" enum:"a,b"`
	Last   string         `header:"Last-Event-ID"`
}

type shaped struct {
	Body struct {
		Name string `json:"name" minLength:"2"`
		N    int    `json:"n,omitempty"`
	}
}

func reader[T any](op *huma.Operation) *input {
	return inputOf(newDocument("test").Components.Schemas, op, reflect.TypeFor[T]())
}

func TestParameters(t *testing.T) {
	in := reader[everything](&huma.Operation{OperationID: "x"})
	read := func(query string) (everything, string) {
		r := httptest.NewRequestWithContext(t.Context(), "GET", "/?"+query, nil)
		r.SetPathValue("store", "main")
		r.Header.Set("Last-Event-ID", "9")
		var v everything
		p := in.read(r, reflect.ValueOf(&v).Elem())
		if p == nil {
			return v, ""
		}
		if p.Status != http.StatusBadRequest || p.Code != "bad_request" {
			t.Errorf("%s: %d %s", query, p.Status, p.Code)
		}
		var words []string
		for _, f := range p.Errors {
			words = append(words, f.Location+": "+f.Message)
		}
		return v, strings.Join(words, "; ")
	}
	got, _ := read("text=abc&number=5&flag=true&since=2026-01-02T03:04:05.6Z&texts=a,b&texts=c&ids=1&ids=-2&states=parked&one=b")
	want := everything{
		OfStore: OfStore{"main"}, Text: "abc", Number: 5, Flag: true, Since: time.Date(2026, 1, 2, 3, 4, 5, 6e8, time.UTC),
		Texts: []string{"a,b", "c"}, IDs: []int64{1, -2}, States: []poison.State{"parked"}, One: "b", Last: "9",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if got, wrong := read("text="); wrong != "" || got.Number != 7 || got.Text != "" {
		t.Errorf("without parameters: %+v, %s", got, wrong)
	}
	for _, tt := range []struct{ query, want string }{
		{"nmber=1", "query.nmber: unknown query parameter"},
		{"number=1", "query.number: expected number >= 2"},
		{"number=x", "query.number: invalid integer"},
		{"number=99999999999999999999", "query.number: invalid integer"},
		{"flag=maybe", "query.flag: invalid boolean"},
		{"since=yesterday", "query.since: invalid date/time for format 2006-01-02T15:04:05.999999999Z07:00"},
		{"text=abcd", "query.text: expected length <= 3"},
		{"ids=1&ids=x", "query.ids: invalid integer"},
		{"one=c", `query.one: expected value to be one of "a, b"`},
		{"number=1&text=abcd", "query.text: expected length <= 3; query.number: expected number >= 2"},
	} {
		if _, got := read(tt.query); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.query, got, tt.want)
		}
	}
}

func TestBodies(t *testing.T) {
	in := reader[shaped](&huma.Operation{OperationID: "x"})
	for _, tt := range []struct {
		kind, body string
		status     int
		want       string
	}{
		{"application/json", `{"name":"ab","n":3}`, 0, ""},
		{"", `{"name":"ab"}`, 0, ""},
		{"application/merge+json; charset=utf-8", `{"name":"ab"}`, 0, ""},
		{"text/plain", `{"name":"ab"}`, 415, "body: unknown content type: text/plain"},
		{"", ``, 400, ""},
		{"", `{"name":`, 400, "body: unexpected end of JSON input"},
		{"", `{"name":"a","x":1}`, 400, "body.name: expected length >= 2; body.x: unexpected property"},
		{"", `{"name":"ab","n":1.5}`, 400, "body.n: expected integer"},
		{"", `{}`, 400, "body: expected required property name to be present"},
	} {
		r := httptest.NewRequestWithContext(t.Context(), "POST", "/", strings.NewReader(tt.body))
		if tt.kind != "" {
			r.Header.Set("Content-Type", tt.kind)
		}
		var v shaped
		p := in.read(r, reflect.ValueOf(&v).Elem())
		if p == nil {
			if tt.status != 0 || v.Body.Name != "ab" {
				t.Errorf("%s is taken: %+v", tt.body, v)
			}
			continue
		}
		var words []string
		for _, f := range p.Errors {
			words = append(words, f.Location+": "+f.Message)
		}
		if got := strings.Join(words, "; "); p.Status != tt.status || got != tt.want {
			t.Errorf("%s %s: %d %q, want %d %q", tt.kind, tt.body, p.Status, got, tt.status, tt.want)
		}
	}
}
