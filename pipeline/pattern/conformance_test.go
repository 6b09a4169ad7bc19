package pattern_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/leatdev/leat/pipeline/pattern"
)

// vector is a line of the conformance suite.
type vector struct {
	Name        string
	Source      string
	Pattern     json.RawMessage
	PatternText *string `json:"pattern_text"`
	Event       json.RawMessage
	Match       bool
	Invalid     bool
	Reason      string
}

func (v vector) text() []byte {
	if v.PatternText != nil {
		return []byte(*v.PatternText)
	}
	return v.Pattern
}

// exceptions are the vectors from which this package departs, with the reason.
var exceptions = map[string]string{
	"edge/eqic-fold-𐐨/23":      supplementary,
	"edge/prefix-ic-fold-𐐨/23": supplementary,
	"edge/suffix-ic-fold-𐐨/23": supplementary,
	"edge/cidr-0.0.0.0/0/02":   blockZero,
	"edge/cidr-::/0/02":        blockZero,
	"edge/or-07/0":             legacyOr,
	"edge/or-07/1":             legacyOr,
	"edge/or-08/0":             legacyOr,
	"edge/or-08/1":             legacyOr,
}

const (
	supplementary = "the service's library encodes each half of a surrogate pair as ?, so that such a text does not even match itself; here it does"
	blockZero     = "in the service's library a block of length zero compares hex digits across address families; here it stays in its own"
	legacyOr      = "the service's library falls back to a field named $or where $or is malformed; here it is refused with the service's message"
)

func vectors(tb testing.TB) []vector {
	tb.Helper()
	return parseVectors(tb, suite(tb))
}

// suite reads the conformance suite from the folder shared/ beside the repository, and skips the test where it is not there.
func suite(tb testing.TB) []byte {
	tb.Helper()
	dir, err := os.Getwd()
	if err != nil {
		tb.Fatal(err)
	}
	for ; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		data, err := os.ReadFile(filepath.Join(dir, "shared", "conformance", "eventbridge-patterns.jsonl"))
		if err == nil {
			return data
		}
	}
	if strings.Contains(os.Getenv("LEAT_TEST_REQUIRE"), "conformance") {
		tb.Fatal("the conformance suite shared/conformance/eventbridge-patterns.jsonl is required and not there")
	}
	tb.Skip("NOT TESTED: the conformance suite shared/conformance/eventbridge-patterns.jsonl is not beside the repository")
	return nil
}

func parseVectors(tb testing.TB, data []byte) (vs []vector) {
	tb.Helper()
	lines := bufio.NewScanner(bytes.NewReader(data))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if len(bytes.TrimSpace(lines.Bytes())) == 0 {
			continue
		}
		var v vector
		if err := json.Unmarshal(lines.Bytes(), &v); err != nil {
			tb.Fatalf("%s: %v", lines.Text(), err)
		}
		vs = append(vs, v)
	}
	if err := lines.Err(); err != nil {
		tb.Fatal(err)
	}
	return vs
}

func TestConformance(t *testing.T) {
	vs := vectors(t)
	if len(vs) < 5690 {
		t.Errorf("%d vectors, want 5,690", len(vs))
	}
	for _, v := range vs {
		p, err := pattern.Compile(v.text())
		if exceptions[v.Name] == legacyOr {
			if err == nil {
				t.Errorf("%s: compiled, want an error", v.Name)
			}
			continue
		}
		if v.Invalid {
			checkInvalid(t, v, err)
			continue
		}
		if err != nil {
			t.Errorf("%s: %v\npattern %s", v.Name, err, v.text())
			continue
		}
		want := v.Match != (exceptions[v.Name] != "")
		got, err := p.Match(v.Event)
		if err != nil || got != want {
			t.Errorf("%s: match %v, %v; want %v\npattern %s\nevent %s", v.Name, got, err, want, v.text(), v.Event)
		}
	}
}

// TestBatchConformance runs the suite's own file as a batch.
func TestBatchConformance(t *testing.T) {
	data := suite(t)
	var out bytes.Buffer
	n, err := pattern.Batch(bytes.NewReader(data), &out)
	if err != nil {
		t.Fatal(err)
	}
	vs := parseVectors(t, data)
	if n.Matched+n.Unmatched+n.Invalid != len(vs) {
		t.Errorf("%+v of %d vectors", n, len(vs))
	}
	answers := strings.Split(strings.TrimSpace(out.String()), "\n")
	for i, v := range vs {
		var got struct {
			Name    string
			Match   *bool
			Invalid *string
		}
		if err := json.Unmarshal([]byte(answers[i]), &got); err != nil || got.Name != v.Name {
			t.Fatalf("answer %s to %s: %v", answers[i], v.Name, err)
		}
		switch why := exceptions[v.Name]; {
		case v.Invalid || why == legacyOr:
			if got.Invalid == nil {
				t.Errorf("%s: %s, want it invalid", v.Name, answers[i])
			}
		case got.Match == nil || *got.Match != (v.Match != (why != "")):
			t.Errorf("%s: %s, want match %v", v.Name, answers[i], v.Match)
		}
	}
}

func checkInvalid(t *testing.T, v vector, err error) {
	t.Helper()
	var e *pattern.Error
	if !errors.As(err, &e) {
		t.Errorf("%s: error %v, want an *Error: %s\npattern %s", v.Name, err, v.Reason, v.text())
		return
	}
	if v.Reason != "json" && !strings.HasPrefix(e.Reason, v.Reason) {
		t.Errorf("%s: reason\n  %s, want\n  %s\npattern %s", v.Name, e.Reason, v.Reason, v.text())
	}
	if e.Offset < 0 || e.Offset > len(v.text()) || e.Line < 1 || e.Column < 1 {
		t.Errorf("%s: error at offset %d, line %d, column %d", v.Name, e.Offset, e.Line, e.Column)
	}
}
