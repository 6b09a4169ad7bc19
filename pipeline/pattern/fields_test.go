package pattern_test

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/leatdev/leat/pipeline/pattern"
)

// fieldsOf takes an event's envelope apart; ok is false where Fields cannot hold it.
func fieldsOf(event []byte) (f pattern.Fields, ok bool) {
	var top map[string]json.RawMessage
	if json.Unmarshal(event, &top) != nil || bytes.Count(event, []byte(`"detail"`)) > 1 {
		return f, false
	}
	for name, to := range map[string]*string{
		"version": &f.Version, "id": &f.ID, "detail-type": &f.DetailType, "source": &f.Source,
		"account": &f.Account, "time": &f.Time, "region": &f.Region,
	} {
		if raw, there := top[name]; there {
			if json.Unmarshal(raw, to) != nil || *to == "" || raw[0] != '"' {
				return f, false
			}
			delete(top, name)
		}
	}
	if raw, there := top["resources"]; there {
		if json.Unmarshal(raw, &f.Resources) != nil || raw[0] != '[' || bytes.Contains(raw, []byte("null")) {
			return f, false
		}
		delete(top, "resources")
	}
	if raw, there := top["detail"]; there {
		f.Detail = raw
		delete(top, "detail")
	}
	if len(top) > 0 {
		f.Other, _ = json.Marshal(top)
	}
	return f, true
}

// TestFieldsConformance compares MatchFields with Match over all vectors whose events have an envelope that Fields can hold.
func TestFieldsConformance(t *testing.T) {
	n := 0
	set := pattern.NewSet[string]()
	vs := append(operatorVectors(t), vectors(t)...)
	for _, v := range vs {
		p, err := pattern.Compile(v.text())
		if err != nil {
			continue
		}
		f, ok := fieldsOf(v.Event)
		if !ok {
			continue
		}
		n++
		event := f.AppendJSON(nil)
		if !json.Valid(event) {
			t.Fatalf("%s: AppendJSON: %s", v.Name, event)
		}
		want, err := p.Match(event)
		if err != nil {
			t.Fatalf("%s: %v", v.Name, err)
		}
		if got, err := p.MatchFields(&f); err != nil || got != want {
			t.Errorf("%s: MatchFields: %v, %v; want %v\npattern %s\nevent %s", v.Name, got, err, want, p, event)
		}
		id := set.AddPattern(p, v.Name)
		found, err := set.AppendMatchesFields(nil, &f)
		if err != nil || len(found) == 1 != want {
			t.Errorf("%s: AppendMatchesFields: %q, %v; want %v\npattern %s\nevent %s", v.Name, found, err, want, p, event)
		}
		set.Remove(id)
	}
	if n < 1000 {
		t.Errorf("only %d of %d vectors compared", n, len(vs))
	}
}

func TestFields(t *testing.T) {
	f := pattern.Fields{
		Version: "0", ID: "1", DetailType: "Order \"Placed\"", Source: "shop\n", Account: "123456789012", Time: "2026-08-20T09:12:33Z",
		Region: "eu-west-1", Resources: []string{"arn:1", "arn:2"}, Detail: []byte(`{"a":[{"b":1}]}`), Other: []byte(` {"replay-name":"r1"} `),
	}
	for _, tt := range []struct {
		text string
		want bool
	}{
		{`{"source":["shop\n"],"detail-type":["Order \"Placed\""]}`, true},
		{`{"source":["shop"]}`, false},
		{`{"source":["shop"],"detail":{"a":{"b":[1]}}}`, false},
		{`{"source":[{"prefix":"shop"}],"detail":{"a":{"b":[1]}}}`, true},
		{`{"source":[{"exists":false}]}`, false},
		{`{"resources":["arn:2"]}`, true},
		{`{"resources":[{"anything-but":["arn:1","arn:2"]}]}`, false},
		{`{"version":["0"],"id":["1"],"account":["123456789012"],"time":[{"prefix":"2026"}],"region":[{"suffix":"-1"}]}`, true},
		{`{"replay-name":["r1"]}`, true},
		{`{"replay-name":[{"exists":false}]}`, false},
		{`{"detail.a.b":[1]}`, true},
		{`{"detail":[{"exists":false}]}`, true},
		{`{"detail":{"a":{"b":[{"numeric":[">",1]}]}}}`, false},
		{`{"$or":[{"source":["x"]},{"detail":{"a":{"b":[1]}}}]}`, true},
		{`{"$or":[{"source":["x"]},{"account":["y"],"detail":{"a":{"b":[1]}}}]}`, false},
	} {
		p, err := pattern.CompileString(tt.text)
		if err != nil {
			t.Fatal(err)
		}
		set := pattern.NewSet[int]()
		set.AddPattern(p, 1)
		alone, err1 := p.MatchFields(&f)
		n := 0
		err2 := set.MatchFields(&f, func(int) bool { n++; return true })
		whole, err3 := p.Match(f.AppendJSON(nil))
		if alone != tt.want || n == 1 != tt.want || whole != tt.want || err1 != nil || err2 != nil || err3 != nil {
			t.Errorf("%s: MatchFields %v, Set.MatchFields %d, Match of AppendJSON %v; want %v (%v, %v, %v)", tt.text, alone, n, whole, tt.want, err1, err2, err3)
		}
	}
}

