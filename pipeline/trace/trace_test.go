package trace

import (
	"strings"
	"testing"

	"github.com/leatdev/leat/pipeline/event"
)

const (
	w3c  = "00-5759e988bd862e3fe1be46a994272793-53995c3f42cd8ad8-01"
	xray = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"
)

func TestFormsAreOne(t *testing.T) {
	a, ok := ParseTraceparent(w3c)
	b, ok2 := ParseXRay(xray)
	if !ok || !ok2 || a != b || a.XRay() != xray || b.Traceparent() != w3c || !a.Sampled {
		t.Errorf("%+v, %+v", a, b)
	}
	a.Sampled = false
	if !strings.HasSuffix(a.XRay(), ";Sampled=0") || !strings.HasSuffix(a.Traceparent(), "-00") {
		t.Errorf("%s, %s", a.XRay(), a.Traceparent())
	}
}

func TestParse(t *testing.T) {
	for in, want := range map[string]bool{
		w3c: true, strings.Replace(w3c, "00-", "01-", 1) + "-more": true, strings.Replace(w3c, "00-", "cc-", 1): true,
		"": false, "00-1": false, w3c + "-more": false, w3c + "0": false, strings.Replace(w3c, "00-", "ff-", 1): false, strings.ToUpper(w3c): false,
		strings.Replace(w3c, "53995c3f42cd8ad8", "0000000000000000", 1): false, strings.Replace(w3c, "5759e988bd862e3fe1be46a994272793", strings.Repeat("0", 32), 1): false,
		strings.Replace(w3c, "5", "g", 1): false, strings.Replace(w3c, "-5", "_5", 1): false,
	} {
		if _, ok := ParseTraceparent(in); ok != want {
			t.Errorf("traceparent %q: %t", in, ok)
		}
	}
	for in, want := range map[string]bool{
		xray: true, "Sampled=1; Parent=53995c3f42cd8ad8;Root=1-5759e988-bd862e3fe1be46a994272793;Lineage=a:1": true, "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8": true,
		"": false, "Root=1-5759e988-bd862e3fe1be46a994272793": false, "Root=2-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8": false,
		"Root=1-5759e988-bd862e3fe1be46a994272793;Parent=5399": false, "Parent=53995c3f42cd8ad8": false, "Root=1;Parent=53995c3f42cd8ad8": false,
	} {
		if _, ok := ParseXRay(in); ok != want {
			t.Errorf("X-Ray %q: %t", in, ok)
		}
	}
}

func TestMetadata(t *testing.T) {
	e := &event.Event{}
	if _, ok := Of(e); ok || ID(e) != "" || XRayOf(e) != "" {
		t.Error("an event without metadata has a parent")
	}
	e.SetMeta(XRay, xray)
	e.SetMeta("k", "v")
	p, ok := Of(e)
	if !ok || p.Traceparent() != w3c || ID(e) != "5759e988bd862e3fe1be46a994272793" || XRayOf(e) != xray {
		t.Errorf("%+v", p)
	}
	p.SpanID[0], p.State = 1, "v=1"
	Carry(e, p)
	if got, _ := Of(e); got != p || e.Meta("k") != "v" || e.Meta(XRay) != p.XRay() {
		t.Errorf("%s", e.Metadata)
	}
	p.State = ""
	if Carry(e, p); e.Meta(Tracestate) != "" {
		t.Errorf("a state of another vendor's span stays: %s", e.Metadata)
	}
	plain := &event.Event{}
	Carry(plain, p)
	if string(plain.Metadata) != `{"traceparent":"`+p.Traceparent()+`"}` || XRayOf(plain) != p.XRay() {
		t.Errorf("%s", plain.Metadata)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(w3c)
	f.Add(xray)
	f.Fuzz(func(t *testing.T, s string) {
		if p, ok := ParseTraceparent(s); ok {
			if q, ok := ParseXRay(p.XRay()); !ok || q != p {
				t.Errorf("%q: %+v, then %+v", s, p, q)
			}
		}
		if p, ok := ParseXRay(s); ok {
			if q, ok := ParseTraceparent(p.Traceparent()); !ok || q != p {
				t.Errorf("%q: %+v, then %+v", s, p, q)
			}
		}
	})
}
