package schemas

import (
	"errors"
	"strings"
	"testing"
	"testing/fstest"
)

func files(list map[string]string) fstest.MapFS {
	out := fstest.MapFS{}
	for name, text := range list {
		out[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return out
}

var shop = map[string]string{
	"common/id.json":          `{"type":"string","minLength":2}`,
	"parts.json":              `{"$defs":{"qty":{"type":"integer","minimum":1}}}`,
	"Order/1.json":            `{"type":"object","required":["id"]}`,
	"Order/2.json":            `{"type":"object","required":["id","lines"],"properties":{"id":{"$ref":"../common/id.json"},"lines":{"type":"array","items":{"properties":{"qty":{"$ref":"../parts.json#/$defs/qty"}}}},"at":{"format":"date-time"}}}`,
	"Order/10.json":           `{"type":"object","required":["tenth"]}`,
	"Ship%2FSent/v1.1.json":   `true`,
	"Strict/1.json":           `{"additionalProperties":false,"properties":{"a":{"enum":["x","y"]}},"oneOf":[{"required":["a"]},{"required":["b"]}]}`,
	"Order/.hidden/3.json":    `nonsense`,
	"Order/README.md":         `nonsense`,
	"..data/Order/4.json":     `nonsense`,
	"common/deeper/part.json": `{"type":"null"}`,
}

func TestCheck(t *testing.T) {
	s, err := Load(files(shop))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		typ, version, data string
		want               string // part of the error; "": it fits
	}{
		{"Order", "1", `{"id":7}`, ""},
		{"Order", "v1", `{"id":7}`, ""},
		{"Order", "1.0", `{"id":7}`, ""},
		{"Order", "2", `{"id":"ab","lines":[{"qty":1}]}`, ""},
		{"Order", "2", `{"id":"a","lines":[{"qty":1},{"qty":0}],"at":"soon"}`, `Order version 2: `},
		{"Order", "2", `{"id":"a","lines":[]}`, `/id: minLength: `},
		{"Order", "2", `{"id":"ab","lines":[{"qty":1},{"qty":0}]}`, `/lines/1/qty: minimum: `},
		{"Order", "2", `{"id":"ab","lines":[],"at":"soon"}`, `/at: format: `},
		{"Order", "2", `{"lines":3}`, `/: required: `},
		{"Order", "", `{}`, "Order version 10"},
		{"Order", "3", `{}`, `there is no version "3" of Order; there are 1, 2, 10`},
		{"Ship/Sent", "", `1`, ""},
		{"Other", "1", `{}`, `there is no schema for events of type "Other"`},
		{"../Order", "1", `{}`, "no schema"},
		{"Strict", "1", `{"a":"z","c":1}`, `/a: enum: `},
		{"Strict", "1", `{"a":"x"}`, ""},
		{"Strict", "1", ``, "oneOf"},
		{"Strict", "1", `{"a":`, "no JSON"},
	} {
		err := s.Check(tt.typ, tt.version, []byte(tt.data))
		if (err == nil) != (tt.want == "") || (err != nil && !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s %s %s: %v, want %q", tt.typ, tt.version, tt.data, err, tt.want)
		}
	}
	if got := strings.Join(s.Types(), " "); got != "Order Ship/Sent Strict common" {
		t.Errorf("types %s", got)
	}
}

func TestManyFaults(t *testing.T) {
	s, err := Load(files(map[string]string{"T/1.json": `{"items":{"type":"string","maxLength":2}}`}))
	if err != nil {
		t.Fatal(err)
	}
	got := s.Check("T", "", []byte(`[1,2,3,4,5,6,7,"`+strings.Repeat("x", 9999)+`"]`)).Error()
	if !strings.Contains(got, "and 3 more") || len(got) > 1200 {
		t.Error(got)
	}
}

func TestBrokenFolders(t *testing.T) {
	for _, tt := range []struct {
		name  string
		files map[string]string
		want  []string // each in a FileError of its own
	}{
		{"no JSON", map[string]string{"T/1.json": `{`, "T/2.json": `{"type":"strin"}`}, []string{"T/1.json: it is no JSON", "T/2.json: it is no JSON Schema: /type"}},
		{"a part that is not there", map[string]string{"T/1.json": `{"$ref":"../none.json"}`}, []string{"there is no file none.json in the folder"}},
		{"the network", map[string]string{"T/1.json": `{"$ref":"https://example.com/x.json"}`}, []string{"lies outside of the folder"}},
		{"the file system", map[string]string{"T/1.json": `{"$ref":"file:///etc/passwd"}`}, []string{"lies outside of the folder"}},
		{"the name", map[string]string{"T%zz/1.json": `{}`}, []string{"no percent-encoded type"}},
		{"size", map[string]string{"T/1.json": strings.Repeat(" ", maxFileSize) + "{}"}, []string{"larger than"}},
	} {
		_, err := Load(files(tt.files))
		var at *FileError
		if !errors.As(err, &at) {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		for _, w := range tt.want {
			if !strings.Contains(err.Error(), w) || strings.Contains(err.Error(), base) {
				t.Errorf("%s: %v, want %q", tt.name, err, w)
			}
		}
	}
	if _, err := Load(files(map[string]string{"a.json": "{}"})); !errors.Is(err, ErrEmpty) {
		t.Errorf("empty: %v", err)
	}
}

func TestSum(t *testing.T) {
	sum := func(text string) string {
		s, err := Load(files(map[string]string{"T/1.json": text}))
		if err != nil {
			t.Fatal(err)
		}
		return s.Sum()
	}
	if one, again := sum("{}"), sum("{}"); one != again || one == sum("true") {
		t.Error("the sum does not follow the files")
	}
}