// TestFieldsInOther: what of the envelope is no plain text stands in Other.
func TestFieldsInOther(t *testing.T) {
	f := pattern.Fields{Source: "shop", Other: []byte(`{"resources":[["arn:1"],["arn:2"]],"id":7}`), Detail: []byte(`{"a":1}`)}
	set := pattern.NewSet[int]()
	texts := []string{`{"resources":["arn:2"],"detail":{"a":[1]}}`, `{"id":[7],"detail":{"a":[1]}}`, `{"resources":["arn:2"]}`}
	for i, text := range texts {
		p := compile(t, text)
		if ok, err := p.MatchFields(&f); !ok || err != nil {
			t.Errorf("%s: %v, %v", text, ok, err)
		}
		set.AddPattern(p, i)
	}
	if got, err := set.AppendMatchesFields(nil, &f); len(got) != len(texts) || err != nil {
		t.Errorf("the set: %v, %v", got, err)
	}
}

// TestFieldsUnread: where the envelope decides, detail is not looked at.
func TestFieldsUnread(t *testing.T) {
	f := pattern.Fields{Source: "shop", DetailType: "Placed", Detail: []byte("no JSON"), Other: []byte(`{"replay-name":"r"}`)}
	set := pattern.NewSet[string]()
	for _, tt := range []struct {
		text string
		want bool
	}{
		{`{"source":["shop"],"detail-type":["Placed"]}`, true},
		{`{"source":["bank"],"detail":{"a":[1]}}`, false},
		{`{"source":["shop"],"detail-type":["Gone"],"detail":{"a":[1]}}`, false},
	} {
		p, err := pattern.CompileString(tt.text)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := p.MatchFields(&f); err != nil || got != tt.want {
			t.Errorf("%s: %v, %v; want %v", tt.text, got, err, tt.want)
		}
		set.AddPattern(p, tt.text)
	}
	got, err := set.AppendMatchesFields(nil, &f)
	if diff := cmp.Diff([]string{`{"source":["shop"],"detail-type":["Placed"]}`}, got); diff != "" || err != nil {
		t.Errorf("%s, %v", diff, err)
	}
	if _, err := set.Add([]byte(`{"source":["shop"],"detail":{"a":[1]}}`), "reads detail"); err != nil {
		t.Fatal(err)
	}
	if got, err := set.AppendMatchesFields(nil, &f); err == nil {
		t.Errorf("a pattern that needs detail was decided without it: %q", got)
	}
}

func TestAppendJSONEmpty(t *testing.T) {
	if got := (&pattern.Fields{}).AppendJSON([]byte("x")); string(got) != "x{}" {
		t.Errorf("%s", got)
	}
	if got := (&pattern.Fields{Other: []byte(" { } ")}).AppendJSON(nil); string(got) != "{}" {
		t.Errorf("%s", got)
	}
}
